// Shell. What other rooms may use of sql/.

export * from "./store.ts";
export * from "./call_history.ts";
export * from "./event.ts";
export { openStore, type StoreOptions } from "./open_store.ts";
