// Core. Outcomes of calls on their way to the agent: added up by node, sent in batches that count
// once.

import { CallOutcome, callOutcomeOf } from "../balancer/detection/call_outcome.ts";
import { addressId } from "../model/node.ts";
import { ModuleTable } from "../model/module.ts";
import { failureWeight, isTimeKnown } from "../balancer/detection/outlier_detector.ts";
import { refusedBetween, refusedSum, refusedTogether } from "../balancer/routes/refused_calls.ts";
import type { RefusedTotals } from "../balancer/routes/route_records.ts";
import type { CallReports, ModuleCalls, NodeCalls } from "../proto/codec.ts";

/** Nodes with outcomes that wait; calls of further ones are dropped, and counted. */
export const LEDGER_NODES_MAX = 65_536;

/** Nodes in one batch; that many waiting make a batch leave before its second is over. */
export const BATCH_NODES_MAX = 1000;

/**
 * Bytes of a batch, counted at the most each part can take, so that it fits a frame of 65,527: a
 * node has tag and length 2, ip 11, port 4, nine counters of 6 and a time of 9; a module tag and
 * length 4, two ids of 11, and refused calls of 2 and four counters of 9.
 */
const BATCH_BYTES_MAX = 65_000;
const NODE_BYTES = 80;
const MODULE_BYTES = 64;

/** What a counter of the message can hold. */
const COUNT_MAX = 0xffffffff;

interface LedgerModule {
  readonly modId: number;
  readonly cmdId: number;
  readonly nodes: Map<number, NodeCalls>;
  /** Calls refused since the last batch; counts as a node. */
  refused?: RefusedTotals;
}

/** What was last told of a module's refused calls. */
interface RefusedMark {
  readonly modId: number;
  readonly cmdId: number;
  totals: RefusedTotals;
}

/**
 * One batch at a time is under way: it keeps its number until the agent has confirmed it, over as
 * many connections as that takes, and the agent counts each number once.
 */
export class CallLedger {
  readonly #session: number;
  readonly #nodesMax: number;
  readonly #modules = new ModuleTable<LedgerModule>();
  readonly #refused = new ModuleTable<RefusedMark>();
  #nodeCount = 0;
  #dropped = 0;
  #seq = 0;
  #sent: CallReports | undefined;
  #sentNodes = 0;

  /** `session` tells this client from all others; up to 2^53 - 1. */
  constructor(session: number, nodesMax = LEDGER_NODES_MAX) {
    this.#session = session;
    this.#nodesMax = nodesMax;
  }

  /** Nodes with outcomes that are not in a batch yet. */
  get waitingNodes(): number {
    return this.#nodeCount;
  }

  /** Nodes with outcomes that have not been confirmed. */
  get nodeCount(): number {
    return this.#nodeCount + this.#sentNodes;
  }

  /** Calls dropped because too many nodes waited. */
  get droppedCount(): number {
    return this.#dropped;
  }

  /** The batch that is not confirmed yet. */
  get unconfirmed(): CallReports | undefined {
    return this.#sent;
  }

  /** Notes one call; `retcode` 0 is success, `timecostMs` -1 unknown. Ids and ip are unsigned. */
  add(
    modId: number,
    cmdId: number,
    ip: number,
    port: number,
    retcode: number,
    timecostMs: number,
  ): void {
    let module = this.#modules.get(modId, cmdId);
    const key = addressId(ip, port);
    let node = module?.nodes.get(key);
    if (node === undefined) {
      if (this.#nodeCount >= this.#nodesMax) {
        this.#dropped++;
        return;
      }
      module ??= this.#begin(modId, cmdId);
      node = {
        ...{ ip, port, succ: 0, err: 0, errWeight: 0, continSucc: 0, continErr: 0 },
        ...{ errPushback: 0, errRefused: 0, errTimeout: 0, timed: 0, timeMs: 0 },
      };
      module.nodes.set(key, node);
      this.#nodeCount++;
    }
    if (retcode === 0) {
      node.succ = Math.min(node.succ + 1, COUNT_MAX);
      node.continSucc++;
      node.continErr = 0;
    } else {
      node.err = Math.min(node.err + 1, COUNT_MAX);
      node.errWeight = Math.min(node.errWeight + failureWeight(timecostMs), COUNT_MAX);
      node.continErr++;
      node.continSucc = 0;
      addKind(node, retcode);
    }
    if (!isTimeKnown(timecostMs) || node.timed >= COUNT_MAX) return;
    node.timed++;
    node.timeMs = Math.min(node.timeMs + timecostMs, Number.MAX_SAFE_INTEGER);
  }

  /** Notes the calls of a module that got no node: totals, of which what is new is sent. */
  addRefused(modId: number, cmdId: number, totals: RefusedTotals): void {
    const mark = this.#refused.get(modId, cmdId);
    const more = refusedBetween(mark?.totals, totals);
    if (mark !== undefined) mark.totals = totals;
    else if (this.#refused.count < this.#nodesMax) this.#refused.add({ modId, cmdId, totals });
    else return; // Without a mark the same would be told again and again.
    if (refusedSum(more) === 0) return;
    const module = this.#modules.get(modId, cmdId) ?? this.#begin(modId, cmdId);
    if (module.refused === undefined) this.#nodeCount++;
    module.refused = module.refused === undefined ? more : refusedTogether(module.refused, more);
  }

  #begin(modId: number, cmdId: number): LedgerModule {
    const module = { modId, cmdId, nodes: new Map<number, NodeCalls>() };
    this.#modules.add(module);
    return module;
  }

  /** Makes the next batch; undefined when one is unconfirmed, or nothing waits. */
  take(): CallReports | undefined {
    if (this.#sent !== undefined || this.#nodeCount === 0) return undefined;
    const modules: ModuleCalls[] = [];
    const emptied: LedgerModule[] = [];
    let count = 0;
    let bytes = 0;
    for (const module of this.#modules) {
      const nodes: NodeCalls[] = [];
      bytes += MODULE_BYTES;
      for (const [key, node] of module.nodes) {
        bytes += NODE_BYTES;
        if (count >= BATCH_NODES_MAX || bytes > BATCH_BYTES_MAX) break;
        count++;
        nodes.push(node);
        module.nodes.delete(key);
      }
      const { modId, cmdId, refused } = module;
      if (refused !== undefined) {
        count++;
        delete module.refused;
        modules.push({ modId, cmdId, nodes, refused });
      } else if (nodes.length > 0) modules.push({ modId, cmdId, nodes });
      if (module.nodes.size > 0) break;
      emptied.push(module);
    }
    // The table must not change while it is walked.
    for (const module of emptied) this.#modules.remove(module);
    this.#nodeCount -= count;
    this.#sentNodes = count;
    // Never 0, which a message that leaves the number out would have.
    this.#seq = this.#seq === 0xffffffff ? 1 : this.#seq + 1;
    this.#sent = { session: this.#session, seq: this.#seq, modules };
    return this.#sent;
  }

  /** The agent has counted the batch with this number. */
  confirm(seq: number): void {
    if (this.#sent?.seq !== seq) return;
    this.#sent = undefined;
    this.#sentNodes = 0;
  }
}

function addKind(node: NodeCalls, retcode: number): void {
  const outcome = callOutcomeOf(retcode);
  if (outcome === CallOutcome.Pushback) node.errPushback = Math.min(node.errPushback + 1, node.err);
  else if (outcome === CallOutcome.Refused) {
    node.errRefused = Math.min(node.errRefused + 1, node.err);
  } else if (outcome === CallOutcome.Timeout) {
    node.errTimeout = Math.min(node.errTimeout + 1, node.err);
  }
}
