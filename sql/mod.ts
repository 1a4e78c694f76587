// Shell. What other rooms may use of sql/.

export * from "./store.ts";
export * from "./results/call_history.ts";
export * from "./results/event.ts";
export { openStore, type StoreOptions } from "./open_store.ts";
