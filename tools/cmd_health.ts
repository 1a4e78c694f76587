// Shell. `lars health`: whether services of this host are ready, for what starts and watches them.

import { type Command, Option } from "commander";
import { METRICS_PORTS } from "../daemon/settings/common_settings.ts";
import { didYouMean } from "../model/near_words.ts";
import { parseWhole } from "../model/route_values.ts";
import { type Address, formatAddress, parseAddress } from "../reactor/address.ts";
import { messageOf } from "../reactor/errors.ts";
import { argument, UsageError } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { askReadiness, type Readiness } from "./readiness.ts";
import { printJson, printLine } from "./terminal.ts";

/** Time one answer may take, in milliseconds, when nothing else is asked for. */
const ANSWER_TIMEOUT_MS = 2_000;

interface HealthFlags {
  readonly timeout: number;
  readonly json?: boolean;
}

/** A service to ask: as it was named, and where its metrics are. */
export interface AskedService {
  readonly service: string;
  readonly address: Address;
}

/** What is said of a service. */
export interface Health {
  readonly service: string;
  readonly address: string;
  readonly ready: boolean;
  /** Why it is not; null when it is. */
  readonly reason: string | null;
}

/** Adds `health`. */
export function addTo(parent: Command, context: CommandContext): void {
  const names = Object.keys(METRICS_PORTS).join(", ");
  const command = parent.command("health")
    .description(
      "Say whether services are ready, by their /readyz: for health checks of containers and " +
        "scripts that wait. Exit code 1 when one is not.",
    )
    .argument(
      "<SERVICE...>",
      `${names}: the one of this host, at its usual [metrics] port; or HOST:PORT of its [metrics]`,
    )
    .addOption(
      new Option("--timeout <MS>", "time each answer may take, 1 to 60000")
        .argParser(argument((text) => parseWhole("Timeout", text, 1, 60_000)))
        .default(ANSWER_TIMEOUT_MS),
    )
    .option("--json", "print one JSON array")
    .action(async (words: readonly string[], { timeout, json }: HealthFlags) => {
      const services = words.map(parseService);
      const all = await Promise.all(services.map((one) => healthOf(one, timeout)));
      if (all.some(({ ready }) => !ready)) context.exitCode = 1;
      if (json === true) return printJson(all);
      for (const { service, ready, reason } of all) {
        printLine(ready ? `${service} ready` : `${service} not ready: ${reason}`);
      }
    });
  addExamples(command, [
    ["lars health dns agent", "two services of this host"],
    ["lars health 10.0.0.5:9778 --json", "a dns elsewhere, for a program"],
  ]);
}

/** @throws {UsageError} for a word that is neither a service nor an address. */
function parseService(word: string): AskedService {
  const ports: Readonly<Record<string, number>> = METRICS_PORTS;
  if (Object.hasOwn(ports, word)) {
    return { service: word, address: { hostname: "127.0.0.1", port: ports[word] } };
  }
  if (!/[.:]/.test(word)) {
    const names = Object.keys(ports);
    const near = didYouMean(word, names) || `: it must be ${names.join(", ")}, or HOST:PORT`;
    throw new UsageError(`There is no service "${word}"${near}`);
  }
  try {
    return { service: word, address: parseAddress(word) };
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

async function healthOf(asked: AskedService, timeoutMs: number): Promise<Health> {
  return healthFrom(asked, await askReadiness(asked.address, timeoutMs));
}

/** What is to be said of a service by what was answered where it should be. */
export function healthFrom({ service, address }: AskedService, said: Readiness): Health {
  const at = formatAddress(address);
  const isOther = Object.hasOwn(METRICS_PORTS, service) && said.service !== undefined &&
    said.service !== service;
  if (!isOther) return { service, address: at, ready: said.ready, reason: said.reason };
  const reason = `${said.service} answers at ${at}, not ${service}`;
  return { service, address: at, ready: false, reason };
}
