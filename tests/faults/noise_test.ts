// Everything between a caller and its agent, or between the agent and dns, loses, delays, reorders,
// doubles and damages what it carries: answers are late at worst, none is wrong, and no change is lost.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { LarsClient } from "../../api/mod.ts";
import { formatIpv4 } from "../../reactor/address.ts";
import { seededRng } from "../../reactor/time/rng.ts";
import { FleetCertificates } from "../../session/testing/fleet_certificates.ts";
import { faultSeconds, figure, timeFigure } from "../support/figure.ts";
import {
  addNodes,
  agentFlags,
  hostKeys,
  nodeOf,
  startFleet,
  withStoredNode,
} from "../support/fleet.ts";
import { freePort } from "../support/free_port.ts";
import { SteadyLoad } from "../support/load.ts";
import { type Noise, NoisyDatagrams, NoisyStreams } from "../support/noisy_paths.ts";
import { TlsFiles } from "../support/tls_files.ts";
import { until } from "../support/until.ts";
import { monotonicMs, WireCaller } from "../support/wire_client.ts";

const SECONDS = faultSeconds();
const SLOW = { timeout: 120_000 + 4000 * SECONDS };
const NODES = 5;
/** As promised of a bad network: half of the way out and half of it back. */
const BAD: Noise = { loss: 0.2, duplicate: 0.05, corrupt: 0.02, delayMs: 25, jitterMs: 10 };
const SECRET = "the secret of a fleet with a bad network";

/** Datagrams are sealed only between hosts, so the path is laid over an address of its own. */
const outside = Object.values(networkInterfaces()).flatMap((all) => all ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

test("a noisy path between caller and agent: late at worst, never wrong", {
  ...SLOW,
  skip: outside === undefined ? "this machine has no address but loopback" : false,
}, () =>
  withStoredNode(async ({ processes, url, store }) => {
    await addNodes(store, 1, 1, Array.from({ length: NODES - 1 }, (_, i) => nodeOf(i + 2)));
    const secretFile = join(processes.directory, "secret");
    writeFileSync(secretFile, `${SECRET}\n`);
    const flags = [`--auth-token-file=${secretFile}`];
    const { agent } = await startFleet(processes, url, {
      dns: flags,
      reporter: flags,
      agent: [...flags, "--agent-ip=0.0.0.0"],
    });
    const hostname = outside ?? "";
    const paths = await Promise.all(
      [0, 1, 2].map((i) => NoisyDatagrams.open(hostname, agent.port() + i, seededRng(i))),
    );
    const [first, second, third] = paths.map(({ port }) => port);
    const client = new LarsClient({
      ...{ hostname, port: [first, second, third], deadlineMs: 500 },
      token: new TextEncoder().encode(SECRET),
    });
    const ask = async (): Promise<{ node: string; retcode: number }> => {
      const { retcode, host } = await client.tryGetHost(1, 1).catch(() => ({
        retcode: -1,
        host: undefined,
      }));
      if (host !== undefined) client.report(1, 1, host.ip, host.port, 0, 5);
      return { retcode, node: `${host?.ip}:${host?.port}` };
    };
    await until(async () => (await ask()).retcode === 0, { what: "the route" });
    for (const path of paths) path.noise = BAD;
    const good = new Set(
      Array.from({ length: NODES }, (_, i) => `${formatIpv4(nodeOf(i + 1).ip)}:7000`),
    );
    let [calls, without, wrong, longestMs] = [0, 0, 0, 0];
    const endMs = monotonicMs() + 1000 * SECONDS;
    const call = async (): Promise<void> => {
      while (monotonicMs() < endMs) {
        const startMs = monotonicMs();
        const { retcode, node } = await ask();
        longestMs = Math.max(longestMs, monotonicMs() - startMs);
        calls++;
        if (retcode !== 0) without++;
        else if (!good.has(node)) wrong++;
      }
    };
    await Promise.all(Array.from({ length: 20 }, call));
    const sum = (name: "carried" | "lost" | "doubled" | "damaged"): number =>
      paths.reduce((total, { counts }) => total + counts[name], 0);
    figure(
      `${sum("carried")} datagrams, ${sum("lost")} lost, ${sum("doubled")} doubled, ` +
        `${sum("damaged")} damaged: of ${calls} calls ${wrong} with a wrong node, ${without} ` +
        `without one`,
    );
    assert.equal(wrong, 0);
    assert.ok(sum("damaged") > 0, "something was damaged");
    assert.equal(without, 0, "the last good node at worst");
    timeFigure({ what: "the longest call", value: longestMs, atMost: 520, unit: "ms" });
    await client.close();
    for (const path of paths) path.close();
  }));

test(
  "a noisy path between agent and dns: no change is lost, no call fails",
  SLOW,
  () =>
    withStoredNode(async ({ processes, url, store }) => {
      const files = new TlsFiles(processes.directory);
      const fleet = await FleetCertificates.make();
      files.write("ca.pem", fleet.authority.cert);
      for (const name of ["dns", "agent"]) await files.pair(fleet, name, name);
      const dns = await processes.start("dns", [
        ...["--reactor-port=0", `--store=${url}`, ...files.flags("dns")],
      ]);
      const path = await NoisyStreams.open(dns.port(), seededRng(3));
      const agent = await processes.start("agent", [
        ...agentFlags(processes, [path.port], [await freePort()]),
        ...files.flags("agent"),
      ]);
      const caller = await WireCaller.open(agent.port());
      await caller.untilHost(1, 1);
      const load = new SteadyLoad(caller, 1, 1);
      path.noise = { ...BAD, delayMs: 50, jitterMs: 20, corrupt: 0.05 };
      const endMs = monotonicMs() + 1000 * SECONDS;
      let [node, resets] = [1, 0];
      while (monotonicMs() < endMs) {
        await addNodes(store, 1, 1, [nodeOf(++node)]);
        if (node > 4) {
          await store.editRoutes([{ op: "remove", modId: 1, cmdId: 1, ...nodeOf(node - 4) }]);
        }
        if (node % 3 === 0) {
          path.reset();
          resets++;
        }
        const pauseMs = monotonicMs() + 400;
        await until(() => monotonicMs() > pauseMs, { what: "the next edit" });
      }
      const fromMs = monotonicMs();
      const expected = hostKeys(
        [0, 1, 2, 3].map((i) => nodeOf(node - i)).filter(({ ip }) => ip > nodeOf(0).ip),
      ).join();
      await until(async () => hostKeys((await caller.getRoute(1, 1)).hosts).join() === expected, {
        timeoutMs: 60_000,
        what: "the agent to have what the table has",
      });
      const value = (monotonicMs() - fromMs) / 1000;
      await load.stop();
      figure(
        `${node - 1} edits over a path that damaged ${path.counts.damaged} of ` +
          `${path.counts.carried} pieces, reset ${resets} times: ${load.calls} calls, ` +
          `${load.faults.length} failed`,
      );
      timeFigure({ what: "all equal after the last edit", value, atMost: 15, unit: "s" });
      assert.deepEqual(load.faults, []);
      caller.close();
      await path.close();
    }),
);
