// Shell. The list of modules: filter, order, pages; and adding one.

import type { JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { QueryOf } from "../../contract.ts";
import { systemClock } from "../../../reactor/time/system_clock.ts";
import { formatCount } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { useLive } from "../shell/live.ts";
import { AddModuleDialog } from "./module_dialogs.tsx";
import { ModuleTable } from "./module_table.tsx";
import { may, query, setQuery } from "../shell/state.ts";
import { Empty, Load, PageHead } from "../parts/widgets.tsx";

/** Rows of a page, as many as the live view gives. */
const PAGE_ROWS = 100;
/** Pause after a key before the list follows. */
const TYPING_MS = 150;

const SORTS = [
  ["trouble", "Worst first"],
  ["name", "Name"],
  ["id", "Number"],
  ["calls", "Most calls"],
  ["errors", "Most errors"],
  ["nodes", "Most nodes"],
] as const;
const HEALTHS = ["ok", "degraded", "down", "idle", "empty"] as const;

function Filters(): JSX.Element {
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
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <input
        type="search"
        aria-label="Part of name, numbers or node address"
        placeholder="Name, numbers or node"
        maxLength={64}
        data-key="f"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <select
        aria-label="Health"
        value={query.value.get("health") ?? ""}
        onInput={(event) => setQuery({ health: event.currentTarget.value, page: undefined })}
      >
        <option value="">Any health</option>
        {HEALTHS.map((health) => <option key={health} value={health}>{health}</option>)}
      </select>
      <select
        aria-label="Order"
        value={query.value.get("sort") ?? "trouble"}
        onInput={(event) => setQuery({ sort: event.currentTarget.value, page: undefined })}
      >
        {SORTS.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
      </select>
    </form>
  );
}

/** Earlier and later pages of a list. */
export function Pager(props: { page: number; total: number }): JSX.Element | null {
  const last = Math.ceil(props.total / PAGE_ROWS);
  if (last <= 1) return null;
  const go = (page: number): void => setQuery({ page: page === 1 ? undefined : String(page) });
  return (
    <nav class="pager" aria-label="Pages of the list">
      <button type="button" disabled={props.page <= 1} onClick={() => go(props.page - 1)}>
        Earlier
      </button>
      <span>
        {formatCount((props.page - 1) * PAGE_ROWS + 1)} to{" "}
        {formatCount(Math.min(props.page * PAGE_ROWS, props.total))} of {formatCount(props.total)}
      </span>
      <button type="button" disabled={props.page >= last} onClick={() => go(props.page + 1)}>
        Later
      </button>
    </nav>
  );
}

function liveQuery(page: number): QueryOf<"live"> {
  const parts: Record<string, string> = { limit: String(PAGE_ROWS) };
  for (const name of ["search", "health", "sort"]) {
    const value = query.value.get(name);
    if (value !== null) parts[name] = value;
  }
  if (page > 1) parts.offset = String((page - 1) * PAGE_ROWS);
  return parts as QueryOf<"live">;
}

/** All modules. */
export function ModulesPage(): JSX.Element {
  const page = Math.max(1, Number(query.value.get("page") ?? 1) || 1);
  const list = useLive("modules", liveQuery(page));
  const [isAdding, setAdding] = useState(query.peek().get("add") === "1");
  const isFiltered = query.value.has("search") || query.value.has("health");
  return (
    <>
      <PageHead
        title="Modules"
        about={list.value === undefined
          ? "What callers ask for"
          : `${formatCount(list.value.total)} ${isFiltered ? "match" : "in all"}`}
      >
        {may("operator") && (
          <button
            type="button"
            class="primary"
            data-key="n"
            onClick={() => setAdding(true)}
          >
            <Icon name="plus" />Add module
          </button>
        )}
      </PageHead>
      <Filters />
      <Load of={list} rows={10}>
        {({ modules, total }) =>
          modules.length === 0
            ? (
              <Empty icon="modules" title={isFiltered ? "No module matches" : "No modules yet"}>
                {isFiltered
                  ? (
                    <button
                      type="button"
                      class="small"
                      onClick={() => setQuery({ search: undefined, health: undefined })}
                    >
                      Show all
                    </button>
                  )
                  : <p>A module is what callers ask for: two numbers, a name, and its nodes.</p>}
              </Empty>
            )
            : (
              <div class="panel flush">
                <ModuleTable caption="Modules" modules={modules} />
                <Pager page={page} total={total} />
              </div>
            )}
      </Load>
      {isAdding && may("operator") && (
        <AddModuleDialog
          onClose={() => {
            setAdding(false);
            setQuery({ add: undefined });
          }}
        />
      )}
    </>
  );
}
