// Core. How an agent of a simulation reaches its servers: the links as shipped, over the simulated network.

import { ChosenLink, CONNECTION_AGE_MS, RETURN_MS } from "../../feed/chosen_link.ts";
import type { Address } from "../../reactor/address.ts";
import type { LinkEvents } from "../../session/link.ts";
import { SessionClient, type SessionClientOptions } from "../../session/session_client.ts";
import { type ProcessParts, SIM_SOFTWARE } from "./sim_process.ts";

/** Where it goes, and who it is. */
export interface SimLinkOptions
  extends LinkEvents, Pick<Partial<SessionClientOptions>, "revision" | "welcomeWaitMs"> {
  readonly servers: readonly Address[];
  /** Ranks the servers, another way for each agent. */
  readonly id: string;
  /** Time between two looks whether a better server is back. */
  readonly returnMs?: number;
}

/** Opens a link to the server that suits best. */
export function openSimLink(
  { clock, rng, log, transport }: ProcessParts,
  { servers, id, returnMs = RETURN_MS, ...more }: SimLinkOptions,
): ChosenLink {
  return new ChosenLink({
    ...more,
    ...{ name: "upstream", clock, rng, log, servers, returnMs, ageMs: CONNECTION_AGE_MS },
    lookup: {
      hosts: () => Promise.reject(new Error("there are no names here")),
      services: () => Promise.reject(new Error("there are no names here")),
    },
    chooser: { id, zone: "", order: "spread" },
    open: (addresses, events) =>
      new SessionClient({
        ...{ clock, rng, log, transport, software: SIM_SOFTWARE, secrets: undefined },
        ...{ ...more, ...events, name: "upstream", role: "agent", addresses },
      }),
  });
}
