// Shell. Keeping alerts quiet for a time.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call } from "../shell/api.ts";
import { moduleTitle } from "../parts/format.ts";
import { notify } from "../shell/state.ts";
import { FormDialog, useAction } from "../parts/dialogs.tsx";
import { faultOf, SelectField, WhyField } from "../parts/fields.tsx";
import type { Rule } from "../../../control/schemas.ts";

const TIMES: readonly (readonly [string, string])[] = [
  ["15", "15 minutes"],
  ["60", "1 hour"],
  ["240", "4 hours"],
  ["1440", "1 day"],
  ["10080", "1 week"],
];

/** A silence for a module, a rule, a node, or a choice of rules. */
export function SilenceDialog(props: {
  module?: { modId: number; cmdId: number; name?: string };
  rule?: Pick<Rule, "id" | "title">;
  node?: string;
  onClose: () => void;
  onDone?: () => void;
}): JSX.Element {
  const { module, rule, node, onClose } = props;
  const { isBusy, problem, run } = useAction();
  const [minutes, setMinutes] = useState("60");
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
          minutes: Number(minutes),
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
      <SelectField
        label="For"
        fault={faultOf(problem, "minutes")}
        value={minutes}
        options={TIMES}
        onValue={setMinutes}
      />
      <WhyField
        hint="Needed: others see it."
        fault={faultOf(problem, "why")}
        value={why}
        onText={setWhy}
        input={{ required: true }}
      />
    </FormDialog>
  );
}
