// Shell. Every parser that meets a file, a command line or a network. A parser returns or throws an error of ours; anything else is a bug.

import { isDeepStrictEqual } from "node:util";
import { decodeAbout } from "../../agent/handover/hand_over_messages.ts";
import { parseHealthCheck } from "../../agent/health/health_plan.ts";
import { decodeRouteCache } from "../../agent/routes/route_cache.ts";
import { parseBalanceSettings } from "../../balancer/detection/balance_settings.ts";
import { parseModulePolicy } from "../../balancer/module_policy.ts";
import { readExplanation } from "../../balancer/routes/explanation_page.ts";
import { readProxies } from "../../control/access/client_address.ts";
import { decodeRouteFile, parseRouteFile } from "../../control/changes/route_file.ts";
import { parseNode } from "../../control/changes/change_edits.ts";
import { parseOrigins } from "../../relay/web_origin.ts";
import { parseDays, parseFloor } from "../../control/scaling/scale_floor.ts";
import { parseTrack } from "../../control/scaling/scale_settings.ts";
import { parseStateFile } from "../../control/transfer/state_file.ts";
import { parseNodeCheck } from "../../daemon/node_check_rules.ts";
import { parseListeners, parseModulePair } from "../../discovery/config.ts";
import { readConnectBack, readServerId, readServerInfo } from "../../discovery/seed/seed_frames.ts";
import { readFilled } from "../../export/config.ts";
import { readServersState } from "../../export/haproxy/servers.ts";
import { readModuleNumbers } from "../../export/module_name.ts";
import { readNameQuestion } from "../../export/nameserver/answers.ts";
import { dnsCodec } from "../../export/nameserver/packets.ts";
import { parseServer } from "../../feed/server_choice.ts";
import {
  parseCmdId,
  parseModId,
  parseNodeIp,
  parsePort,
  parseState,
  parseWeight,
  parseWhole,
  parseZone,
} from "../../model/route_values.ts";
import * as codec from "../../proto/codec.ts";
import { MessageId } from "../../proto/message_ids.ts";
import { readPickKey } from "../../proto/pick_key.ts";
import { readDatagram } from "../../proto/wire.ts";
import { parseAddress, parseIpv4 } from "../../reactor/address.ts";
import { ConfigFile } from "../../reactor/config_file.ts";
import { encodeFrame, FrameDecoder, readHead } from "../../reactor/frame.ts";
import { silentLogger } from "../../reactor/log.ts";
import { ManualClock } from "../../reactor/time/manual_clock.ts";
import { parseNatsMonitors, parseNatsServers } from "../../relay/cluster/nats_side.ts";
import { readTransitTarget } from "../../relay/seed/relay_frame.ts";
import { readPortsText } from "../../relay/seed/ports_text.ts";
import { Secrets } from "../../session/secrets.ts";
import { ServerSessions, type SessionPeer } from "../../session/server_sessions.ts";
import { readCertificate } from "../../session/tls/certificate_check.ts";
import {
  encodeSpoolHead,
  encodeSpoolRecord,
  rowsIn,
  SpoolReader,
} from "../../reporter/spool/spool_format.ts";
import { parseRecordedReport, parseRecording } from "../../sim/replay.ts";
import { parseBackupEnd, parseBackupHead, parseBackupRow } from "../../sql/backup/backup_format.ts";
import { parseStoreUrl } from "../../sql/drivers/store_url.ts";
import {
  parseAgent,
  parseNodeAddress,
  parsePeer,
  parseStoredNodeAddress,
} from "../../tools/cli_arguments.ts";
import { parseModuleWord } from "../../tools/module_argument.ts";
import { parseKeyChange } from "../../tools/policy_text.ts";
import { parseSampleFile } from "../../tools/sample_routes.ts";

/** A parser of text, and texts that it takes, to be damaged. */
export interface TextParser {
  readonly seeds: readonly string[];
  parse(text: string): unknown;
}

/** The same of bytes. */
export interface BytesParser {
  readonly seeds: readonly Uint8Array[];
  parse(bytes: Uint8Array): unknown;
}

