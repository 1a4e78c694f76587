// Shell. Keeping alerts quiet for a time.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call } from "../shell/api.ts";
import { moduleTitle } from "../parts/format.ts";
import { notify } from "../shell/state.ts";
import type { RuleRow } from "../shell/types.ts";
import { FormDialog } from "../parts/form_dialog.tsx";
import { faultOf, Field, useAction } from "../parts/widgets.tsx";

const TIMES: readonly (readonly [number, string])[] = [
  [15, "15 minutes"],
  [60, "1 hour"],
  [240, "4 hours"],
  [1440, "1 day"],
  [10_080, "1 week"],
];

/** A silence for a module, a rule, a node, or a choice of rules. */
export function SilenceDialog(props: {
  module?: { modId: number; cmdId: number; name?: string };
  rule?: Pick<RuleRow, "id" | "title">;
  node?: string;
  onClose: () => void;
  onDone?: () => void;
}): JSX.Element {
  const { module, rule, node, onClose } = props;
  const { isBusy, problem, run } = useAction();
  const [minutes, setMinutes] = useState(60);
  const [why, setWhy] = useState("");
  const what = [
    rule === undefined ? "every rule" : `rule “${rule.title}”`,
    module === undefined ? "every module" : `module ${moduleTitle(module)}`,
    ...(node === undefined ? [] : [`node ${node}`]),
  ].join(", ");
  const submit = (): void =>
    run(async () => {
      await call("addSilence", {
        body: {
          ruleId: rule?.id ?? null,
          modId: module?.modId ?? null,
          cmdId: module?.cmdId ?? null,
          node: node ?? null,
          minutes,
          why: why.trim(),
        },
      });
      notify("ok", "Silenced: alerts still show here, webhooks get none", {
        href: "/alerts?tab=silences",
        text: "Silences",
      });
      props.onDone?.();
      onClose();
    });
  return (
    <FormDialog
      title="Silence alerts"
      action="Silence"
      isReady={!isBusy && why.trim() !== ""}
      problem={problem}
      lead={<p>Keeps quiet: {what}.</p>}
      onClose={onClose}
      onSubmit={submit}
    >
      <Field label="For" fault={faultOf(problem, "minutes")}>
        {(parts) => (
          <select
            {...parts}
            value={String(minutes)}
            onInput={(event) => setMinutes(Number(event.currentTarget.value))}
          >
            {TIMES.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
          </select>
        )}
      </Field>
      <Field label="Why" fault={faultOf(problem, "why")} hint="Needed: others see it.">
        {(parts) => (
          <input
            {...parts}
            autoFocus
            required
            maxLength={500}
            value={why}
            onInput={(event) => setWhy(event.currentTarget.value)}
          />
        )}
      </Field>
    </FormDialog>
  );
}
