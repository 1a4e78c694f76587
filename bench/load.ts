// Shell. The load generator in TypeScript, for machines without a C compiler; see c/load.c.

import { spawn } from "node:child_process";
import {
  decodeGetHostRequest,
  decodeGetHostResponse,
  frameGetHostRequest,
  frameReportRequest,
  type GetHostResponse,
} from "../proto/codec.ts";
import { readDatagram } from "../proto/wire.ts";
import { agentPortIndex, MessageId } from "../proto/message_ids.ts";
import type { Address } from "../reactor/address.ts";
import { runtime, type UdpSocket } from "../reactor/runtime/mod.ts";
import { sleep } from "../reactor/time/clock.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { cpuSeconds } from "./machine.ts";
import { readWords } from "./program.ts";

const CMD_ID = 1;
/** Questions without an answer for this time are lost, and asked anew. */
const SILENCE_MS = 200;
/** Time between two looks at the clock of an open loop. */
const OPEN_STEP_MS = 1;

const [mode, ...words] = runtime.args;
const split = words.indexOf("--");
const program = split < 0 ? [] : words.slice(split + 1);
const { text, number } = readWords(words.slice(0, split < 0 ? words.length : split));
const hostname = text("host", "127.0.0.1");
const [port, ports, modules] = [number("port"), number("ports", 1), number("modules", 1)];
const durationMs = number("ms", 500);
const echo = number("echo") === 1;
const pid = number("pid");

interface Question {
  readonly modId: number;
  readonly dueMs: number;
}

/** Questions in flight and what came of them. */
class Load {
  ok = 0;
  lost = 0;
  wrong = 0;
  latenciesMs: number[] = [];
  onAnswer: (answer: GetHostResponse, seq: number) => void = () => undefined;
  readonly pending = new Map<number, Question>();
  readonly #socket: UdpSocket;
  #seq = 0;
  #module = 0;

  private constructor(socket: UdpSocket) {
    this.#socket = socket;
  }

  static async open(): Promise<Load> {
    let load: Load | undefined;
    const socket = await runtime.bindUdp({
      hostname,
      port: 0,
      onDatagram: (bytes) => load?.take(bytes),
      onError: () => undefined, // Silence is what counts.
    });
    return (load = new Load(socket));
  }

  nextModule(): number {
    this.#module = this.#module % modules + 1;
    return this.#module;
  }

  ask(modId = this.nextModule(), dueMs = systemClock.nowMs()): number {
    const seq = ++this.#seq;
    this.pending.set(seq, { modId, dueMs });
    this.#send(frameGetHostRequest({ seq, modId, cmdId: CMD_ID }), modId);
    return seq;
  }

  report({ modId, cmdId, host }: GetHostResponse): void {
    if (host === undefined) return;
    this.#send(frameReportRequest({ modId, cmdId, host, retcode: 0 }), modId);
  }

  take(bytes: Uint8Array): void {
    const { msgId, body } = readDatagram(bytes);
    const answer = echo
      ? { ...decodeGetHostRequest(body), retcode: 0 }
      : decodeGetHostResponse(body);
    const question = this.pending.get(answer.seq);
    if (question === undefined) return; // Late: counted as lost.
    this.pending.delete(answer.seq);
    const right = msgId === (echo ? MessageId.GetHostRequest : MessageId.GetHostResponse) &&
      answer.modId === question.modId && answer.cmdId === CMD_ID && answer.retcode === 0 &&
      (echo || "host" in answer && answer.host !== undefined);
    if (right) this.ok++;
    else this.wrong++;
    this.latenciesMs.push(systemClock.nowMs() - question.dueMs);
    this.onAnswer(answer, answer.seq);
  }

  reset(): void {
    this.ok = this.lost = this.wrong = 0;
    this.latenciesMs = [];
  }

  #send(bytes: Uint8Array, modId: number): void {
    const to: Address = {
      hostname,
      port: port + (ports === 3 ? agentPortIndex(modId, CMD_ID) : 0),
    };
    this.#socket.send(bytes, to);
  }
}

/** Lets `load` run for the warm-up, then measures it. */
async function measured(load: Load): Promise<string> {
  await sleep(systemClock, number("warmup", 50));
  load.reset();
  const cpu = cpuSeconds(pid);
  const startMs = systemClock.nowMs();
  await sleep(systemClock, durationMs);
  const cpuEnd = cpuSeconds(pid);
  const known = cpu !== undefined && cpuEnd !== undefined;
  return result(load, startMs, known ? cpuEnd - cpu : -1);
}

function result(load: Load, startMs: number, cpu: number): string {
  const sorted = load.latenciesMs.sort((a, b) => a - b);
  const percentile = (share: number): number =>
    1000 * (sorted.at(Math.floor(sorted.length * share)) ?? 0);
  const { ok, lost, wrong } = load;
  return JSON.stringify({
    ok,
    lost,
    wrong,
    seconds: (systemClock.nowMs() - startMs) / 1000,
    cpuSeconds: cpu,
    p50us: percentile(0.5),
    p99us: percentile(0.99),
  });
}

async function closed(load: Load): Promise<string> {
  const window = number("window", 16);
  const withReport = number("report") === 1;
  load.onAnswer = (answer) => {
    if (withReport) load.report(answer);
    load.ask();
  };
  const look = (): void => {
    const oldMs = systemClock.nowMs() - SILENCE_MS;
    for (const [seq, { dueMs }] of load.pending) {
      if (dueMs > oldMs) continue;
      load.pending.delete(seq);
      load.lost++;
      load.ask();
    }
    systemClock.setTimer(SILENCE_MS, look);
  };
  for (let i = 0; i < window; i++) load.ask();
  look();
  return await measured(load);
}

async function open(load: Load): Promise<string> {
  const intervalMs = 1000 / number("rate", 1000);
  let dueMs = systemClock.nowMs();
  const step = (): void => {
    for (const nowMs = systemClock.nowMs(); dueMs <= nowMs; dueMs += intervalMs) {
      load.ask(undefined, dueMs);
    }
    systemClock.setTimer(OPEN_STEP_MS, step);
  };
  step();
  return await measured(load);
}

/** Asks for one module until it is answered with a node, or the time is over. */
async function askUntil(load: Load, modId: number, pauseMs: number, endMs: number): Promise<void> {
  const before = load.ok;
  while (load.ok === before && systemClock.nowMs() < endMs) {
    await new Promise<void>((resolve) => {
      const timer = systemClock.setTimer(pauseMs, resolve);
      load.onAnswer = ({ retcode }) => {
        if (retcode !== 0) return; // Its route is on its way.
        timer.cancel();
        resolve();
      };
      load.ask(modId);
    });
  }
  if (load.ok === before) load.lost++;
}

async function prime(load: Load): Promise<string> {
  const startMs = systemClock.nowMs();
  for (let i = 0; i < modules; i++) {
    await askUntil(load, load.nextModule(), 5, startMs + durationMs);
  }
  load.wrong = 0;
  return result(load, startMs, -1);
}

async function first(load: Load): Promise<string> {
  const startMs = systemClock.nowMs();
  const child = spawn(program[0], program.slice(1), { stdio: "ignore" });
  await askUntil(load, load.nextModule(), 1, startMs + durationMs);
  load.wrong = 0;
  const text = result(load, startMs, -1);
  child.kill("SIGKILL");
  return text;
}

const modes: Record<string, (load: Load) => Promise<string>> = { closed, open, prime, first };
runtime.writeStdout(await modes[mode](await Load.open()) + "\n");
runtime.exit(0);