const CSV = "modid,cmdid,ip,port,weight,zone,state\n1,2,10.0.0.1,80,100,a,on\n";
const POLICY = '{"policy":"recommended","errRate":0.2,"healthCheck":{"kind":"http","path":"/up"}}';
const STATE = '{"version":1,"routes":[{"modid":1,"cmdid":1,"nodes":["10.0.0.1:80"]}]}';
const REPORT = '{"atMs":1200,"node":"10.0.0.1:80","retcode":0,"tookMs":12}';
const SERVERS = "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state " +
  "srv_uweight srv_check_state srv_port\n3 be 1 s1 10.0.0.1 2 0 1 6 80\n";

const BACKUP_HEAD = '{"lars_backup":1,"schema_version":18,"database":"mysql","program":"x",' +
  '"made_at":1,"epoch":0,"version":1,"tables":[{"name":"Module","columns":["id"],"rows":1}]}';

/** By the name of the function. */
export const TEXT_PARSERS: Readonly<Record<string, TextParser>> = {
  parseFloor: { seeds: ["mon-fri 08:00-20:00 Europe/Berlin 6"], parse: parseFloor },
  parseTrack: {
    seeds: ['{"nodes":[1],"wish":[2],"load":[3.5],"errorShare":[0]}', "{}"],
    parse: parseTrack,
  },
  parseNatsServers: { seeds: ["nats://a:4222, tls://[::1]:4223"], parse: parseNatsServers },
  parseNatsMonitors: { seeds: ["http://a:8222, https://[::1]:8222"], parse: parseNatsMonitors },
  "ConfigFile.parse": {
    seeds: ['[reactor]\nip = 0.0.0.0\n; no\nport = 1\n[agent]\nzone = "a b"\n'],
    parse: (text) => ConfigFile.parse(text, "x.conf"),
  },
  parseAddress: {
    seeds: ["10.0.0.1:80", "[2001:db8::1]:80", "host"],
    parse: (t) => parseAddress(t, 80),
  },
  parseServer: {
    seeds: ["10.0.0.1:80@east", "_lars._tcp.x"],
    parse: (text) => parseServer(text, 7778),
  },
  parseStoreUrl: {
    seeds: ["sqlite:data/x.db", "mysql://u:p%40@a:3306,b/lars?tls=1"],
    parse: parseStoreUrl,
  },
  parseModulePolicy: { seeds: [POLICY, ""], parse: (text) => parseModulePolicy(text) },
  parseHealthCheck: { seeds: [POLICY], parse: parseHealthCheck },
  parseBalanceSettings: { seeds: ['{"probeNum":10,"errRate":0.1}'], parse: parseBalanceSettings },
  readExplanation: {
    seeds: ['{"state":"ready","module":{"nodes":[],"nodeCount":0}}'],
    parse: readExplanation,
  },
  readProxies: { seeds: ["10.0.0.0/8, 2001:db8::/32"], parse: readProxies },
  "parseRouteFile csv": { seeds: [CSV], parse: (text) => parseRouteFile(text, "csv", "x.csv") },
  "parseRouteFile json": {
    seeds: ['[{"modid":1,"cmdid":2,"ip":"10.0.0.1","port":80}]'],
    parse: (text) => parseRouteFile(text, "json", "x.json"),
  },
  parseStateFile: { seeds: [STATE], parse: (text) => parseStateFile(text, "x.json") },
  parseIpv4: { seeds: ["10.0.0.1"], parse: parseIpv4 },
  parseNode: { seeds: ["10.0.0.1:80"], parse: parseNode },
  parseNodeAddress: { seeds: ["10.0.0.1:80"], parse: parseNodeAddress },
  parseStoredNodeAddress: { seeds: ["10.0.0.1:80"], parse: parseStoredNodeAddress },
  parsePeer: { seeds: ["host:80", "host"], parse: (text) => parsePeer(text, 1) },
  parseAgent: { seeds: ["127.0.0.1:8888"], parse: parseAgent },
  parseModuleWord: { seeds: ["1/2", "shop", "1"], parse: parseModuleWord },
  parseKeyChange: { seeds: ["errRate=0.2", 'rules=["wilson"]'], parse: parseKeyChange },
  parseNodeCheck: { seeds: ["tcp", "http:/up"], parse: parseNodeCheck },
  parseModulePair: { seeds: ["1/2"], parse: (text) => parseModulePair(text, "module") },
  parseListeners: { seeds: ["127.0.0.1:9000=1/2,127.0.0.1:9001=1/3"], parse: parseListeners },
  readFilled: {
    seeds: ["be=login other=1.2"],
    parse: (text) => readFilled(text, "[haproxy] backends"),
  },
  readServersState: { seeds: [SERVERS], parse: (text) => readServersState(text, "be") },
  readModuleNumbers: { seeds: ["1.2"], parse: readModuleNumbers },
  parseRecording: { seeds: [`${REPORT}\n${REPORT}\n`], parse: parseRecording },
  parseRecordedReport: { seeds: [REPORT], parse: (text) => parseRecordedReport(text, 1) },
  parseSampleFile: { seeds: ['{"samples":[]}'], parse: parseSampleFile },
  parseOrigins: { seeds: ["https://a.example, http://127.0.0.1:8000"], parse: parseOrigins },
  parseDays: { seeds: ["mon-fri", "sat,sun", "*"], parse: parseDays },
  readCertificate: {
    seeds: ["-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"],
    parse: (text) => readCertificate(text),
  },
  parseBackupHead: {
    seeds: [BACKUP_HEAD],
    parse: parseBackupHead,
  },
  parseBackupRow: { seeds: ['[1,"a",null]'], parse: (text) => parseBackupRow(text, 3, 1) },
  parseBackupEnd: { seeds: ['{"rows":3,"sha256":"00"}'], parse: parseBackupEnd },
  parseWhole: { seeds: ["12"], parse: (text) => parseWhole("It", text, 0, 100) },
  parseModId: { seeds: ["1"], parse: parseModId },
  parseCmdId: { seeds: ["1"], parse: parseCmdId },
  parsePort: { seeds: ["80"], parse: parsePort },
  parseNodeIp: { seeds: ["10.0.0.1"], parse: parseNodeIp },
  parseWeight: { seeds: ["100"], parse: parseWeight },
  parseZone: { seeds: ["east"], parse: parseZone },
  parseState: { seeds: ["on", "drain"], parse: parseState },
};

