// Core. The configuration keys of the relay.

import { authSettings } from "../daemon/settings/common_settings.ts";
import { Section, type SettingsTable } from "../daemon/settings/settings.ts";
import { RECOMMENDED_TEXT } from "../balancer/mod.ts";
import { UINT32_MAX } from "../model/module.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import { defaultBrokerLimits, WHEN_FULL } from "./broker/broker_limits.ts";

const relay = new Section("relay");

const GIB = 1024 ** 3;

/** Every key that the relay reads. */
export const relaySettings = {
  ...authSettings,
  listenIp: relay.host("ip", "127.0.0.1")
    .doc("Address to listen on. Any other than loopback needs [auth]."),
  listenPort: relay.integer("port", DEFAULT_PORTS.relay, [0, 65535])
    .doc("Port to listen on, for clients of every kind and for workers; 0 takes a free one."),
  webIp: relay.host("web_ip", "127.0.0.1")
    .doc("Address to listen on for WebSockets. Any other than loopback needs [auth]."),
  webPort: relay.integer("web_port", 0, [0, 65535])
    .doc("Port to listen on for WebSockets, of browsers for example; 0: none."),
  webOrigins: relay.text("web_origins", "", { shape: "origins such as https://chat.example" })
    .doc(
      "Pages that may use that port; empty: those of the same address and port, where that is a " +
        "number or localhost. Programs that are no browsers always may.",
    ),
  fastPath: relay.choice("fast_path", "auto", ["auto", "off"])
    .doc(
      "Serve connections through epoll where this machine can: less memory and processor time. " +
        "Linux and IPv4 only; in Deno it needs --allow-ffi.",
    ),
  connectionsMax: relay.integer("connections_max", 20_000, [1, 1_000_000])
    .doc("Most connections of our own clients and workers at once."),
  connectionsPerHostMax: relay.integer("connections_per_ip", 0, [0, 1_000_000])
    .doc("Of these, most of one remote address, loopback excepted; 0: no limit."),
  originals: relay.choice("originals", "auto", ["auto", "on", "off"])
    .doc(
      "Clients of the original (L0, L1, L2), which cannot prove a secret; auto: only while no " +
        "secret is configured.",
    ),
  linksMax: relay.integer("links_max", 10_000, [1, 1_000_000])
    .doc("Most clients of the original at once; the L0 of a further one is closed."),
  linksPerHostMax: relay.integer("links_per_ip", 1_000, [0, 1_000_000])
    .doc("Of these, most of one address; 0: no limit but links_max."),
  modId: relay.integer("modid", 0, [0, UINT32_MAX])
    .doc("Module whose workers answer clients of the original; with cmdid."),
  cmdId: relay.integer("cmdid", 0, [0, UINT32_MAX])
    .doc("Second number of that module."),
  timeoutMs: relay.seconds("timeout", defaultBrokerLimits.timeoutMs / 1000, [0.05, 3600])
    .doc("Time for an answer where a request does not say."),
  clientBytesMax: relay.integer("client_bytes", 256 * 1024, [1024, GIB])
    .doc(
      "Bytes that may wait for one client to read them, and bytes of its requests that may wait " +
        "for a worker; a client that reads more slowly is cut.",
    ),
  clientRequestsMax: relay.integer(
    "client_requests",
    defaultBrokerLimits.clientRequestsMax,
    [1, 1_000_000],
  )
    .doc("Requests of one client without an answer; a further one is refused."),
  moduleRequestsMax: relay.integer(
    "module_requests",
    defaultBrokerLimits.moduleRequestsMax,
    [1, 10_000_000],
  )
    .doc("Requests of one module that wait for a worker; when_full says what then."),
  moduleBytesMax: relay.integer("module_bytes", defaultBrokerLimits.moduleBytesMax, [1024, GIB])
    .doc("And their bytes."),
  totalBytesMax: relay.integer("total_bytes", defaultBrokerLimits.totalBytesMax, [1024, 64 * GIB])
    .doc("Bytes of all requests that wait for a worker; the newest is refused then."),
  policy: relay.text("policy", RECOMMENDED_TEXT, { shape: "JSON of a module policy" })
    .doc(
      "By which workers are picked and judged, as of `lars module set`; empty: in turn, whatever " +
        "becomes of their requests.",
    ),
  storeUrl: relay.text("store", "", {
    secret: true,
    shape: "sqlite:PATH, mysql://user:password@host:port/name, or nats",
  })
    .doc(
      "Database that keeps messages for clients that are away; nats: the servers of that key, " +
        "for all relays together; empty: none are kept.",
    ),
  nats: relay.text("nats", "", { shape: "nats://host:port, several separated by commas" })
    .doc("NATS servers by which relays reach each other; empty: this relay is alone."),
  natsTokenFile: relay.text("nats_token_file", "", { shape: "path" })
    .doc("File with the token for these servers, or with user:password; empty: none."),
  natsCaFile: relay.text("nats_ca", "", { shape: "path" })
    .doc(
      "Certificate of the authority by which these servers prove who they are; empty: the system's.",
    ),
  natsMonitor: relay.text("nats_monitor", "", {
    shape: "http://host:port, several separated by commas",
  })
    .doc(
      "Monitoring of these servers, which is asked whether they sync each message to disk before " +
        "they acknowledge it, with store = nats; the log says it. Empty: that is not known.",
    ),
  natsPrefix: relay.text("nats_prefix", "lars", { shape: "letters, digits, _ or -" })
    .doc(
      "What subjects and the stream of these relays begin with: relays of one prefix are together.",
    ),
  natsReplicas: relay.integer("nats_replicas", 1, [1, 5])
    .doc("NATS servers that keep each message, when the stream is made: 1, 3 or 5."),
  mailTtlMs: relay.seconds("mail_ttl", 86_400, [1, 31_536_000])
    .doc("How long a message is kept where its sender does not say."),
  mailTtlMsMax: relay.seconds("mail_ttl_max", 2_592_000, [1, 31_536_000])
    .doc("How long a message is kept at most."),
  mailWindowMs: relay.seconds("mail_window", 3600, [60, 31_536_000])
    .doc("How long the id of a message is remembered, so that one sent again is kept once."),
  mailMessagesMax: relay.integer("mail_messages", 10_000, [1, 10_000_000])
    .doc("Messages kept for one client; a further one is refused."),
  mailBytesMax: relay.integer("mail_bytes", 16 * 1024 * 1024, [1024, GIB])
    .doc("And their bytes."),
  mailTotalMessagesMax: relay.integer("mail_total_messages", 1_000_000, [1, 100_000_000])
    .doc("Messages kept for all clients; a further one is refused."),
  mailTotalBytesMax: relay.integer("mail_total_bytes", GIB, [1024, 1024 * GIB])
    .doc("And their bytes."),
  whenFull: relay.choice("when_full", "refuse", WHEN_FULL)
    .doc(
      "What a full queue of a module does: refuse the newest request, drop the oldest, or cut the " +
        "client that sent the newest.",
    ),
} as const satisfies SettingsTable;
