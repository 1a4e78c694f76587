// Shell. Lists that go back in time: the newest page is asked for again, older ones when wanted.

import { useState } from "preact/hooks";
import { callProblemOf } from "../shell/api.ts";
import { type Reloadable, useLoad } from "../shell/live.ts";

/** Rows of a page. */
export const BACK_ROWS = 50;
/** How often the newest page is asked for again. */
const REFRESH_MS = 10_000;

/** A list that can be continued. */
export interface BackList<Row> extends Reloadable<readonly Row[]> {
  /** True when there may be older rows. */
  readonly hasMore: boolean;
  readonly isLoadingMore: boolean;
  readonly more: () => void;
}

/** Newest rows first; `load` gives those older than `before`. A new `key` starts anew. */
export function useBackList<Row extends { readonly id: number }>(
  key: string,
  load: (before: number | undefined, signal?: AbortSignal) => Promise<readonly Row[]>,
): BackList<Row> {
  const newest = useLoad(key, (signal) => load(undefined, signal), REFRESH_MS);
  const [older, setOlder] = useState<{ key: string; rows: readonly Row[]; isEnd: boolean }>({
    key,
    rows: [],
    isEnd: false,
  });
  const [more, setMore] = useState<{ isBusy: boolean; problem?: ReturnType<typeof callProblemOf> }>(
    {
      isBusy: false,
    },
  );
  const mine = older.key === key ? older : { key, rows: [], isEnd: false };
  const first = newest.value ?? [];
  const oldestShown = first.at(-1)?.id ?? 0;
  // Rows that slid from the newest page into the past stay, as the older ones were kept whole.
  const rows = [...first, ...mine.rows.filter(({ id }) => id < oldestShown)];
  const loadMore = async (): Promise<void> => {
    setMore({ isBusy: true });
    try {
      const next = await load(rows.at(-1)?.id);
      const known = new Set(mine.rows.map(({ id }) => id));
      setOlder({
        key,
        rows: [...mine.rows, ...rows.filter(({ id }) => !known.has(id)), ...next]
          .sort((left, right) => right.id - left.id),
        isEnd: next.length < BACK_ROWS,
      });
      setMore({ isBusy: false });
    } catch (error) {
      setMore({ isBusy: false, problem: callProblemOf(error) });
    }
  };
  const problem = newest.problem ?? more.problem;
  return {
    ...(newest.value === undefined ? {} : { value: rows }),
    ...(problem === undefined ? {} : { problem }),
    isLoading: newest.isLoading,
    reload: newest.reload,
    hasMore: !mine.isEnd && first.length >= BACK_ROWS,
    isLoadingMore: more.isBusy,
    more: () => void loadMore(),
  };
}