type Decode = (body: Uint8Array) => object;
type Encode = (message: object) => Uint8Array;

const codecs = Object.entries(codec as unknown as Record<string, Decode | Encode>);
const DECODERS = codecs.filter(([name]) => name.startsWith("decode")) as [string, Decode][];
const ENCODERS = new Map(codecs as [string, Encode][]);

/** Any message: the first byte says which one. What is read, written and read again is the same. */
function decodeMessage(bytes: Uint8Array): void {
  const [first = 0, ...body] = bytes;
  const [name, decode] = DECODERS[first % DECODERS.length];
  const message = decode(Uint8Array.from(body));
  const encode = ENCODERS.get(name.replace("decode", "encode"));
  if (encode === undefined) return;
  const again = decode(encode(message));
  if (isDeepStrictEqual(message, again)) return;
  const [is, was] = [again, message].map((one) => JSON.stringify(one));
  throw new Error(`${name} reads ${was}, and what is written of it: ${is}`);
}

/** What a peer sends before anybody knows who it is, as bytes of a stream. */
function readSession(bytes: Uint8Array): void {
  const sessions = new ServerSessions<SessionPeer>({
    ...{ role: "dns", software: "fuzz", log: silentLogger, clock: new ManualClock(0) },
    secrets: new Secrets([new Uint8Array(32).fill(7)]),
    prove: () => new Uint8Array(32),
    newNonce: () => new Uint8Array(16),
  });
  let isClosed = false;
  const end = { hostname: "10.0.0.1", port: 1 };
  const peer: SessionPeer = {
    ...{ local: end, remote: end, send: () => true },
    close: () => void (isClosed = true),
  };
  sessions.accept(peer);
  new FrameDecoder().push(bytes, (msgId, body) => {
    if (!isClosed) isClosed = typeof sessions.router.dispatch(msgId, body, peer) === "object";
  });
  sessions.forget(peer);
}

const QUESTION = dnsCodec.encode({
  ...{ type: "query", id: 7, flags: 256 },
  questions: [{ name: "a.lars", type: "A" }],
});

const bytesOf = (...text: string[]): Uint8Array[] =>
  text.map((one) => new TextEncoder().encode(one));

/** A file of the reporter's spool, read to its end. */
function readSpoolFile(bytes: Uint8Array): void {
  for (const record of new SpoolReader(bytes).records()) rowsIn(record);
}

