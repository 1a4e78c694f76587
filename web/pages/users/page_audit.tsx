// Shell. Every write and every refused one.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call } from "../shell/api.ts";
import { useModuleNames } from "../shell/module_names.ts";
import { BACK_ROWS, useBackList } from "../parts/paging.ts";
import { ListTable, More } from "../parts/tables.tsx";
import { Ago, Badge, Empty, Load, PageHead } from "../parts/widgets.tsx";
import type { AuditRow } from "../../../sql/console/console_store.ts";

function Row({ entry }: { entry: AuditRow }): JSX.Element {
  const names = useModuleNames();
  return (
    <tr>
      <td data-label="When" class="nowrap">
        <Ago atMs={entry.atMs} />
      </td>
      <td data-label="Who">
        <b class="cut">{entry.who || "nobody"}</b>
      </td>
      <td class="main-cell nowrap">
        <code>{entry.action}</code>
      </td>
      <td data-label="On" class="prose">
        {names.inText(entry.target)}
        {entry.detail !== "" && <span class="sub muted">{names.inText(entry.detail)}</span>}
      </td>
      <td data-label="Outcome">
        {entry.outcome === "done"
          ? <Badge tone="ok" icon="ok" text="done" />
          : <Badge tone="warn" icon="warn" text="refused" />}
      </td>
      <td data-label="From" class="muted nowrap">{entry.address || "command"}</td>
    </tr>
  );
}

/** The audit. */
export function AuditPage(): JSX.Element {
  const [who, setWho] = useState("");
  const isName = /^[A-Za-z0-9][A-Za-z0-9._@-]*$/.test(who);
  const list = useBackList(`audit ${isName ? who : ""}`, async (before, signal) => {
    const query = {
      limit: String(BACK_ROWS),
      ...(isName ? { who } : {}),
      ...(before === undefined ? {} : { before: String(before) }),
    };
    const { entries } = await call("listAudit", { query, ...(signal && { signal }) });
    return entries;
  });
  return (
    <>
      <PageHead
        title="Audit"
        about="Every write and every refused one: who, when, what, from where"
      />
      <div class="filters">
        <input
          type="search"
          aria-label="Name of a user"
          placeholder="All users"
          maxLength={64}
          data-key="f"
          value={who}
          onInput={(event) => setWho(event.currentTarget.value.trim())}
        />
      </div>
      <Load of={list} onRetry={list.reload} rows={8}>
        {(entries) =>
          entries.length === 0 ? <Empty icon="audit" title="No entries" /> : (
            <ListTable
              caption="Audit, newest first"
              heads={["When", "Who", "What", "On", "Outcome", "From"]}
              below={<More list={list} />}
            >
              {entries.map((entry) => <Row key={entry.id} entry={entry} />)}
            </ListTable>
          )}
      </Load>
    </>
  );
}
