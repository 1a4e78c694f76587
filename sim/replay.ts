// Core. Recorded reports of calls, judged again by the rules of a policy.

import {
  defaultBalanceSettings,
  describeStateChange,
  type ModulePolicy,
  RouteLb,
} from "../balancer/mod.ts";
import { parseIpv4 } from "../reactor/address.ts";
import { seededRng } from "../reactor/time/rng.ts";
import { addressText } from "../model/node.ts";

/** Most reports of one recording; more are refused. */
export const REPLAY_REPORTS_MAX = 10_000_000;

/** Most nodes of one recording; more are refused. */
export const REPLAY_NODES_MAX = 65_536;

/** One reported call. */
export interface RecordedReport {
  /** When the outcome was reported, from any beginning; never less than that of the line before. */
  readonly atMs: number;
  readonly ip: number;
  readonly port: number;
  readonly retcode: number;
  /** How long the call took; 0 = unknown. */
  readonly tookMs: number;
}

/** What the rules make of one node of a recording. */
export interface ReplayedNode {
  readonly node: string;
  readonly calls: number;
  readonly failed: number;
  /** Times it was judged overload. */
  readonly outs: number;
  /** When it was first; null = never. Milliseconds from the first report. */
  readonly firstOutMs: number | null;
  /** How long it was, all times together. Milliseconds. */
  readonly outMs: number;
}

/** What the rules make of a recording. */
export interface ReplayOutcome {
  readonly nodes: readonly ReplayedNode[];
  /** Every verdict in words, with its time in milliseconds from the first report. */
  readonly verdicts: readonly { readonly atMs: number; readonly text: string }[];
}

/** Ticks between two reports, at most. */
const TICKS_MAX = 10_000;

/** Rules look at what time alone changes this often, as an agent does. Milliseconds. */
const TICK_MS = 100;

function refuse(line: number, about: string): never {
  throw new RangeError(`Line ${line} of the recording ${about}`);
}

function numberOf(value: unknown, min: number, max: number): number | undefined {
  const fits = typeof value === "number" && value >= min && value <= max;
  return fits ? value : undefined;
}

function nodeOf(value: unknown): { ip: number; port: number } | undefined {
  const [host = "", port = ""] = String(value).split(":");
  if (!/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65535) return undefined;
  try {
    return { ip: parseIpv4(host) >>> 0, port: Number(port) };
  } catch {
    return undefined;
  }
}

/**
 * Reads one line: `{"atMs":1200,"node":"10.0.0.1:80","retcode":0,"tookMs":12}`. `tookMs` may be left
 * out; other keys are ignored, so that logs which hold more can be taken as they are.
 *
 * @param number Number of the line, for messages.
 * @throws {RangeError} when it is anything else.
 */
export function parseRecordedReport(text: string, number: number): RecordedReport {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse(number, "must be a JSON object");
  }
  if (typeof value !== "object" || value === null) return refuse(number, "must be a JSON object");
  const line: Record<string, unknown> = { ...value };
  const atMs = numberOf(line.atMs, 0, Number.MAX_SAFE_INTEGER);
  if (atMs === undefined) return refuse(number, `must have "atMs", a number from 0`);
  const node = nodeOf(line.node);
  if (node === undefined) {
    return refuse(number, `must have "node", an address and a port as in "10.0.0.1:80"`);
  }
  const retcode = numberOf(line.retcode, -2147483648, 2147483647);
  if (retcode === undefined) return refuse(number, `must have "retcode", a 32-bit number`);
  const tookMs = line.tookMs === undefined ? 0 : numberOf(line.tookMs, 0, 86_400_000);
  if (tookMs === undefined) return refuse(number, `must have a "tookMs" from 0 to 86400000`);
  return { atMs, ...node, retcode, tookMs };
}

/**
 * Reads a recording: a report in each line, empty lines ignored.
 *
 * @throws {RangeError} naming the line when one cannot be read, is older than the one before, or is
 * too many.
 */
