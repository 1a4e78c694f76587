// Goal: a gRPC program that knows two exports follows the other one when its own is killed: it need not
// wait until a port that refused it is tried again.
// Method: dns, two exports as processes, gRPC of JavaScript and of C++ as it is installed.

import { test } from "node:test";
import { systemClock } from "../reactor/time/system_clock.ts";
import { sqliteTestStore } from "./support/fleet.ts";
import { freePort } from "./support/free_port.ts";
import { findGrpcCore, findGrpcJs, type GrpcProgram } from "./support/grpc_programs.ts";
import { assertInTime } from "./support/in_time.ts";
import { LinePeer, xdsBootstrap } from "./support/line_peer.ts";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";

const RPC = { modId: 2, cmdId: 1 };
const LOOPBACK = 0x7f000001;

function findsTheOther(name: string, program: GrpcProgram): void {
  const skip = findGrpcJs() === undefined || program === undefined ? `${name} is missing` : false;
  test(`gRPC, ${name}: one export is killed, the other has the change`, { skip }, async (t) => {
    await withProcesses(async (processes) => {
      const { store, url } = await sqliteTestStore(processes);
      const [dnsPort, ...ports] = await Promise.all([freePort(), freePort(), freePort()]);
      const nodes = new LinePeer(findGrpcJs() ?? []);
      const peer = new LinePeer(program ?? [], xdsBootstrap(ports));
      try {
        const ids = [0, 1];
        const grpc = await Promise.all(ids.map((id) => nodes.ask(`node ${id}`)));
        const edit = (id: number, state: "on" | "drain"): Promise<unknown> =>
          store.editRoutes([{ op: "set", ...RPC, ip: LOOPBACK, port: grpc[id].port, state }]);
        for (const { port } of grpc) {
          await store.editRoutes([{ op: "add", ...RPC, ip: LOOPBACK, port }]);
        }
        await store.setModules([{ ...RPC, name: "rpc" }]);
        await processes.start("dns", [
          ...["--store-url", url, "--reactor-port", String(dnsPort), "--metrics-port", "0"],
          ...["--dns-poll-interval", "0.05"],
        ]);
        const exports = await Promise.all(ports.map((port) =>
          processes.start("export", [
            ...["--dnsserver-ip", "127.0.0.1", "--dnsserver-port", String(dnsPort)],
            ...["--metrics-port", "0", "--xds-port", String(port)],
          ])
        ));
        let seen: Record<string, number> = {};
        const becomes = async (what: string, ...by: string[]): Promise<void> => {
          await until(async () => {
            seen = await peer.ask("call rpc 12");
            return Object.keys(seen).sort().join() === by.join();
          }, { what: () => `${what}: ${JSON.stringify(seen)}`, timeoutMs: 60_000 });
        };
        await becomes("both nodes", "0", "1");
        // It takes the first of its list that answers.
        await exports[0].kill9();
        const killedMs = systemClock.nowMs();
        await edit(0, "drain");
        await becomes("the drain", "1");
        const tookMs = systemClock.nowMs() - killedMs;
        t.diagnostic(`in force ${Math.round(tookMs)} ms after the kill`);
        // The one of JavaScript begins no stream sooner than a second after the one before began.
        assertInTime("a drain after a kill", tookMs, 2_000);
        await edit(0, "on");
        await becomes("both again", "0", "1");
      } finally {
        peer.close();
        nodes.close();
        await store.close();
      }
    });
  });
}

findsTheOther("JavaScript", findGrpcJs());
findsTheOther("C++", findGrpcCore());
