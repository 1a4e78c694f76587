// Core. Bugs that can be planted for the length of a run, each of which the rules must find.

import { ChosenLink } from "../../feed/chosen_link.ts";
import { HolderWatch } from "../../discovery/holder_watch.ts";
import { LeaseTable } from "../../discovery/lease_table.ts";
import { LossGuard } from "../../discovery/loss_guard.ts";
import { KnownDigests } from "../../dns/known_digests.ts";
import { RouteTable } from "../../dns/route_table.ts";
import { KeptReports } from "../../feed/kept_reports.ts";
import { Publisher } from "../../feed/publisher.ts";
import { ReportedTotals } from "../../feed/reported_totals.ts";
import { PushGuard } from "../../feed/route_subscriber.ts";
import { RouteLb } from "../../balancer/mod.ts";
import { KeptSessions } from "../../reporter/kept_sessions.ts";
import { Heartbeat } from "../../session/heartbeat.ts";
import { ReconnectPace } from "../../session/reconnect_pace.ts";
import type { AgentBugs } from "./agent_process.ts";
import type { DiscoveryBugs } from "./discovery_process.ts";
import type { DnsBugs } from "./dns_process.ts";
import type { StoreBugs } from "./sim_store.ts";

/** A bug, and where it sits. */
export interface PlantedBug {
  readonly name: string;
  readonly store?: StoreBugs;
  readonly dns?: DnsBugs;
  readonly discovery?: DiscoveryBugs;
  readonly agent?: AgentBugs;
  /** Puts it into what is shipped. @returns what takes it out again. */
  plant?(): () => void;
}

// deno-lint-ignore no-explicit-any -- a method is replaced by one that breaks what it promises
type Method = (this: any, ...given: any[]) => any;

/** Has a class do something else in place of one of its methods. */
function instead(
  of: { prototype: object },
  name: string,
  make: (right: Method) => Method,
): () => void {
  const { prototype } = of;
  const known = Object.getOwnPropertyDescriptor(prototype, name);
  if (known === undefined) throw new Error(`There is no ${name} to be replaced`);
  const isGetter = known.get !== undefined;
  const wrong = make((isGetter ? known.get : known.value) as Method);
  Object.defineProperty(
    prototype,
    name,
    isGetter ? { ...known, get: wrong } : { ...known, value: wrong },
  );
  return () => void Object.defineProperty(prototype, name, known);
}

/** A bug in one method. */
function bug(
  name: string,
  of: { prototype: object },
  method: string,
  make: (right: Method) => Method,
): PlantedBug {
  return { name, plant: () => instead(of, method, make) };
}

/** Every so many calls of a method are left out. */
function leftOut(every: number, result?: unknown): (right: Method) => Method {
  return (right) => {
    let calls = 0;
    return function (...given): unknown {
      return ++calls % every === 0 ? result : right.apply(this, given);
    };
  };
}

/** A method that does nothing. */
const nothing = (result?: unknown) => (): Method => () => result;

/** Where, and what is wrong there. */
export const PLANTED_BUGS: readonly PlantedBug[] = [
  // What has an older route come back.
  { name: "agents do not know how new their routes are", agent: { agentForgetsAge: true } },
  { name: "a server of the database that lags is believed", store: { believesLag: true } },
  // What takes nodes away that nobody meant to take away.
  {
    ...bug(
      "dns keeps no routes, and serves before it has read any",
      RouteTable,
      "loaded",
      () => () => true,
    ),
    dns: { dnsForgets: true },
  },
  bug("agents take whatever is pushed", PushGuard, "judge", () => () => ({
    take: true,
    event: undefined,
  })),
  { name: "a route that is held back empties the one there is", agent: { agentEmptiesHeld: true } },
  // What loses a change.
  { name: "a look at changes leaves out the last one", store: { losesLast: true } },
  { name: "dns looks once, and hears nobody", dns: { dnsLooksOnce: true } },
  bug("one push of four is lost", Publisher, "publish", leftOut(4)),
  bug(
    "what was read of single modules is not told",
    RouteTable,
    "replaceModules",
    (right) =>
      function (...given): unknown {
        right.apply(this, given);
        return [];
      },
  ),
  bug(
    "every route that an agent names is said to be the one",
    KnownDigests,
    "isKnown",
    (right) =>
      function (peer, key, digest): unknown {
        let isNamed = false;
        right.call(this, peer, key, () => {
          isNamed = true;
          return digest();
        });
        return isNamed;
      },
  ),
  bug("nobody notices a peer that is silent", Heartbeat, "start", nothing()),
  bug("who lost a connection never tries again", ReconnectPace, "pauseMs", nothing(1e12)),
  { name: "agents do not ask again over a new connection", agent: { agentAsksOnce: true } },
  // What counts calls twice, or never.
  { name: "marks of sessions are not compared", store: { ignoresMarks: true } },
  { name: "a bucket that comes again is added", store: { writesAgain: true } },
  {
    name: "all is sent again over a new connection, and taken once more",
    plant(): () => void {
      const undo = [
        instead(KeptReports, "rewind", (right) =>
          function (): unknown {
            return right.call(this, 0);
          }),
        instead(KeptSessions, "take", (right) =>
          function (session, seq): unknown {
            return right.call(this, session, seq) || true;
          }),
      ];
      return () => undo.forEach((one) => one());
    },
  },
  bug(
    "one report more than stored is forgotten",
    KeptReports,
    "noteStored",
    (right) =>
      function (seq): unknown {
        return right.call(this, seq + 1);
      },
  ),
  bug("what was sent counts as held over a new connection", KeptReports, "rewind", nothing(0)),
  bug(
    "what is held is told as stored",
    KeptSessions,
    "take",
    (right) =>
      function (session, seq): unknown {
        const isNew = right.call(this, session, seq);
        if (isNew) this.noteStored([{ session, from: 0, to: seq }]);
        return isNew;
      },
  ),
  bug(
    "totals are told as what is new",
    ReportedTotals,
    "take",
    (right) =>
      function (...given): unknown {
        const summed = right.apply(this, given);
        const { succTotal: succ, errTotal: err } = summed;
        return { ...summed, gains: { ...summed.gains, succ, err } };
      },
  ),
  // What has leases end that could be heard, or never end.
  bug("a connection on which something came is not heard", LeaseTable, "heardKeeper", nothing()),
  bug("ends of leases are not looked at", LeaseTable, "tick", nothing()),
  bug("leases of a discovery that is gone are nobody's", HolderWatch, "silent", nothing([])),
  bug("everything that seems lost goes", LossGuard, "split", () => (nodes) => ({
    go: [...nodes],
    hold: [],
  })),
  // What is kept out for ever.
  bug("windows and rests of nodes never end", RouteLb, "tick", nothing()),
  bug("a link that was lost is not planned anew", ChosenLink, "start", nothing()),
];
