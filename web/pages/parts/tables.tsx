// Shell. Lists as tables: heads, rows, pages, and the box that searches them.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { systemClock } from "../../../reactor/time/system_clock.ts";
import { query, setQuery } from "../shell/state.ts";
import { formatCount } from "./format.ts";
import { Icon } from "./icons.tsx";

/** Rows of a page of a list that is asked for in pages. */
const PAGE_ROWS = 100;
/** Pause after a key before the list follows. */
const TYPING_MS = 150;

/** A list in a panel: a table, or cards on narrow windows; `children` are its rows. */
export function ListTable(props: {
  /** What screen readers call it. */
  caption: string;
  heads: readonly string[];
  /** True when the rows end with actions. */
  hasActions?: boolean;
  /** What stands below the table. */
  below?: ComponentChildren;
  children: ComponentChildren;
}): JSX.Element {
  return (
    <div class="panel flush">
      <table class="rows cards">
        <caption class="hidden">{props.caption}</caption>
        <Heads names={props.hasActions === true ? [...props.heads, ""] : props.heads} />
        <tbody>{props.children}</tbody>
      </table>
      {props.below}
    </div>
  );
}

/**
 * Head of a table. A name that begins with `#` is of a column of numbers, one with `-` of a column
 * that narrow windows leave out; an empty one is of the actions, which only screen readers hear.
 */
export function Heads({ names }: { names: readonly string[] }): JSX.Element {
  return (
    <thead>
      <tr>
        {names.map((name) => (
          <th
            key={name}
            scope="col"
            class={name.startsWith("#") ? "number" : name.startsWith("-") ? "wide-only" : ""}
          >
            {name === "" ? <span class="hidden">Actions</span> : name.replace(/^[#-]/, "")}
          </th>
        ))}
      </tr>
    </thead>
  );
}

/** Head of a column that sorts by it. */
export function SortHead<Key extends string>(props: {
  by: Key;
  sort: { readonly by: string; readonly down: boolean };
  onSort: (by: Key) => void;
  number?: boolean;
  children: ComponentChildren;
}): JSX.Element {
  const isOn = props.sort.by === props.by;
  const order = isOn ? (props.sort.down ? "descending" : "ascending") : "none";
  return (
    <th scope="col" class={props.number === true ? "number" : ""} aria-sort={order}>
      <button type="button" class="sort" onClick={() => props.onSort(props.by)}>
        {props.children}
        {isOn && <Icon name={props.sort.down ? "down" : "up"} />}
      </button>
    </th>
  );
}

/** The box that searches a list of several pages; the address of the page holds its text. */
export function SearchBox(props: { label: string; placeholder: string }): JSX.Element {
  const search = query.value.get("search") ?? "";
  const [text, setText] = useState(search);
  useEffect(() => setText(search), [search]);
  useEffect(() => {
    if (text === search) return;
    const timer = systemClock.setTimer(
      TYPING_MS,
      () => setQuery({ search: text, page: undefined }),
    );
    return () => timer.cancel();
  }, [text]);
  return (
    <input
      type="search"
      aria-label={props.label}
      placeholder={props.placeholder}
      maxLength={64}
      data-key="f"
      value={text}
      onInput={(event) => setText(event.currentTarget.value)}
    />
  );
}

/** Number of the page of a list that the address names, from 1. */
function pageNumber(): number {
  return Math.max(1, Number(query.value.get("page") ?? 1) || 1);
}

/** What to ask for: the page of the address, and of its other parts those with these names. */
export function pageQuery(names: readonly string[]): Record<string, string> {
  const page = pageNumber();
  return {
    limit: String(PAGE_ROWS),
    ...Object.fromEntries([...query.value].filter(([name]) => names.includes(name))),
    ...(page > 1 ? { offset: String((page - 1) * PAGE_ROWS) } : {}),
  };
}

/** Earlier and later pages of a list. */
export function Pager({ total }: { total: number }): JSX.Element | null {
  const number = pageNumber();
  const last = Math.ceil(total / PAGE_ROWS);
  if (last <= 1) return null;
  const go = (page: number): void => setQuery({ page: page === 1 ? undefined : String(page) });
  return (
    <nav class="pager" aria-label="Pages of the list">
      <button type="button" disabled={number <= 1} onClick={() => go(number - 1)}>
        Earlier
      </button>
      <span>
        {formatCount((number - 1) * PAGE_ROWS + 1)} to{" "}
        {formatCount(Math.min(number * PAGE_ROWS, total))} of {formatCount(total)}
      </span>
      <button type="button" disabled={number >= last} onClick={() => go(number + 1)}>
        Later
      </button>
    </nav>
  );
}

/** The button under a list that goes on. */
export function More(
  props: { list: { hasMore: boolean; isLoadingMore: boolean; more: () => void } },
): JSX.Element | null {
  if (!props.list.hasMore) return null;
  return (
    <p class="more">
      <button type="button" disabled={props.list.isLoadingMore} onClick={props.list.more}>
        {props.list.isLoadingMore ? "Loading …" : "Show older"}
      </button>
    </p>
  );
}
