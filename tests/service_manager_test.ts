// A service started as a service manager does it: it says when it serves, that it lives, and that it stops.

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { unixDatagramAddress } from "../reactor/fast/unix_datagram.ts";
import { runtime } from "../reactor/runtime/mod.ts";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";

const LINUX = { skip: process.platform === "linux" ? false : "only Linux has systemd" };
const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK = 2 | 0o4000;

test(
  "ready, signs of life and stopping reach the socket of the service manager",
  LINUX,
  async () => {
    await withProcesses(async (processes) => {
      const name = `@lars-manager-${process.pid}`;
      const libc = runtime.openLibc();
      const fd = libc.socket(AF_UNIX, SOCK_DGRAM_NONBLOCK, 0);
      const address = unixDatagramAddress(name);
      assert.equal(libc.bind(fd, address, address.length), 0);
      const buffer = new Uint8Array(4096);
      const got: string[] = [];
      const read = (): string[] => {
        for (;;) {
          const length = libc.read(fd, buffer, buffer.length);
          if (length <= 0) return got;
          got.push(new TextDecoder().decode(buffer.subarray(0, length)));
        }
      };
      try {
        const store = `--store=sqlite:${processes.directory}/lars.db`;
        const env = { NOTIFY_SOCKET: name, WATCHDOG_USEC: "200000" };
        const dns = await processes.start("dns", ["--reactor-port=0", store], { env });
        await until(() => read().includes("WATCHDOG=1\n"), { what: "a sign of life" });
        assert.equal(got[0], `READY=1\nSTATUS=dns ready on 127.0.0.1:${dns.port()}\n`);
        await dns.stop();
        await until(() => read().at(-1) === "STOPPING=1\n", { what: "the word that it stops" });
      } finally {
        libc.close(fd);
      }
    });
  },
);
