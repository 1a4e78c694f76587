// Shell. A sender of results of a simulation, as an agent has it, with the calls that it tells of; it can
// be stopped in good order.

import { REPORTER_HELLO_MS, ReportSender } from "../../feed/report_sender.ts";
import { type Address, parseIpv4 } from "../../reactor/address.ts";
import { setRepeating } from "../../reactor/time/clock.ts";
import { nextInt } from "../../reactor/time/rng.ts";
import { type ProcessParts, SimProcess, type SimWorld } from "./sim_process.ts";
import { openSimLink } from "./sim_link.ts";

const HOUSEKEEPING_MS = 1_000;
/** Longest time that a stop waits until all is stored. */
const STOP_MS = 3_000;
/** Pauses between two reports, up to. */
const REPORT_PAUSE_MS = 400;
/** Between two looks whether a better reporter is back. */
const RETURN_MS = 1_000;
/** Modules, and nodes of each. */
const MODULES = 2;
const NODES = 3;
const NODE_IP = 0x0a_63_00_00;

/** One life of a sender, from a start to its end. */
export interface SenderLife {
  /** How its reports name it: another address each time. */
  readonly caller: number;
  /** Calls that it was told of. */
  made: number;
  /** `stored`: it was stopped, and knows that all is stored. */
  end: "none" | "stopped" | "stored" | "killed";
}

/** See the file's first line. */
export class SenderProcess extends SimProcess {
  readonly lives: SenderLife[] = [];
  /** No calls are made. */
  isQuiet = false;
  #sender: ReportSender | undefined;
  #isStopping = false;

  constructor(
    world: SimWorld,
    name: string,
    host: string,
    readonly reporters: readonly Address[],
  ) {
    super(world, name, host);
  }

  protected begin(parts: ProcessParts): void {
    const { clock, rng } = parts;
    const caller = parseIpv4(this.host) + 256 * (this.lives.length + 1);
    const run: SenderLife = { caller, made: 0, end: "none" };
    this.lives.push(run);
    this.#isStopping = false;
    const sender = new ReportSender({
      openLink: (events) =>
        openSimLink(parts, {
          ...{ ...events, servers: this.reporters, id: this.host, returnMs: RETURN_MS },
          welcomeWaitMs: REPORTER_HELLO_MS,
        }),
      ...{ clock, rng, callerIp: () => caller },
    });
    this.#sender = sender;
    sender.link.start();
    setRepeating(clock, HOUSEKEEPING_MS, () => sender.flush());
    const totals = new Map<string, number>();
    const report = (): void => {
      clock.setTimer(nextInt(rng, REPORT_PAUSE_MS), report);
      if (this.isQuiet || this.#isStopping) return;
      this.#report(sender, run, totals, 1 + nextInt(rng, MODULES), nextInt(rng, NODES));
    };
    report();
  }

  #report(
    sender: ReportSender,
    run: SenderLife,
    totals: Map<string, number>,
    modId: number,
    node: number,
  ): void {
    const calls = 1 + nextInt(this.world.rng, 4);
    const succTotal = (totals.get(`${modId} ${node}`) ?? 0) + calls;
    totals.set(`${modId} ${node}`, succTotal);
    run.made += calls;
    const result = {
      ...{ ip: NODE_IP + node, port: 80, succ: calls, err: 0, overload: false },
      ...{ succTotal, errTotal: 0, timedTotal: 0, timeMsTotal: 0 },
    };
    sender.add([{ modId, cmdId: 1, results: [result] }]);
  }

  /** Ends as an agent does that is told to. */
  async stop(): Promise<void> {
    const run = this.lives.at(-1);
    const sender = this.#sender;
    if (run === undefined || sender === undefined || this.#isStopping) return;
    this.#isStopping = true;
    const isStored = await sender.settled(this.parts.clock, STOP_MS);
    await sender.close();
    if (run.end === "none") {
      run.end = isStored ? "stored" : "stopped";
      this.kill();
    }
  }

  protected override ended(): void {
    const run = this.lives.at(-1);
    if (run?.end === "none") run.end = "killed";
  }
}
