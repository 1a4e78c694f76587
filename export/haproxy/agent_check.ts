// Core. What HAProxy is answered when it asks for the state of a server: the words of its agent-check
// protocol, of which each lasts until its own opposite is said.

import { type ModuleKey, moduleText } from "../../model/module.ts";
import { addressText } from "../../model/node.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { ExportNode, FleetView } from "../fleet_view.ts";
import { findModule } from "../module_name.ts";

/**
 * A node that comes back from our own `drain` is said to be `ready` for so long, so that each HAProxy
 * that asks hears it; longer it would undo what an operator sets in HAProxy by hand.
 */
export const READY_SAID_MS = 15_000;

/** Longest question. */
export const AGENT_QUESTION_BYTES_MAX = 512;

/** Nodes of which it is remembered what was said; when there are more all begin anew. */
export const NODES_SAID_MAX = 65_536;

interface Said {
  isDrained: boolean;
  isDown: boolean;
  /** Until then it is said to be ready. */
  readyUntilMs: number;
}

/** What a node is answered, and remembers what that left behind in HAProxy. */
export class AgentCheckAnswers {
  readonly #view: FleetView;
  readonly #clock: Clock;
  readonly #said = new Map<string, Said>();
  #isEnding = false;

  constructor(view: FleetView, clock: Clock) {
    this.#view = view;
    this.#clock = clock;
  }

  /** True while a node was said to be down and not yet to be up again. */
  get hasDown(): boolean {
    for (const { isDown } of this.#said.values()) if (isDown) return true;
    return false;
  }

  /** Nodes that were drained before this run began count as drained by us. */
  restore(): void {
    for (const key of this.#view.wanted()) {
      for (const node of this.#view.module(key)?.nodes ?? []) {
        if (node.state === "drain") this.#saidOf(key, addressText(node)).isDrained = true;
      }
    }
  }

  /**
   * From now on only what shall last is said, because nothing that was said expires: a sick node may
   * be well in an hour, a drained one stays drained.
   */
  end(): void {
    this.#isEnding = true;
  }

  /**
   * The answer to `MODULE IP:PORT`, with its end of line; undefined: nothing is known that could be
   * said, and everything stays in HAProxy as it is.
   */
  answer(question: string): string | undefined {
    const [name = "", address = ""] = question.trim().split(/\s+/);
    const key = findModule(this.#view, name);
    if (key === undefined || !this.#view.has(key)) return undefined;
    const module = this.#view.module(key);
    if (module === undefined) {
      this.#view.want(key);
      return undefined;
    }
    if (!/^(\d{1,3}\.){3}\d{1,3}:\d{1,5}$/.test(address)) return undefined;
    const node = module.nodes.find((one) => addressText(one) === address);
    const said = this.#saidOf(key, address);
    // One that has left the module gets no new calls, and may end those it has.
    if (node === undefined || node.state === "drain") {
      said.isDrained = true;
      return "drain\n";
    }
    const ready = this.#readyWord(said);
    if (node.state === "out" && !this.#isEnding) {
      said.isDown = true;
      return `${ready}down\n`;
    }
    said.isDown = false;
    return `${ready}up ${percentOf(node, module.nodes)}%\n`;
  }

  #readyWord(said: Said): string {
    const nowMs = this.#clock.nowMs();
    if (said.isDrained) {
      said.isDrained = false;
      said.readyUntilMs = nowMs + READY_SAID_MS;
    }
    return nowMs < said.readyUntilMs ? "ready " : "";
  }

  #saidOf(module: ModuleKey, address: string): Said {
    const key = `${moduleText(module)} ${address}`;
    let said = this.#said.get(key);
    if (said === undefined) {
      if (this.#said.size >= NODES_SAID_MAX) this.#said.clear();
      said = { isDrained: false, isDown: false, readyUntilMs: -Infinity };
      this.#said.set(key, said);
    }
    return said;
  }
}

/** Share of the largest weight: a whole number, at least 1, because 0 would be a drain. */
function percentOf({ weight }: ExportNode, nodes: readonly ExportNode[]): number {
  const largest = nodes.reduce((most, node) => Math.max(most, node.weight), 1);
  return Math.max(1, Math.round(100 * weight / largest));
}
