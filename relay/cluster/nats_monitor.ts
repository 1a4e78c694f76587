// Shell. Asks NATS servers how they write to disk: clients are not told, only who may look at their monitoring.

import { messageOf } from "../../reactor/errors.ts";

/** Longest wait for an answer, and the most that is read of it. */
const MONITOR_MS = 3_000;
const MONITOR_BYTES_MAX = 64 * 1024;

/** How one server writes what it keeps. */
export interface NatsSync {
  /** As in the configuration: `http://host:8222`. */
  readonly monitor: string;
  /** It has synced each message before it acknowledges it; undefined: that is not known. */
  readonly isAlways: boolean | undefined;
  /** What it says, or why it is not known. */
  readonly text: string;
}

/** What one server says. Never fails. */
export async function natsSyncOf(monitor: string): Promise<NatsSync> {
  try {
    const url = `${monitor}/jsz?config=1`;
    const response = await fetch(url, {
      signal: AbortSignal.timeout(MONITOR_MS),
      redirect: "error",
    });
    const text = await firstText(response);
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    return readNatsSync(monitor, text);
  } catch (error) {
    return { monitor, isAlways: undefined, text: `it cannot be asked: ${messageOf(error)}` };
  }
}

/** What an answer of `/jsz` says. @throws {Error} when it is none. */
export function readNatsSync(monitor: string, answer: string): NatsSync {
  const told: unknown = JSON.parse(answer);
  const config = (told as { config?: unknown } | null)?.config;
  if (typeof config !== "object" || config === null) throw new Error("it has no JetStream");
  const { sync_always: isAlways, sync_interval: intervalNs } = config as Record<string, unknown>;
  if (isAlways === true) return { monitor, isAlways, text: "before it acknowledges" };
  const every = typeof intervalNs === "number" ? `every ${intervalNs / 1e9} s` : "now and then";
  return { monitor, isAlways: false, text: every };
}

/** No more than is wanted of it, whatever it sends. */
async function firstText({ body }: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of body ?? []) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > MONITOR_BYTES_MAX) throw new Error(`more than ${MONITOR_BYTES_MAX} bytes`);
  }
  return text;
}
