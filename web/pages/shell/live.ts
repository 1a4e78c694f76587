// Shell. Values that stay up to date: server-sent events where there are any, else asked for again.

import { signal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import type { LiveEvents, QueryOf } from "../../contract.ts";
import type { Timer } from "../../../reactor/time/clock.ts";
import { systemClock } from "../../../reactor/time/system_clock.ts";
import { addressOf, CallProblem, callProblemOf, probe, session } from "./api.ts";
import { freshAtMs, freshness, serverNowMs } from "./state.ts";

/** Pause before a lost stream is opened again: none, then doubling from the first to the last. */
const RETRY_FIRST_MS = 1000;
const RETRY_LAST_MS = 15_000;
/** A stream that is away for so long makes what is shown stale. */
const STALE_MS = 10_000;

/** A value on its way: neither, or one of the two, or an old value with what went wrong since. */
export interface Loaded<T> {
  readonly value?: T;
  readonly problem?: CallProblem;
}

/** Marks what is shown as up to date. */
function markFresh(isStale = false): void {
  freshness.value = isStale ? "stale" : "live";
  freshAtMs.value = serverNowMs();
}

/** Marks what is shown as old: first as reconnecting, as stale when it lasts. */
function markLost(): void {
  if (freshness.peek() === "off") freshAtMs.value = serverNowMs();
  const isLong = serverNowMs() - freshAtMs.peek() > STALE_MS;
  freshness.value = isLong ? "stale" : "reconnecting";
}

/** One stream of events; sleeps while the tab is hidden, comes back after any loss. */
class LiveStream<View extends keyof LiveEvents> {
  readonly #view: View;
  readonly #address: string;
  readonly #onValue: (value: LiveEvents[View]) => void;
  readonly #onProblem: (problem: CallProblem) => void;
  #source: EventSource | undefined;
  #retry: Timer | undefined;
  #retryMs = 0;
  #isClosed = false;

  constructor(
    view: View,
    query: QueryOf<"live">,
    onValue: (value: LiveEvents[View]) => void,
    onProblem: (problem: CallProblem) => void,
  ) {
    this.#view = view;
    this.#address = addressOf("live", { query: { ...query, view } as QueryOf<"live"> });
    this.#onValue = onValue;
    this.#onProblem = onProblem;
    document.addEventListener("visibilitychange", this.#onVisibility);
    globalThis.addEventListener("online", this.#onVisibility);
    this.#open();
  }

  close(): void {
    this.#isClosed = true;
    document.removeEventListener("visibilitychange", this.#onVisibility);
    globalThis.removeEventListener("online", this.#onVisibility);
    this.#drop();
  }

  /** Browsers allow six connections to one server: hidden tabs give theirs back. */
  #onVisibility = (): void => {
    if (document.hidden) this.#drop();
    else if (this.#source === undefined) {
      this.#retryMs = 0;
      this.#open();
    }
  };

  #drop(): void {
    this.#retry?.cancel();
    this.#retry = undefined;
    this.#source?.close();
    this.#source = undefined;
  }

  #open(): void {
    this.#drop();
    if (this.#isClosed || document.hidden) return;
    const source = new EventSource(this.#address);
    this.#source = source;
    source.addEventListener(this.#view, (event) => {
      this.#retryMs = 0;
      const value = JSON.parse((event as MessageEvent<string>).data) as LiveEvents[View];
      markFresh(typeof value === "object" && "isStale" in value && value.isStale);
      this.#onValue(value);
    });
    // No fault of the connection: the stream stays, and shows the module when it comes.
    source.addEventListener("gone", () => {
      this.#retryMs = 0;
      markFresh();
      this.#onProblem(new CallProblem("not-found", { title: "There is none", detail: "" }));
    });
    source.addEventListener("open", () => markFresh());
    source.addEventListener("bye", () => session.value = null);
    source.addEventListener("error", () => this.#onError());
  }

  /** An EventSource hides why it failed; an ordinary request tells. */
  #onError(): void {
    this.#drop();
    if (this.#isClosed) return;
    markLost();
    this.#retry = systemClock.setTimer(this.#retryMs, () => void this.#askWhy());
    this.#retryMs = Math.min(Math.max(this.#retryMs * 2, RETRY_FIRST_MS), RETRY_LAST_MS);
  }

  async #askWhy(): Promise<void> {
    try {
      await probe(this.#address);
      this.#open();
    } catch (error) {
      if (this.#isClosed) return;
      const problem = callProblemOf(error);
      this.#onProblem(problem);
      this.#onError();
    }
  }
}

/**
 * A view that the server keeps sending; starts anew when the query differs, and gives the last value
 * of the old query until the first one of the new comes.
 */
export function useLive<View extends Exclude<keyof LiveEvents, "bye" | "gone" | "events">>(
  view: View,
  query: QueryOf<"live"> = {},
): Loaded<LiveEvents[View]> {
  const key = JSON.stringify(query);
  const [state] = useState(() => signal<Loaded<LiveEvents[View]>>({}));
  useEffect(() => {
    if (state.peek().problem?.kind === "not-found") state.value = {}; // Of the old query.
    const stream = new LiveStream(
      view,
      query,
      (value) => state.value = { value },
      (problem) =>
        state.value = problem.kind === "not-found" ? { problem } : { ...state.peek(), problem },
    );
    return () => stream.close();
  }, [view, key]);
  return state.value;
}

/** Events as they happen, newest first, at most `rowsMax`. */
export function useLiveEvents(
  query: QueryOf<"live">,
  onRows: (rows: LiveEvents["events"]["events"]) => void,
): void {
  const key = JSON.stringify(query);
  useEffect(() => {
    const stream = new LiveStream("events", query, ({ events }) => onRows(events), () => {});
    return () => stream.close();
  }, [key]);
}

/** What {@linkcode useLoad} gives beside the value. */
export interface Reloadable<T> extends Loaded<T> {
  /** Asks again now. */
  readonly reload: () => void;
  readonly isLoading: boolean;
}

/** What was asked, and what the value answers. */
interface Asked {
  readonly key: string;
  readonly valueKey: string;
  readonly isLoading: boolean;
}

/**
 * A value that is asked for; again when `key` differs, and every `everyMs` while the tab is seen.
 * The last value stays while a new one comes; when one does not come, if it answers the same. `isQuiet`: says nothing
 * about how fresh the page is.
 */
export function useLoad<T>(
  key: string,
  load: (signal: AbortSignal) => Promise<T>,
  everyMs?: number,
  isQuiet = false,
): Reloadable<T> {
  const [state, setState] = useState<Loaded<T> & Asked>({ key, valueKey: key, isLoading: true });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const abort = new AbortController();
    let timer: Timer | undefined;
    const run = async (): Promise<void> => {
      if (!document.hidden) await ask();
      if (everyMs !== undefined && !abort.signal.aborted) {
        timer = systemClock.setTimer(everyMs, () => void run());
      }
    };
    const ask = async (): Promise<void> => {
      try {
        const value = await load(abort.signal);
        if (abort.signal.aborted) return;
        if (everyMs !== undefined && !isQuiet) markFresh();
        setState({ key, valueKey: key, value, isLoading: false });
      } catch (error) {
        if (abort.signal.aborted) return;
        if (everyMs !== undefined && !isQuiet) markLost();
        const problem = callProblemOf(error);
        setState((old) => ({
          ...(old.valueKey === key && old.value !== undefined ? { value: old.value } : {}),
          key,
          valueKey: key,
          problem,
          isLoading: false,
        }));
      }
    };
    // The value of the question before stays until there is another: a list does not blink while
    // somebody types into its search box.
    setState((old) => ({
      ...(old.value === undefined ? {} : { value: old.value }),
      ...(old.key === key && old.problem !== undefined ? { problem: old.problem } : {}),
      key,
      valueKey: old.valueKey,
      isLoading: true,
    }));
    void run();
    return () => {
      abort.abort();
      timer?.cancel();
    };
  }, [key, turn]);
  return { ...state, reload: () => setTurn((value) => value + 1) };
}
