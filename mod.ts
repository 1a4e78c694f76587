// Shell. The public face of the project for programs that import it.

export * from "./api/mod.ts";
export { VERSION } from "./daemon/version.ts";
