// Shell. The history of changes, and one change with every difference it made.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call } from "../shell/api.ts";
import { ChangeDialog } from "./change_dialog.tsx";
import { Author, ChangeHistory, rollbackOf, UndoMarks } from "./change_list.tsx";
import { Differences } from "./change_view.tsx";
import { formatInstant, plural } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { useLoad } from "../shell/live.ts";
import { may } from "../shell/state.ts";
import { Ago, Load, PageHead, WriteButton } from "../parts/widgets.tsx";

/** All changes. */
export function ChangesPage(): JSX.Element {
  return (
    <>
      <PageHead
        title="Changes"
        about="Who changed which routes, when and why; each can be undone"
      />
      <ChangeHistory />
    </>
  );
}

/** One change. */
export function ChangePage({ id }: { id: number }): JSX.Element {
  const [isUndoing, setUndoing] = useState(false);
  const change = useLoad(`change ${id}`, (signal) => call("getChange", { params: { id }, signal }));
  return (
    <>
      <PageHead title={`Change ${id}`} about={<a href="/changes">All changes</a>}>
        {may("operator") && change.value !== undefined && (
          <WriteButton
            class="primary"
            onClick={() => setUndoing(true)}
          >
            <Icon name="undo" />Roll back
          </WriteButton>
        )}
      </PageHead>
      <Load of={change} onRetry={change.reload}>
        {(value) => (
          <>
            <section class="panel">
              <p class="lead">{value.summary}</p>
              <dl class="facts">
                <div>
                  <dt>Who</dt>
                  <dd>
                    <Author change={value} />
                  </dd>
                </div>
                <div>
                  <dt>When</dt>
                  <dd>
                    {formatInstant(value.atMs)} (<Ago atMs={value.atMs} />)
                  </dd>
                </div>
                <div>
                  <dt>Why</dt>
                  <dd>
                    {value.why === "" ? <span class="muted">no reason given</span> : value.why}
                  </dd>
                </div>
                <div>
                  <dt>Touches</dt>
                  <dd>
                    {plural(value.moduleCount, "module")}, {plural(value.nodeCount, "node")}
                  </dd>
                </div>
              </dl>
              <UndoMarks change={value} />
            </section>
            <section class="panel">
              <h2>Differences</h2>
              <Differences nodes={value.nodes} modules={value.moduleTexts} />
            </section>
          </>
        )}
      </Load>
      {isUndoing && <ChangeDialog change={rollbackOf(id)} onClose={() => setUndoing(false)} />}
    </>
  );
}
