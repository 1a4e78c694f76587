// Shell. The relay: requests of ten thousand clients to eight workers, next to a plain relay on
// `node:net`, and through a NATS server.

import { createServer } from "node:net";
import { batchTcpFault } from "../reactor/fast/batch_tcp.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import {
  type Bench,
  type BenchRuntime,
  cpuMicros,
  type LoadResult,
  openFilesFault,
  type Suite,
} from "./harness.ts";
import { findProgram, residentBytes } from "./machine.ts";
import { compileNative } from "./native_tools.ts";
import { missingRow, type Row, rowOf } from "./rows.ts";
import { ServerProcess } from "./server_process.ts";

/** Clients: of our own protocol, and of the original, which have two connections each. */
const SESSIONS = 9_000;
const LINKS = 1_000;
const WORKERS = 8;
/** Requests in flight of all clients. */
const WINDOW = 1_024;
/** Half of the requests a second that have to be reached, in requests a second. */
const HALF_RATE = 15_000;
/** Clients that ask and never read, and requests of each: more than the kernel keeps for it. */
const DEAF = 1_000;
const DEAF_REQUESTS = 800;
const IDLE = 10_000;
/** Clients over WebSocket that ask, and requests of all of them a second; those that are idle. */
const WEB_CLIENTS = 1_000;
const WEB_RATE = 5_000;
const WEB_IDLE = 2_000;
/** Memory that an idle client may take, and that what waits for one may: `client_bytes`. */
const IDLE_KIB = 4;
const CLIENT_KIB = 256;
/** Time for accepting and garbage collection to settle. */
const SETTLE_MS = 3_000;

const ABOUT = "10,000 clients, 8 workers";
const CPU_ROW = `relay, ${ABOUT}: CPU per request and its answer`;
const SPEED_ROW = `relay, ${ABOUT}: requests and answers a second`;
const LATE_ROW = `relay, ${ABOUT}, 15,000 requests a second: p99 over that of an echo`;
const DEAF_ROW = `relay, the same beside 1,000 clients that never read: p99`;
const IDLE_ROW = `relay, 10,000 idle clients: memory of each`;
const BURST_ROW = `relay, the same in bursts of 4 of a client: CPU per request and its answer`;
const STUCK_ROW = `relay, 1,000 clients that never read: memory of each`;
const WEB_ABOUT = "1,000 clients over WebSocket";
const WEB_CPU_ROW = `relay, ${WEB_ABOUT}: CPU per request and its answer`;
const WEB_SPEED_ROW = `relay, ${WEB_ABOUT}: requests and answers a second`;
const WEB_LATE_ROW = `relay, ${WEB_ABOUT}, 5,000 requests a second: p99`;
const WEB_IDLE_ROW = `relay, 2,000 idle clients over WebSocket: memory of each`;
const WEB_ROWS = [WEB_CPU_ROW, WEB_SPEED_ROW, WEB_LATE_ROW];
const ROWS = [
  ...[CPU_ROW, SPEED_ROW, BURST_ROW, LATE_ROW, DEAF_ROW, IDLE_ROW, STUCK_ROW],
  ...[...WEB_ROWS, WEB_IDLE_ROW],
];
/** Rounds of a comparison: each connects all clients anew, which takes longer than what is measured. */
const ROUNDS = 3;
/** Requests that go out over one client before the next has its turn. */
const BURST = 4;

/** A relay that is measured. */
interface Subject {
  readonly name: string;
  readonly pid: number;
  readonly words: readonly string[];
  /** It is ours, and serves clients of the original too. */
  readonly isOurs: boolean;
  readonly isFast: boolean;
}

async function startOurs(
  bench: Bench,
  on: BenchRuntime,
  isFast: boolean,
  more: readonly string[] = [],
): Promise<Subject> {
  const name = `${on.name} ${isFast ? "fast" : "portable"}`;
  const flags = ["--json", "--relay-port=0", "--metrics-port=0", "--log-level=error"];
  const bounds = ["--relay-links-per-ip=0", "--relay-client-requests=100000"];
  const path = `--relay-fast-path=${isFast ? "auto" : "off"}`;
  const argv = on.command("relay/main.ts", ...flags, ...bounds, path, ...more);
  const { pid, addresses: [{ hostname, port }] } = await bench.start(`relay, ${name}`, argv);
  return { name, pid, words: [`host=${hostname}`, `port=${port}`], isOurs: true, isFast };
}

