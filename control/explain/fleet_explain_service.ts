// Shell. Asks any agent of the fleet why it picks which node, through the dns that it is linked to.

import {
  type ExplanationPage,
  joinExplanations,
  readExplanation,
} from "../../balancer/routes/explanation_page.ts";
import type { ModuleExplanation } from "../../balancer/routes/route_records.ts";
import type { ModuleKey } from "../../model/module.ts";
import { nearWords } from "../../model/near_words.ts";
import { DEFAULT_PORTS, ExplainOutcome } from "../../proto/message_ids.ts";
import { parseAddress, parseIpv4 } from "../../reactor/address.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import type { Store } from "../../sql/store.ts";
import { ControlError } from "../control_error.ts";
import type { Explanation } from "../schemas.ts";
import type { AgentQuestion, DnsLine } from "../system/dns_line.ts";
import type { DnsLines } from "../system/dns_lines.ts";
import { knownServices } from "../system/known_services.ts";
import { explanationView, NODES_SHOWN } from "./explain_service.ts";

/** Questions at once; further ones are refused. */
export const FLEET_QUESTIONS_MAX = 16;
/** Pages of one explanation: some 150 nodes fit each. */
const PAGES_MAX = 1000;

/** What the service works with. */
export interface FleetExplainOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly lines: DnsLines;
}

/** Asks agents, for the command line and for REST alike. */
export class FleetExplainService {
  readonly #options: FleetExplainOptions;
  #asking = 0;

  constructor(options: FleetExplainOptions) {
    this.#options = options;
  }

  /**
   * What the agent says; a module that nobody asked it for is `unknown`, which is no fault.
   *
   * @param agent Its name, as the list of agents has it: address of its host and first UDP port,
   * which may be left out where it is 8888, or where the host has one agent only.
   * @throws {ControlError} not-found with near names, agent-away, too-many-requests.
   */
  async explain(key: ModuleKey, agent: string, nodesMax = NODES_SHOWN): Promise<Explanation> {
    if (this.#asking >= FLEET_QUESTIONS_MAX) {
      throw new ControlError("too-many-requests", "Many agents are being asked already", {
        retryAfterS: 1,
      });
    }
    this.#asking++;
    try {
      const name = await this.#find(agent);
      const { hostname, port } = parseAddress(name);
      const { modId, cmdId } = key;
      const question = { modId, cmdId, agentIp: parseIpv4(hostname), agentPort: port };
      return explanationView(name, await this.#ask(name, question, nodesMax), nodesMax);
    } finally {
      this.#asking--;
    }
  }

  /** The full name of an agent that dns has heard of. */
  async #find(agent: string): Promise<string> {
    const agents = await knownServices(this.#options.store, ["agent"]);
    const names = agents.map(({ address }) => address);
    const hasPort = agent.includes(":");
    const found = names.filter((name) => hasPort ? name === agent : name.startsWith(`${agent}:`));
    const usual = `${agent}:${DEFAULT_PORTS.agent}`;
    if (found.length === 1) return found[0];
    if (found.includes(usual)) return usual;
    if (found.length > 1) {
      throw new ControlError("invalid", `${agent} has several agents: ${listed(found)}`);
    }
    const [host] = agent.split(":");
    const near = names.filter((name) => name.startsWith(`${host}:`));
    const shown = near.length > 0 ? near : nearWords(agent, names);
    throw new ControlError(
      "not-found",
      `No dns has heard of an agent ${agent}` +
        (shown.length > 0
          ? `: did you mean ${listed(shown)}?`
          : names.length === 0
          ? ": it has heard of none"
          : "; lars status and the page Agents list those that it has heard of"),
    );
  }

  async #ask(
    name: string,
    question: Omit<AgentQuestion, "from">,
    nodesMax: number,
  ): Promise<ModuleExplanation | undefined> {
    const pages: ModuleExplanation[] = [];
    let lines = await this.#options.lines.open();
    if (lines.length === 0) throw away(name, "no dns is alive that could ask it");
    for (let from = 0; pages.length < PAGES_MAX;) {
      const { line, page } = await this.#page(name, lines, { ...question, from });
      if (page === undefined) return undefined;
      pages.push(page.explanation);
      from += page.nodesHere;
      if (page.nodesHere === 0 || from >= page.nodeCount || from >= nodesMax) break;
      lines = [line];
    }
    // The last page may be shorter than what the agent counts; the view has the whole number.
    return joinExplanations(pages);
  }

  /** Asks every dns at once: one of them has the agent. */
  async #page(
    name: string,
    lines: readonly DnsLine[],
    question: AgentQuestion,
  ): Promise<{ line: DnsLine; page: ExplanationPage | undefined }> {
    const answers = await Promise.all(
      lines.map(async (line) => ({ line, response: await line.explain(question) })),
    );
    const outcomes = answers.map(({ response }) => response?.outcome);
    for (const { line, response } of answers) {
      if (response === undefined) continue;
      if ((response.outcome ?? ExplainOutcome.Explained) !== ExplainOutcome.Explained) continue;
      return { line, page: readExplanation(response.explanation) };
    }
    if (outcomes.includes(ExplainOutcome.AgentSilent)) {
      throw away(name, "it is linked to dns and does not answer: is it an older version?");
    }
    if (outcomes.includes(ExplainOutcome.NoSuchAgent)) {
      const agents = await knownServices(this.#options.store, ["agent"]);
      const seenAt = agents.find(({ address }) => address === name)?.seenAt ?? 0;
      const seconds = Math.max(0, Math.round(this.#options.clock.wallMs() / 1000 - seenAt));
      throw away(name, `it is linked to no dns that answers; it was heard ${seconds} s ago`);
    }
    throw away(name, `no dns answers (${lines.map((line) => line.name).join(", ")})`);
  }
}

function away(name: string, why: string): ControlError {
  return new ControlError("agent-away", `Agent ${name} cannot be asked: ${why}`);
}

function listed(names: readonly string[]): string {
  return names.slice(0, 3).join(", ") + (names.length > 3 ? `, …` : "");
}
