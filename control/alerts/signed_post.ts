// Shell. Posts one signed message to a webhook, once, and says how that went.

import { lookup } from "node:dns/promises";
import type { Clock } from "../../reactor/time/clock.ts";
import type { WebhookRow } from "../../sql/console/console_store.ts";
import { signatureOf } from "../access/secrets.ts";
import { postFailure } from "./post_failure.ts";
import { forbiddenReason, type Surroundings } from "./webhook_guard.ts";

/** How an attempt went. */
export interface WebhookOutcome {
  readonly atMs: number;
  readonly isDone: boolean;
  readonly text: string;
}

/** What a post needs. */
export interface SignedPostOptions {
  readonly clock: Clock;
  /** Says in `User-Agent` who sends. */
  readonly software: string;
  readonly surroundings: () => Surroundings;
}

/**
 * Posts a message. Never throws.
 *
 * @param id The same for each attempt at the same message, by which a receiver knows it again.
 */
export async function postSigned(
  { clock, software, surroundings }: SignedPostOptions,
  hook: Pick<WebhookRow, "url" | "secret" | "timeoutS">,
  id: string,
  body: string,
): Promise<WebhookOutcome> {
  const atMs = Math.trunc(clock.wallMs());
  const abort = new AbortController();
  const timer = clock.setTimer(hook.timeoutS * 1000, () => abort.abort());
  const timestamp = String(Math.trunc(atMs / 1000));
  try {
    const forbidden = await forbiddenNow(hook.url, surroundings());
    if (forbidden !== undefined) return { atMs, isDone: false, text: forbidden };
    const response = await fetch(hook.url, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        "User-Agent": software,
        "X-Lars-Delivery": id,
        "X-Lars-Timestamp": timestamp,
        "X-Lars-Signature": `sha256=${signatureOf(hook.secret, `${timestamp}.${body}`)}`,
      },
      body,
      redirect: "manual",
      signal: abort.signal,
    });
    await response.body?.cancel();
    return { atMs, isDone: response.ok, text: `answered ${response.status}` };
  } catch (error) {
    const text = abort.signal.aborted ? `no answer within ${hook.timeoutS} s` : postFailure(error);
    return { atMs, isDone: false, text: text.slice(0, 300) };
  } finally {
    timer.cancel();
  }
}

/** Looked up each time: a name may mean something else by now. */
async function forbiddenNow(text: string, surroundings: Surroundings): Promise<string | undefined> {
  const url = new URL(text);
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const found = await lookup(host, { all: true });
  return forbiddenReason(url, found.map(({ address }) => address), surroundings);
}