async function startPlain(
  bench: Bench,
  on: BenchRuntime,
  kind: "relay" | "echo" = "relay",
): Promise<Subject> {
  const name = `node:net ${kind === "echo" ? "echo " : ""}in ${on.name}`;
  const server = await bench.start(`relay, ${name}`, on.command("bench/relay_plain.ts", kind));
  const [{ hostname, port }, { port: workerPort }] = server.addresses;
  const words = ["mode=plain", `host=${hostname}`, `port=${port}`, `worker_port=${workerPort}`];
  return { name, pid: server.pid, words, isOurs: false, isFast: false };
}

/** One with a port for WebSockets: over it, and over sessions with the same relay. */
async function startWeb(
  bench: Bench,
  on: BenchRuntime,
  isFast: boolean,
): Promise<{ readonly web: Subject; readonly session: Subject }> {
  const webPort = await freePort();
  const session = await startOurs(bench, on, isFast, [`--relay-web-port=${webPort}`]);
  const [host, port] = session.words;
  const words = ["mode=web", host, `port=${webPort}`, `worker_${port}`];
  return { session, web: { ...session, words } };
}

/** A port that is free now. */
function freePort(): Promise<number> {
  const server = createServer();
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = address !== null && typeof address === "object" ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

/** A NATS server, which is asked by request and reply; undefined: there is none on this machine. */
async function startNats(bench: Bench): Promise<Subject | undefined> {
  const program = findProgram("nats-server");
  if (program === undefined) return undefined;
  const port = await freePort();
  // It says nothing that could be waited for: the load comes again until it is let in.
  const ready = JSON.stringify({ event: "ready", addresses: [`127.0.0.1:${port}`] });
  const line = `echo '${ready}'; exec ${program} -a 127.0.0.1 -p ${port} -l /dev/null`;
  const { pid } = await bench.start("nats-server", ["sh", "-c", line]);
  const words = ["mode=nats", "host=127.0.0.1", `port=${port}`];
  return { name: "nats-server", pid, words, isOurs: false, isFast: false };
}

async function startAll(bench: Bench, on: BenchRuntime): Promise<[Subject, ...Subject[]]> {
  const subjects: [Subject, ...Subject[]] = [await startPlain(bench, on)];
  subjects.push(await startOurs(bench, on, false));
  if (batchTcpFault(systemClock) === undefined) subjects.push(await startOurs(bench, on, true));
  const nats = on === bench.subjects[0] ? await startNats(bench) : undefined;
  if (nats !== undefined) subjects.push(nats);
  return subjects;
}

/** What the load is asked for beside the usual clients. */
type Words = Readonly<Record<string, number>>;

function argvOf(
  bench: Bench,
  program: string,
  { words, pid, isOurs }: Subject,
  more: Words,
): string[] {
  const share = bench.smoke ? 0.01 : 1;
  const links = isOurs ? LINKS * share : 0;
  const sessions = (SESSIONS + LINKS) * share - links;
  const all = { pid, sessions, links, workers: WORKERS, ...more };
  return [program, ...words, ...Object.entries(all).map(([name, value]) => `${name}=${value}`)];
}

async function measure(
  bench: Bench,
  program: string,
  subject: Subject,
  more: Words,
): Promise<LoadResult> {
  const warmup = bench.smoke ? 20 : 500;
  // A smoke run is so short that on a busy machine nobody may have had a turn: then it is repeated.
  for (let ms = bench.smoke ? 100 : 1_000;; ms *= 4) {
    const argv = argvOf(bench, program, subject, { ms, warmup, ...more });
    const result = JSON.parse(await bench.runLoad(argv)) as LoadResult;
    if (result.ok > 0 && result.wrong === 0) return result;
    if (result.wrong > 0 || ms > 2_000) {
      throw new Error(`${subject.name}: ${JSON.stringify(result)}`);
    }
  }
}

function roundsOf({ smoke }: Bench): number {
  return smoke ? 1 : ROUNDS;
}

/** Rows under full load: processor time against the plain relay, and what is reached. */
async function loadRows(
  bench: Bench,
  program: string,
  [plain, ...subjects]: readonly [Subject, ...Subject[]],
): Promise<Row[]> {
  const window = bench.smoke ? 32 : WINDOW;
  const samples = await bench.interleave(
    [plain, ...subjects].flatMap((subject) => [
      { name: subject.name, measure: () => measure(bench, program, subject, { window }) },
      {
        name: `${subject.name}, bursts`,
        measure: () => measure(bench, program, subject, { window, burst: BURST }),
      },
    ]),
    roundsOf(bench),
  );
  const of = (name: string, value: (one: LoadResult) => number): number[] =>
    (samples.get(name) ?? []).map(value);
  const perSecond = ({ ok, seconds }: LoadResult): number => 2 * ok / seconds / 1000;
  const cpuRow = (row: string, { name, isFast }: Subject, ending = ""): Row =>
    rowOf({
      ...{ name: row, subject: name, unit: "us", reference: plain.name },
      values: of(name + ending, cpuMicros),
      referenceValues: of(plain.name + ending, cpuMicros),
      ...(isFast ? { target: { atMost: 0.5 } } : {}),
    });
  return subjects.flatMap((subject) => [
    cpuRow(CPU_ROW, subject),
    cpuRow(BURST_ROW, subject, ", bursts"),
    rowOf({
      ...{ name: SPEED_ROW, subject: subject.name, unit: "k/s", reference: plain.name },
      values: of(subject.name, perSecond),
      referenceValues: of(plain.name, perSecond),
    }),
    ...(subject.isFast
      ? [rowOf({
        ...{ name: SPEED_ROW, subject: `${subject.name}, at least`, unit: "k/s" },
        ...{ values: of(subject.name, perSecond), target: { atLeast: 60 } },
      })]
      : []),
  ]);
}

/** Rows at half load, without and with clients that never read. */
async function lateRows(
  bench: Bench,
  program: string,
  subjects: readonly Subject[],
  echo: Subject,
): Promise<Row[]> {
  const rate = bench.smoke ? 200 : HALF_RATE;
  const deaf = { deaf: bench.smoke ? 5 : DEAF, deaf_requests: DEAF_REQUESTS };
  const samples = await bench.interleave(
    [echo, ...subjects].flatMap((subject) => [
      { name: subject.name, measure: () => measure(bench, program, subject, { rate }) },
      ...(subject.isFast
        ? [{
          name: `${subject.name}, deaf`,
          measure: () => measure(bench, program, subject, { rate, ...deaf }),
        }]
        : []),
    ]),
    roundsOf(bench),
  );
  const of = (name: string): number[] => (samples.get(name) ?? []).map(({ p99us }) => p99us);
  return subjects.flatMap(({ name, isFast }) => [
    rowOf({
      ...{ name: LATE_ROW, subject: name, unit: "us" },
      values: of(name).map((p99, round) => p99 - of(echo.name)[round]),
      ...(isFast ? { target: { atMost: 1000 } } : {}),
    }),
    ...(isFast
      ? [rowOf({
        ...{ name: DEAF_ROW, subject: name, unit: "us", values: of(`${name}, deaf`) },
        ...{ reference: "without them", referenceValues: of(name), target: { atMost: 1.1 } },
      })]
      : []),
  ]);
}

/** What each of many clients that do nothing, or do not read, costs in memory. */
async function memoryRow(
  bench: Bench,
  program: string,
  subject: Subject,
  name: string,
  more: Words,
): Promise<Row> {
  const clients = (more.deaf ?? more.sessions) as number;
  // So that code and heap are there before the first look.
  const links = more.links ?? 10;
  await measure(bench, program, subject, { sessions: 100, links, window: 64 });
  await bench.pause(bench.smoke ? 20 : SETTLE_MS);
  const before = residentBytes(subject.pid) ?? NaN;
  const argv = argvOf(bench, program, subject, { sessions: 0, links: 0, ms: 0, ...more });
  const holder = await ServerProcess.start("clients", bench.onLoadProcessor(argv));
  await bench.pause(bench.smoke ? 20 : SETTLE_MS);
  const after = residentBytes(subject.pid) ?? NaN;
  await holder.stop();
  return rowOf({
    ...{ name, subject: subject.name, unit: "KiB" },
    values: [(after - before) / clients / 1024],
    ...(name === STUCK_ROW || (name === IDLE_ROW && subject.isFast)
      ? { target: { atMost: name === STUCK_ROW ? CLIENT_KIB : IDLE_KIB } }
      : {}),
  });
}

/** Rows of WebSockets, each beside the same over sessions. */
async function webRows(
  bench: Bench,
  program: string,
  { web, session }: { readonly web: Subject; readonly session: Subject },
): Promise<Row[]> {
  const clients = { links: 0, sessions: bench.smoke ? 10 : WEB_CLIENTS };
  const load = { ...clients, window: bench.smoke ? 32 : WINDOW };
  const slow = { ...clients, rate: bench.smoke ? 200 : WEB_RATE };
  const samples = await bench.interleave(
    [["session", session] as const, ["web", web] as const].flatMap(([name, subject]) => [
      { name, measure: () => measure(bench, program, subject, load) },
      { name: `${name}, slow`, measure: () => measure(bench, program, subject, slow) },
    ]),
    roundsOf(bench),
  );
  const row = (
    name: string,
    unit: string,
    ending: string,
    value: (one: LoadResult) => number,
  ): Row =>
    rowOf({
      ...{ name, subject: web.name, unit, reference: "the same over sessions" },
      values: (samples.get(`web${ending}`) ?? []).map(value),
      referenceValues: (samples.get(`session${ending}`) ?? []).map(value),
    });
  return [
    row(WEB_CPU_ROW, "us", "", cpuMicros),
    row(WEB_SPEED_ROW, "k/s", "", ({ ok, seconds }) => 2 * ok / seconds / 1000),
    row(WEB_LATE_ROW, "us", ", slow", ({ p99us }) => p99us),
  ];
}

async function allWebRows(bench: Bench, program: string, on: BenchRuntime): Promise<Row[]> {
  const rows: Row[] = [];
  const isFast = batchTcpFault(systemClock) === undefined;
  if (bench.wants("relay", WEB_IDLE_ROW)) {
    const idle = { sessions: bench.smoke ? 20 : WEB_IDLE, links: 0, workers: 0 };
    const { web } = await startWeb(bench, on, isFast);
    rows.push(await memoryRow(bench, program, web, WEB_IDLE_ROW, idle));
    await bench.stopServers();
  }
  if (WEB_ROWS.some((row) => bench.wants("relay", row))) {
    rows.push(...await webRows(bench, program, await startWeb(bench, on, isFast)));
    await bench.stopServers();
  }
  return rows;
}

async function rowsOn(bench: Bench, program: string, on: BenchRuntime): Promise<Row[]> {
  const rows: Row[] = [];
  for (const isFast of batchTcpFault(systemClock) === undefined ? [false, true] : [false]) {
    const idle = { sessions: bench.smoke ? 100 : IDLE, workers: 0 };
    const stuck = { deaf: bench.smoke ? 10 : DEAF, deaf_requests: 2 * DEAF_REQUESTS };
    for (const [name, more] of [[IDLE_ROW, idle], [STUCK_ROW, stuck]] as const) {
      if (!bench.wants("relay", name)) continue;
      const subject = await startOurs(bench, on, isFast);
      rows.push(await memoryRow(bench, program, subject, name, more));
      await bench.stopServers();
    }
  }
  rows.push(...await allWebRows(bench, program, on));
  const wantsLoad = [CPU_ROW, BURST_ROW, SPEED_ROW].some((row) => bench.wants("relay", row));
  const wantsLate = [LATE_ROW, DEAF_ROW].some((row) => bench.wants("relay", row));
  if (!wantsLoad && !wantsLate) return rows;
  const subjects = await startAll(bench, on);
  const echo = await startPlain(bench, on, "echo");
  if (wantsLoad) rows.push(...await loadRows(bench, program, subjects));
  if (wantsLate) rows.push(...await lateRows(bench, program, subjects, echo));
  await bench.stopServers();
  return rows;
}

/** Rows of the relay. */
export const relaySuite: Suite = {
  name: "relay",
  rows: ROWS,
  async run(bench): Promise<Row[]> {
    const native = compileNative("relay_load", bench.directory);
    const why = "reason" in native
      ? native.reason
      : bench.smoke
      ? undefined
      : openFilesFault(IDLE + 2 * LINKS + DEAF);
    if (why !== undefined || "reason" in native) {
      return ROWS.map((name) => missingRow(name, "", why ?? ""));
    }
    const rows: Row[] = [];
    for (const on of bench.subjects) rows.push(...await rowsOn(bench, native.path, on));
    return rows;
  },
};
