// Shell. What the routes of relays do.

import type { ApiHandlers } from "../api_context.ts";
import type { relayRoutes } from "../contract.ts";
import type { RelayWatch } from "./relay_watch.ts";

/** What the handlers of relays work with. */
export interface RelayHandlerParts {
  readonly relays: RelayWatch;
}

/** A handler for every route of relays. */
export function relayHandlers(
  { relays }: RelayHandlerParts,
): Pick<ApiHandlers, keyof typeof relayRoutes> {
  return {
    listRelays: () => relays.list(),
    listRelayClients: ({ params }) => relays.clients(params.relay),
    listRelayWorkers: ({ params }) => relays.workers(params.relay),
    listRelayQueues: ({ params }) => relays.queues(params.relay),
    getRelayMail: ({ params }) => relays.mail(params.relay),
    async kickRelayClient({ actor, params }): Promise<undefined> {
      await relays.kick(actor, params.relay, params.sid);
    },
  };
}
