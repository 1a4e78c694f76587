// Shell. Asks whoever listens at the metrics of a service whether it is ready.

import { SERVICE_HEADER } from "../daemon/monitor/monitor.ts";
import { METRICS_PORTS } from "../daemon/settings/common_settings.ts";
import { type Address, formatAddress } from "../reactor/address.ts";
import { fetchFault } from "./fetch_fault.ts";

/** Characters of an answer that are read; whoever listens at the port may say anything. */
const ANSWER_SHOWN_MAX = 500;

/** What was answered; `isService`: as a service of ours does. */
export interface Readiness {
  readonly isService: boolean;
  /** Which service of ours it says that it is; undefined: an older one, or none. */
  readonly service: string | undefined;
  readonly ready: boolean;
  /** Why it is not; null when it is. */
  readonly reason: string | null;
}

/** Asks one service; whatever is wrong with it is an answer, never an error. */
export async function askReadiness(address: Address, timeoutMs: number): Promise<Readiness> {
  const at = formatAddress(address);
  try {
    const response = await fetch(`http://${at}/readyz`, {
      signal: AbortSignal.timeout(timeoutMs),
      redirect: "manual",
    });
    const text = (await readStart(response)).trim();
    const service = serviceOf(response);
    if (response.status === 200 && text === "ready") {
      return { isService: true, service, ready: true, reason: null };
    }
    if (response.status === 503 && text.startsWith("not ready: ")) {
      return { isService: true, service, ready: false, reason: text.slice("not ready: ".length) };
    }
    const reason = `${at} answers ${response.status}, as no [metrics] port of a service does`;
    return { ...NO_SERVICE, reason };
  } catch (error) {
    return { ...NO_SERVICE, reason: `${at}: ${fetchFault(error, "it")}` };
  }
}

const NO_SERVICE = { isService: false, service: undefined, ready: false } as const;

/** Whoever listens there may say anything. */
function serviceOf({ headers }: Response): string | undefined {
  const name = headers.get(SERVICE_HEADER);
  return name !== null && Object.hasOwn(METRICS_PORTS, name) ? name : undefined;
}

/** The beginning of an answer, of whatever length it is. */
async function readStart(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length >= ANSWER_SHOWN_MAX) break;
  }
  return text.slice(0, ANSWER_SHOWN_MAX);
}
