// Shell. The one way to change routes: look at what it does, say why, apply it, or see who was faster.

import type { ComponentChildren, JSX } from "preact";
import { useEffect, useState } from "preact/hooks";
import { call, CallProblem, callProblemOf } from "../shell/api.ts";
import { Differences, Traffic } from "./change_view.tsx";
import { plural } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { type NameLookup, useModuleNames } from "../shell/module_names.ts";
import { notify } from "../shell/state.ts";
import { Dialog } from "../parts/dialogs.tsx";
import { WhyField } from "../parts/fields.tsx";
import { Loading, ProblemBox, WriteButton } from "../parts/widgets.tsx";
import { leftSentences } from "../../../control/changes/left_text.ts";
import type { ChangePreview, ChangeResult, ClientEdit } from "../../../control/schemas.ts";

/** A change to look at before it is made. */
export interface PlannedChange {
  readonly title: string;
  /** On the button that applies it: `Drain`. */
  readonly action: string;
  readonly isDangerous?: boolean;
  readonly about?: ComponentChildren;
  readonly preview: () => Promise<ChangePreview>;
  /** `revision` is set after a conflict, when the server said what is true now. */
  readonly apply: (
    why: string,
    fingerprint: string,
    revision: string | undefined,
  ) => Promise<ChangeResult>;
  readonly onDone?: (result: ChangeResult) => void;
}

/** Modules left without nodes that a notice names. */
const LEFT_NAMED_MAX = 3;

/** A change made of edits, applied only while what the preview showed is true. */
export function changeOfEdits(
  edits: readonly ClientEdit[],
  rest: Pick<PlannedChange, "title" | "action"> & Partial<PlannedChange>,
): PlannedChange {
  return {
    preview: () => call("previewChange", { body: { edits: [...edits] } }),
    apply: (why, expect) =>
      call("applyChange", { body: { edits: [...edits], expect, ...whyPart(why) } }),
    ...rest,
  };
}

/** The reason as part of a body; left out when there is none. */
export function whyPart(why: string): { why?: string } {
  return why.trim() === "" ? {} : { why: why.trim() };
}

/** Says what a change did, with a way to it; what it leaves without nodes stays until it is read. */
function announce(title: string, result: ChangeResult, names: NameLookup): void {
  if (result.changeId === null) return notify("ok", "It was so already: nothing was changed");
  const link = { href: `/changes/${result.changeId}`, text: `Change ${result.changeId}` };
  const deaf = result.told.filter(({ told }) => !told);
  const left = leftSentences(result, "now", names.of);
  const done = deaf.length > 0
    ? `stored; ${deaf.map(({ address }) => address).join(", ")} was not told and sees it at its ` +
      "next poll"
    : result.told.length > 0
    ? `done, ${plural(result.told.length, "dns", "dns")} told`
    : "done";
  const shown = left.slice(0, LEFT_NAMED_MAX).map((text) => ` ${text}.`).join("");
  const more = left.length - LEFT_NAMED_MAX;
  const text = left.length === 0
    ? `${title}: ${done}`
    : `${title}: ${done}.${shown}${more > 0 ? ` And ${more} more.` : ""}`;
  notify(left.length > 0 ? "crit" : deaf.length > 0 ? "warn" : "ok", text, link);
}

function Conflict({ problem }: { problem: CallProblem }): JSX.Element {
  return (
    <div class="box warn" role="alert">
      <Icon name="warn" />
      <div>
        <p class="strong">Somebody else changed this meanwhile. Nothing of yours was written.</p>
        <p>
          {problem.detail}{" "}
          Below is what your change would do to what is stored now: look again, then apply it or
          cancel.
        </p>
      </div>
    </div>
  );
}

