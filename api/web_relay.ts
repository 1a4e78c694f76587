// Shell. What a page of a browser may have of the api; bundled with sessions over WebSocket.

export { RelayClient } from "./relay_client.ts";
export { RelayError } from "./errors.ts";
