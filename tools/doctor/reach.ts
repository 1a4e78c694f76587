// Shell. Tries connections to services for `lars doctor`.

import { parseAddress } from "../../reactor/address.ts";
import { messageOf } from "../../reactor/errors.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import type { DoctorFacts } from "./findings.ts";

/** A service is given up after so long when nothing else is asked for, in milliseconds. */
export const REACH_TIMEOUT_MS = 1_000;
/** Services that are tried, at most: a fleet has two or three. */
const REACHED_MAX = 32;

/**
 * Those of the addresses to which no connection can be made, each with why.
 *
 * @param timeoutMs Time that each may take.
 */
export async function unreachableOf(
  addresses: readonly string[],
  timeoutMs = REACH_TIMEOUT_MS,
): Promise<DoctorFacts["unreachable"]> {
  const tried = await Promise.all(
    addresses.slice(0, REACHED_MAX).map(async (address) => {
      try {
        const signal = AbortSignal.timeout(timeoutMs);
        (await runtime.connectTcp({ ...parseAddress(address), signal })).close();
        return undefined;
      } catch (error) {
        return { address, reason: messageOf(error) };
      }
    }),
  );
  return tried.filter((one) => one !== undefined);
}
