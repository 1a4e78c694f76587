// Shell. What the machine says: processor time and memory of a process, who owns a port, its name.

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import process from "node:process";
import type { Address } from "../reactor/address.ts";

/** A clock tick of /proc/PID/stat; 100 a second on every Linux of today. */
const TICK_SECONDS = 0.01;

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // Not Linux, or the process is gone.
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return []; // As above.
  }
}

/** Processor time of the threads that live, exact to a scheduler tick. */
function threadSeconds(pid: number): number {
  const texts = list(`/proc/${pid}/task`)
    .map((thread) => readText(`/proc/${pid}/task/${thread}/schedstat`) ?? "");
  return texts.reduce((sum, text) => sum + Number(text.split(" ")[0]) / 1e9, 0);
}

/**
 * Processor time of a process, all its threads, in seconds; undefined where it cannot be read.
 * Exact to 10 ms; what has to be more exact asks the C program: `Bench.cpuSeconds`.
 */
export function cpuSeconds(pid: number): number | undefined {
  const fields = readText(`/proc/${pid}/stat`)?.replace(/^.*\) /, "").split(" ");
  if (fields === undefined) return undefined;
  const whole = (Number(fields[11]) + Number(fields[12])) * TICK_SECONDS;
  // Neither counts too much: the first is rounded, the second misses threads that have ended.
  return Math.max(whole, threadSeconds(pid));
}

/** Memory of a process that is in RAM, in bytes; undefined where it cannot be read. */
export function residentBytes(pid: number): number | undefined {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readText(`/proc/${pid}/status`) ?? "")?.[1];
  return kibibytes === undefined ? undefined : Number(kibibytes) * 1024;
}

/** The process of this machine that owns a port; undefined when it is elsewhere or not ours to see. */
export function pidOfPort(address: Address, protocol: "udp" | "tcp"): number | undefined {
  if (!/^127\./.test(address.hostname)) return undefined;
  const port = address.port.toString(16).toUpperCase().padStart(4, "0");
  const lines = ["", "6"].flatMap((suffix) =>
    (readText(`/proc/net/${protocol}${suffix}`) ?? "").split("\n")
  ).map((line) => line.trim().split(/\s+/));
  const listening = protocol === "tcp" ? "0A" : "07";
  const socket = lines.find((cells) => cells[1]?.endsWith(`:${port}`) && cells[3] === listening)
    ?.[9];
  if (socket === undefined) return undefined;
  for (const pid of list("/proc").filter((name) => /^\d+$/.test(name))) {
    const holds = list(`/proc/${pid}/fd`).some((name) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${name}`) === `socket:[${socket}]`;
      } catch {
        return false; // Closed meanwhile, or another user's.
      }
    });
    if (holds) return Number(pid);
  }
  return undefined;
}

/** Path of a program, or undefined when the machine has none. */
export function findProgram(name: string): string | undefined {
  const { status, stdout } = spawnSync("sh", ["-c", 'command -v "$0"', name], { encoding: "utf8" });
  return status === 0 ? stdout.trim() : undefined;
}

/** Number of processors. */
export function processorCount(): number {
  return cpus().length;
}

/** The machine in one line. */
export function describeMachine(): string {
  const model = (cpus().at(0)?.model ?? "").trim();
  const gigabytes = (totalmem() / 2 ** 30).toFixed(0);
  const kind = /hypervisor/.test(readText("/proc/cpuinfo") ?? "") ? ", virtual" : "";
  const system = `${process.platform} ${release().replace(/^(\d+\.\d+).*/, "$1")} ${process.arch}`;
  return `${processorCount()} x ${model}${kind}, ${gigabytes} GB, ${system}`;
}
