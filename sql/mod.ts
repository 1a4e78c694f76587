// Shell. What other rooms may use of sql/.

export * from "./store.ts";
export { openStore, type StoreOptions } from "./open_store.ts";
