// Shell. `lars relay bench`: requests through a relay that runs, and how long their answers take.

import { RelayClient } from "../api/relay_client.ts";
import { formatAddress } from "../reactor/address.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { CommandError } from "./cli_errors.ts";
import { type RelayAddressFlags, relayFailure, relaySecrets } from "./relay_admin.ts";

/** What is measured. */
export interface RelayBenchPlan {
  readonly modId: number;
  readonly cmdId: number;
  readonly clients: number;
  /** Requests of each client under way. */
  readonly inFlight: number;
  readonly bytes: number;
  readonly seconds: number;
}

/** What came of it. */
export interface RelayBenchResult {
  readonly answers: number;
  readonly failures: number;
  /** The first failure, for people. */
  readonly failure: string | undefined;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Longest wait for a connection, or for an answer. */
const ANSWER_TIMEOUT_MS = 5_000;

/** Times in classes of a tenth of a millisecond, up to ten seconds. */
const CLASS_MS = 0.1;
const CLASSES = 100_000;

/** Runs requests for a time. @throws {CommandError} when there was no answer at all. */
export async function runRelayBench(
  flags: RelayAddressFlags,
  plan: RelayBenchPlan,
): Promise<RelayBenchResult> {
  const secrets = await relaySecrets(flags);
  const relays = [formatAddress(flags.relay)];
  const clients = Array.from(
    { length: plan.clients },
    () => new RelayClient({ relays, ...secrets, timeoutMs: ANSWER_TIMEOUT_MS }),
  );
  const data = new Uint8Array(plan.bytes).fill(97);
  const classes = new Uint32Array(CLASSES);
  let answers = 0;
  let failures = 0;
  let failure: unknown;
  const startMs = systemClock.nowMs();
  const endMs = startMs + plan.seconds * 1000;
  const one = async (client: RelayClient): Promise<void> => {
    for (let nowMs = startMs; nowMs < endMs;) {
      const sentMs = systemClock.nowMs();
      try {
        await client.request(plan, data);
        answers++;
      } catch (error) {
        failures++;
        failure ??= error;
        if (answers === 0 && (failures > 100 || !client.connected)) return;
      }
      nowMs = systemClock.nowMs();
      classes[Math.min(CLASSES - 1, Math.floor((nowMs - sentMs) / CLASS_MS))]++;
    }
  };
  await Promise.all(
    clients.flatMap((client) => Array.from({ length: plan.inFlight }, () => one(client))),
  );
  const tookMs = systemClock.nowMs() - startMs;
  await Promise.all(clients.map((client) => client.close()));
  const text = failure === undefined ? undefined : relayFailure(failure, flags).message;
  if (answers === 0) throw new CommandError(`No request was answered: ${text ?? "no reason"}`);
  const [p50Ms, p99Ms] = [0.5, 0.99].map((share) => quantile(classes, share));
  return { answers, failures, failure: text, perSecond: answers / tookMs * 1000, p50Ms, p99Ms };
}

function quantile(classes: Uint32Array, share: number): number {
  const wanted = classes.reduce((sum, count) => sum + count, 0) * share;
  let sum = 0;
  for (let index = 0; index < classes.length; index++) {
    sum += classes[index];
    if (sum >= wanted) return Math.round((index + 1) * CLASS_MS * 10) / 10;
  }
  return CLASSES * CLASS_MS;
}