function PreviewBody({ preview }: { preview: ChangePreview }): JSX.Element {
  const isNothing = preview.nodes.length + preview.modules.length === 0;
  const names = useModuleNames();
  return (
    <>
      {preview.warnings.map((warning) => (
        <div class="box warn" key={warning}>
          <Icon name="warn" />
          <p>{names.inText(warning)}</p>
        </div>
      ))}
      {isNothing
        ? <p>Everything is so already: there is nothing to change.</p>
        : <Differences nodes={preview.nodes} modules={preview.modules} />}
      {preview.unchangedCount > 0 && !isNothing && (
        <p class="muted">{plural(preview.unchangedCount, "row")} so already, left alone.</p>
      )}
      <Traffic shifts={preview.traffic} />
    </>
  );
}

interface Progress {
  readonly preview?: ChangePreview;
  readonly problem?: CallProblem;
  readonly conflict?: CallProblem;
  readonly isBusy: boolean;
}

function useChange(change: PlannedChange, onClose: () => void): {
  readonly progress: Progress;
  readonly refresh: () => void;
  readonly apply: (why: string) => void;
} {
  const [progress, setProgress] = useState<Progress>({ isBusy: true });
  const names = useModuleNames();
  const look = async (conflict?: CallProblem): Promise<void> => {
    const kept = conflict === undefined ? {} : { conflict };
    setProgress({ isBusy: true, ...kept });
    try {
      setProgress({ isBusy: false, preview: await change.preview(), ...kept });
    } catch (error) {
      setProgress({ isBusy: false, problem: callProblemOf(error), ...kept });
    }
  };
  const apply = async (why: string): Promise<void> => {
    if (progress.preview === undefined) return;
    setProgress({ ...progress, isBusy: true });
    try {
      const { fingerprint } = progress.preview;
      const result = await change.apply(why, fingerprint, progress.conflict?.revision);
      announce(change.title, result, names);
      onClose();
      change.onDone?.(result);
    } catch (error) {
      const problem = callProblemOf(error);
      if (problem.kind === "changed-meanwhile") await look(problem);
      else setProgress({ preview: progress.preview, problem, isBusy: false });
    }
  };
  useEffect(() => void look(), []);
  return { progress, refresh: () => void look(), apply: (why) => void apply(why) };
}

/** Shows what a change would do, and makes it. */
export function ChangeDialog(
  props: { change: PlannedChange; onClose: () => void },
): JSX.Element {
  const { change, onClose } = props;
  const { progress, refresh, apply } = useChange(change, onClose);
  const [why, setWhy] = useState("");
  const [isSure, setSure] = useState(false);
  const { preview, problem, conflict, isBusy } = progress;
  const emptied = preview?.traffic.filter((shift) => shift.emptied) ?? [];
  const isNothing = preview !== undefined && preview.nodes.length + preview.modules.length === 0;
  const isReady = preview !== undefined && !isBusy && !isNothing &&
    (emptied.length === 0 || isSure);
  return (
    <Dialog title={change.title} wide onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady) apply(why);
        }}
      >
        <div class="body">
          {change.about}
          {conflict !== undefined && <Conflict problem={conflict} />}
          {problem !== undefined && <ProblemBox problem={problem} onRetry={refresh} />}
          {preview === undefined
            ? isBusy && <Loading rows={3} />
            : <PreviewBody preview={preview} />}
          <WhyField
            hint="Kept in the history, for whoever wonders later."
            value={why}
            onText={setWhy}
            input={{ placeholder: "ticket, incident, deploy …" }}
          />
          {emptied.length > 0 && (
            <label class="check">
              <input
                type="checkbox"
                checked={isSure}
                onInput={(event) => setSure(event.currentTarget.checked)}
              />
              I know that {plural(emptied.length, "module")} will have no node that may be called
            </label>
          )}
        </div>
        <footer>
          <button type="button" onClick={onClose}>Cancel</button>
          <WriteButton
            type="submit"
            class={change.isDangerous === true || emptied.length > 0 ? "danger" : "primary"}
            disabled={!isReady}
          >
            {isBusy && preview !== undefined ? "Working …" : change.action}
          </WriteButton>
        </footer>
      </form>
    </Dialog>
  );
}