export function parseRecording(text: string): RecordedReport[] {
  const reports: RecordedReport[] = [];
  let number = 0;
  for (const line of text.split("\n")) {
    number++;
    if (line.trim() === "") continue;
    const report = parseRecordedReport(line, number);
    const last = reports[reports.length - 1];
    if (last !== undefined && report.atMs < last.atMs) {
      return refuse(number, "is older than the one before: reports must be in order of time");
    }
    if (reports.length >= REPLAY_REPORTS_MAX) {
      return refuse(number, `is one too many: ${REPLAY_REPORTS_MAX} reports are read at most`);
    }
    reports.push(report);
  }
  return reports;
}

/** Times a node was out. */
class OutTimes {
  outs = 0;
  firstOutMs: number | null = null;
  #totalMs = 0;
  #sinceMs: number | undefined;

  /** A verdict on the node. */
  judged(overload: boolean, atMs: number): void {
    if (overload) {
      this.outs++;
      this.firstOutMs ??= atMs;
      this.#sinceMs = atMs;
    } else if (this.#sinceMs !== undefined) {
      this.#totalMs += atMs - this.#sinceMs;
      this.#sinceMs = undefined;
    }
  }

  /** All times together, up to now. Milliseconds. */
  totalMs(nowMs: number): number {
    return this.#totalMs + (this.#sinceMs === undefined ? 0 : nowMs - this.#sinceMs);
  }
}

class CountedNode {
  calls = 0;
  failed = 0;
  readonly out = new OutTimes();
  readonly ip: number;
  readonly port: number;

  constructor(ip: number, port: number) {
    this.ip = ip;
    this.port = port;
  }
}

function countNodes(reports: readonly RecordedReport[]): Map<string, CountedNode> {
  const nodes = new Map<string, CountedNode>();
  for (const { ip, port, retcode } of reports) {
    const name = addressText({ ip, port });
    const node = nodes.get(name) ?? new CountedNode(ip, port);
    node.calls++;
    if (retcode !== 0) node.failed++;
    nodes.set(name, node);
  }
  if (nodes.size > REPLAY_NODES_MAX) {
    throw new RangeError(`The recording has ${nodes.size} nodes: at most ${REPLAY_NODES_MAX} fit`);
  }
  return nodes;
}

/**
 * Feeds a recording to the rules, all of it to one agent. The calls were picked when they were
 * recorded: reports of a node that would have been out count too, as its probes would.
 *
 * @throws {RangeError} when there are more nodes than {@linkcode REPLAY_NODES_MAX}.
 */
export function replay(
  reports: readonly RecordedReport[],
  modulePolicy: ModulePolicy,
): ReplayOutcome {
  const fromMs = reports[0]?.atMs ?? 0;
  const endMs = (reports[reports.length - 1]?.atMs ?? 0) - fromMs;
  const nodes = countNodes(reports);
  const verdicts: { atMs: number; text: string }[] = [];
  const lb = new RouteLb({
    settings: defaultBalanceSettings,
    rng: seededRng(1),
    modulePolicy,
    onPull: () => {},
    onStateChange: (change) => {
      const { atMs, overload, ip, port } = change;
      verdicts.push({ atMs, text: describeStateChange(change) });
      nodes.get(addressText({ ip, port }))?.out.judged(overload, atMs);
    },
  });
  lb.use(1, 1, 0);
  lb.update(1, 1, [...nodes.values()], 0);
  let tickMs = TICK_MS;
  for (const { atMs, ip, port, retcode, tookMs } of reports) {
    const nowMs = atMs - fromMs;
    // A long silence needs no more ticks than it has ends of windows, which settle at any time.
    tickMs = Math.max(tickMs, nowMs - TICKS_MAX * TICK_MS);
    for (; tickMs <= nowMs; tickMs += TICK_MS) lb.tick(tickMs);
    lb.report(1, 1, ip, port, retcode, tookMs, nowMs);
  }
  lb.tick(endMs);
  return {
    nodes: [...nodes].map(([node, { calls, failed, out }]) => ({
      node,
      calls,
      failed,
      outs: out.outs,
      firstOutMs: out.firstOutMs,
      outMs: out.totalMs(endMs),
    })),
    verdicts,
  };
}