/** One with two records. */
function spoolFile(): Uint8Array {
  const result = { ip: 1, port: 80, succ: 1, err: 0, overload: false };
  const report = { modId: 1, cmdId: 1, caller: 1, results: [result], ts: 1 };
  const [one, other] = [{ atMs: 1, session: 0, report }, {
    ...{ atMs: 2, session: 7, report: { ...report, seq: 3 } },
  }].map(encodeSpoolRecord);
  return Uint8Array.of(...encodeSpoolHead({ id: 9, first: 1 }), ...one, ...other);
}

/** By the name of the function. */
export const BYTES_PARSERS: Readonly<Record<string, BytesParser>> = {
  readHead: { seeds: [new Uint8Array(8)], parse: (bytes) => readHead(bytes) },
  readDatagram: { seeds: [Uint8Array.of(4, 0, 0, 0, 2, 0, 0, 0, 8, 1)], parse: readDatagram },
  decodeMessage: {
    seeds: DECODERS.map((_, index) => Uint8Array.of(index)),
    parse: decodeMessage,
  },
  readSession: {
    seeds: [
      encodeFrame(
        MessageId.Hello,
        codec.encodeHello({
          ...{ protocol: 2, software: "x", role: "agent", nonce: new Uint8Array(16) },
        }),
      ),
      encodeFrame(MessageId.Ping, codec.encodePing({ seq: 1 })),
      encodeFrame(MessageId.HelloProof, codec.encodeHelloProof({ mac: new Uint8Array(32) })),
    ],
    parse: readSession,
  },
  readNameQuestion: {
    seeds: [Uint8Array.from(QUESTION)],
    parse: (bytes) => readNameQuestion(bytes, dnsCodec),
  },
  readPickKey: { seeds: bytesOf("key"), parse: readPickKey },
  readSpoolFile: { seeds: [spoolFile()], parse: readSpoolFile },
  decodeRouteCache: { seeds: [new Uint8Array(64)], parse: decodeRouteCache },
  decodeAbout: {
    seeds: bytesOf('\x01{"protocol":1,"software":"lars/0.1.0"}'),
    parse: (bytes) => decodeAbout(1, bytes),
  },
  decodeRouteFile: {
    seeds: [...bytesOf(CSV), Uint8Array.of(255, 254, 65, 0)],
    parse: decodeRouteFile,
  },
  readPortsText: { seeds: bytesOf("2001X2002\0", "2001x2002\0"), parse: readPortsText },
  readTransitTarget: { seeds: [new Uint8Array(184)], parse: readTransitTarget },
  readServerInfo: { seeds: [new Uint8Array(64)], parse: readServerInfo },
  readConnectBack: { seeds: [new Uint8Array(8)], parse: readConnectBack },
  readServerId: { seeds: [new Uint8Array(4)], parse: (bytes) => readServerId(bytes, "heart") },
};

/**
 * Functions that look like parsers by their name and are none, or are tried elsewhere: why.
 */
export const ELSEWHERE: Readonly<Record<string, string>> = {
  readTemplateFile: "takes a path; what is wrong with the template becomes an error of ours",
  readNatsSync: "whatever it throws, its caller says that the answer is none",
  readStoreUrl: "takes a path, whose file's content parseStoreUrl takes",
  readName: "fills from memory that the kernel wrote",
  readRelayFrame: "its caller has checked the length; relay/seed/relay_frame_test.ts",
  unpackRows: "numbers of our own between threads",
  unpackNodes: "numbers of our own between threads",
  decodeTask: "messages of our own between threads; agent/worker/ring_codec_test.ts",
  decodeNote: "messages of our own between threads; agent/worker/ring_codec_test.ts",
  decodeEchoMessage: "an example; reactor/examples/examples_test.ts",
  readExampleOptions: "an example; reactor/examples/examples_test.ts",
  readHealthCheck: "takes what JSON gave; parseHealthCheck is tried",
  readPlainFlags: "takes words of the command line; daemon/settings/flags_test.ts",
  readFlags: "takes words of the command line; daemon/settings/flags_test.ts",
  parseModuleOption: "gathers words for parseModuleWord",
  readInt32: "a number at a place that its caller has checked",
  parseMigration: "migrations of this repository",
  parseKeys: "keys of a terminal; tools/top_model_test.ts",
  readQuestion: "a conformance fake, tried by its exchanges",
  readTypes: "the schema of this repository",
  readSchema: "the schema of this repository",
};
