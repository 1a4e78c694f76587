// Shell. The list of modules: filter, order, pages; and adding one.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { formatCount } from "../parts/format.ts";
import { useLive } from "../shell/live.ts";
import { AddModuleDialog } from "./module_dialogs.tsx";
import { ModuleRows } from "./module_table.tsx";
import { may, query, setQuery } from "../shell/state.ts";
import { pageQuery, Pager, SearchBox } from "../parts/tables.tsx";
import { AddButton, Empty, Load, PageHead } from "../parts/widgets.tsx";

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
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <SearchBox
        label="Part of name, numbers or node address"
        placeholder="Name, numbers or node"
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

/** All modules. */
export function ModulesPage(): JSX.Element {
  const list = useLive("modules", pageQuery(["search", "health", "sort"]));
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
        {may("operator") && <AddButton text="Add module" onClick={() => setAdding(true)} />}
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
                <ModuleRows caption="Modules" modules={modules} />
                <Pager total={total} />
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
