// Shell. Tries connections to services for `lars doctor`.

import { parseAddress } from "../../reactor/address.ts";
import { messageOf } from "../../reactor/errors.ts";
import { runtime } from "../../reactor/runtime/mod.ts";
import type { DoctorFacts } from "./findings.ts";

/** A connection to a service is given up after so long, in milliseconds. */
const REACH_TIMEOUT_MS = 1_000;
/** Services that are tried, at most: a fleet has two or three. */
const REACHED_MAX = 32;

/** Those of the addresses to which no connection can be made, each with why. */
export async function unreachableOf(
  addresses: readonly string[],
): Promise<DoctorFacts["unreachable"]> {
  const tried = await Promise.all(
    addresses.slice(0, REACHED_MAX).map(async (address) => {
      try {
        const signal = AbortSignal.timeout(REACH_TIMEOUT_MS);
        (await runtime.connectTcp({ ...parseAddress(address), signal })).close();
        return undefined;
      } catch (error) {
        return { address, reason: messageOf(error) };
      }
    }),
  );
  return tried.filter((one) => one !== undefined);
}
