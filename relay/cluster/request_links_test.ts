import assert from "node:assert/strict";
import { test } from "node:test";
import { moduleId } from "../../model/module.ts";
import { RelayStatus } from "../../proto/message_ids.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { Broker } from "../broker/broker.ts";
import { defaultBrokerLimits } from "../broker/broker_limits.ts";
import { Peer } from "./peer_table.ts";
import type { PassEnd } from "./relay_peers.ts";
import { RequestLinks } from "./request_links.ts";

const KEY = { modId: 1, cmdId: 2 };

interface SetUp {
  readonly clock: ManualClock;
  readonly broker: Broker;
  readonly links: RequestLinks;
  readonly passed: { readonly to: string; readonly end: (end: PassEnd) => void }[];
  /** A client of the original asks. */
  readonly ask: () => void;
  /** Another relay has workers. */
  readonly serve: (relay: string) => Peer;
}

function setUp(): SetUp {
  const clock = new ManualClock();
  const broker = new Broker({ clock, limits: defaultBrokerLimits });
  const passed: SetUp["passed"] = [];
  const links = new RequestLinks(broker, clock, () => ({
    pass: ({ relay }, _pass, _answerMs, end) => void passed.push({ to: relay, end }),
    moduleChanged: () => {},
  }));
  const client = broker.addClient({
    ...{ label: "original", kind: "session", wantsLate: false, waitsForWorkers: true },
    takeReply: () => undefined,
    cut: () => {},
  });
  const ask = (): void =>
    broker.request(client, { ...KEY, cpid: 0, number: 1, ttlMs: 0, data: new Uint8Array(1) });
  const serve = (relay: string): Peer => {
    const peer = new Peer(relay);
    peer.modules.set(moduleId(KEY.modId, KEY.cmdId), KEY);
    links.peerChanged(peer);
    return peer;
  };
  return { clock, links, passed, ask, serve, broker };
}

const ended = (status: RelayStatus): PassEnd => ({
  ...{ status, receivers: 0, data: new Uint8Array(0) },
});

for (const status of [RelayStatus.NoWorker, RelayStatus.Stopping]) {
  test(`a relay that gives a request back with status ${status} has it again after a pause`, () => {
    const { clock, passed, ask, serve } = setUp();
    serve("r1");
    ask();
    passed[0].end(ended(status));
    assert.equal(passed.length, 1);
    clock.advance(100);
    assert.deepEqual(passed.map(({ to }) => to), ["r1", "r1"]);
  });
}

test("what one relay gives back goes to another that has workers by the end of the pause", () => {
  const { clock, links, passed, ask, serve, broker } = setUp();
  const first = serve("r1");
  ask();
  serve("r2");
  passed[0].end(ended(RelayStatus.NoWorker));
  first.modules.clear();
  links.peerChanged(first);
  clock.advance(100);
  assert.deepEqual(passed.map(({ to }) => to), ["r1", "r2"]);
  assert.equal(broker.requests.counts.waiting, 0);
});

test("once links are closed nothing is due, whatever is given back then", () => {
  const { clock, links, passed, ask, serve } = setUp();
  serve("r1");
  ask();
  links.close();
  passed[0].end(ended(RelayStatus.Stopping));
  clock.advance(1000);
  assert.equal(passed.length, 1);
});
