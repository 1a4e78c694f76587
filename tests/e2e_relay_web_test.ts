// The relay's port for WebSockets as its users start it, and what it refuses to start with.

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeHello } from "../proto/codec.ts";
import { MessageId } from "../proto/message_ids.ts";
import { encodeFrame } from "../reactor/frame.ts";
import { WebPeer } from "../relay/testing/web_peer.ts";
import { freePort } from "./support/free_port.ts";
import { withProcesses } from "./support/processes.ts";
import { until } from "./support/until.ts";

const TIMEOUT = { timeout: 180_000 };

test(
  "e2e: a relay is ready on two ports, and speaks WebSocket on the second",
  TIMEOUT,
  async () => {
    await withProcesses(async (processes) => {
      const webPort = await freePort();
      const words = [
        "--relay-port",
        "0",
        "--relay-web-port",
        String(webPort),
        "--metrics-port",
        "0",
      ];
      const relay = processes.spawn("relay", "relay/main.ts", words);
      await until(() => relay.stdout.includes("relay ready on "), { what: "the relay" });
      assert.match(relay.stdout, new RegExp(`127\\.0\\.0\\.1:\\d+, 127\\.0\\.0\\.1:${webPort}\\n`));
      const peer = await WebPeer.connect({ hostname: "127.0.0.1", port: webPort });
      const hello = encodeHello({ protocol: 2, software: "test", role: "client" });
      peer.send(encodeFrame(MessageId.Hello, hello));
      await until(() => peer.msgIds.length > 0, { what: "the welcome" });
      assert.deepEqual(peer.msgIds, [MessageId.Hello]);
      peer.close();

      const bad: [string[], RegExp][] = [
        [
          ["--relay-web-port", String(webPort)],
          /Cannot bind TCP 127\.0\.0\.1:\d+: the address is al/,
        ],
        [
          ["--relay-web-port", "1", "--relay-web-ip", "0.0.0.0"],
          /Will not listen on 0\.0\.0\.0 with/,
        ],
        [
          ["--relay-web-port", "1", "--relay-web-origins", "*"],
          /web_origins must be origins such as/,
        ],
      ];
      await Promise.all(bad.map(async ([more, text], index) => {
        const wrong = ["--relay-port", "0", "--metrics-port", "0", ...more];
        const ended = await processes.spawn(`bad${index}`, "relay/main.ts", wrong).untilEnded(
          60_000,
        );
        assert.notEqual(ended.code, 0);
        assert.match(ended.stderr + ended.stdout, text);
      }));
    });
  },
);
