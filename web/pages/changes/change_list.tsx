// Shell. The history of changes as a list, and the one way back.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call } from "../shell/api.ts";
import { ChangeDialog, type PlannedChange, whyPart } from "./change_dialog.tsx";
import { modulePath, plural } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { BACK_ROWS, useBackList } from "../parts/paging.ts";
import { useModuleNames } from "../shell/module_names.ts";
import { may, navigate } from "../shell/state.ts";
import { ListTable, More } from "../parts/tables.tsx";
import { Ago, Empty, Load, WriteButton } from "../parts/widgets.tsx";
import type { ChangeSummary } from "../../../control/schemas.ts";

/** The undoing of a change, to look at before it is done. */
export function rollbackOf(id: number): PlannedChange {
  return {
    title: `Roll back change ${id}`,
    action: "Roll back",
    about: <p>Every node and name that change {id} touched is put back as it was before it.</p>,
    preview: () => call("previewRollback", { params: { id } }),
    apply: (why, expect) =>
      call("rollbackChange", { params: { id }, body: { expect, ...whyPart(why) } }),
    onDone: ({ changeId }) => {
      if (changeId !== null) navigate(`/changes/${changeId}`);
    },
  };
}

const VIA: Readonly<Record<ChangeSummary["via"], string>> = {
  console: "console",
  token: "API token",
  command: "command line",
  import: "import",
  rollback: "roll-back",
};

/** Who made a change, and by what. */
export function Author({ change }: { change: Pick<ChangeSummary, "who" | "via"> }): JSX.Element {
  return (
    <span>
      <b>{change.who === "" ? "unknown" : change.who}</b>
      <span class="muted">{` by ${VIA[change.via]}`}</span>
    </span>
  );
}

/** What a change undid, or was undone by. */
export function UndoMarks({ change }: { change: ChangeSummary }): JSX.Element {
  return (
    <>
      {change.undoes !== null && (
        <span class="tag">
          undoes <a href={`/changes/${change.undoes}`}>{change.undoes}</a>
        </span>
      )}
      {change.undoneBy !== null && (
        <span class="tag">
          undone by <a href={`/changes/${change.undoneBy}`}>{change.undoneBy}</a>
        </span>
      )}
    </>
  );
}

function Row(props: { change: ChangeSummary; onUndo: (id: number) => void }): JSX.Element {
  const { change, onUndo } = props;
  const names = useModuleNames();
  return (
    <tr>
      <td class="number id-cell" data-label="Change">
        <a data-row href={`/changes/${change.id}`}>{change.id}</a>
      </td>
      <td class="main-cell prose">
        <a href={`/changes/${change.id}`} tabIndex={-1}>{names.inText(change.summary)}</a>
        {change.why !== "" && <span class="sub">“{change.why}”</span>}
        <UndoMarks change={change} />
      </td>
      <td data-label="Who" class="who">
        <Author change={change} />
      </td>
      <td data-label="When" class="nowrap">
        <Ago atMs={change.atMs} />
      </td>
      <td data-label="Touches" class="names">
        <span>
          {change.modules.length === 1
            ? (
              <a href={modulePath(change.modules[0])}>
                {names.of(change.modules[0])}
              </a>
            )
            : plural(change.moduleCount, "module")}
          <span class="muted">, {plural(change.nodeCount, "node")}</span>
        </span>
      </td>
      {may("operator") && (
        <td class="row-actions">
          <WriteButton
            class="small"
            aria-label={`Roll back change ${change.id}`}
            onClick={() => onUndo(change.id)}
          >
            <Icon name="undo" />Roll back
          </WriteButton>
        </td>
      )}
    </tr>
  );
}

/** Changes, newest first; of one module when it is given. */
export function ChangeHistory(props: { modId?: number; cmdId?: number }): JSX.Element {
  const [undoing, setUndoing] = useState<number>();
  const module = props.modId === undefined
    ? {}
    : { modId: String(props.modId), cmdId: String(props.cmdId) };
  const list = useBackList(`changes ${JSON.stringify(module)}`, async (before, signal) => {
    const query = {
      ...module,
      limit: String(BACK_ROWS),
      ...(before === undefined ? {} : { before: String(before) }),
    };
    const { changes } = await call("listChanges", { query, ...(signal && { signal }) });
    return changes;
  });
  return (
    <>
      <Load of={list} onRetry={list.reload} rows={8}>
        {(changes) =>
          changes.length === 0
            ? (
              <Empty icon="changes" title="No changes yet">
                <p>Every change of routes stands here, with who made it and why.</p>
              </Empty>
            )
            : (
              <ListTable
                caption="Changes, newest first"
                heads={[
                  "#Change",
                  "What and why",
                  "Who",
                  "When",
                  "Touches",
                ]}
                hasActions={may("operator")}
                below={<More list={list} />}
              >
                {changes.map((change) => (
                  <Row
                    key={change.id}
                    change={change}
                    onUndo={setUndoing}
                  />
                ))}
              </ListTable>
            )}
      </Load>
      {undoing !== undefined && (
        <ChangeDialog
          change={rollbackOf(undoing)}
          onClose={() => setUndoing(undefined)}
        />
      )}
    </>
  );
}
