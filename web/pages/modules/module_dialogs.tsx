// Shell. Forms about modules and nodes; each ends in a look at what it would change.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call } from "../shell/api.ts";
import {
  ChangeDialog,
  changeOfEdits,
  type PlannedChange,
  whyPart,
} from "../changes/change_dialog.tsx";
import { modulePath, moduleTitle, nodeName, parseNodeText, plural } from "../parts/format.ts";
import { useLoad } from "../shell/live.ts";
import { parsePolicy, policyFaults, policyText } from "./policy_text.ts";
import { PolicyForm } from "./policy_form.tsx";
import { navigate } from "../shell/state.ts";
import { FormDialog } from "../parts/dialogs.tsx";
import { Field, SelectField, TextField } from "../parts/fields.tsx";
import { Load } from "../parts/widgets.tsx";
import type { ClientEdit, ModuleDetail, NodeStatus } from "../../../control/schemas.ts";
import { MODULE_NAME_LENGTH_MAX, UINT32_MAX } from "../../../model/module.ts";
import {
  type NodeState,
  WEIGHT_DEFAULT,
  WEIGHT_MAX,
  ZONE_LENGTH_MAX,
} from "../../../model/node.ts";

/** Names of a node's states with what they mean. */
export const STATE_OPTIONS: readonly (readonly [NodeState, string])[] = [
  ["on", "on: gets calls"],
  ["drain", "drain: no new calls"],
  ["off", "off: no calls"],
];

function NumberInput(props: {
  label: string;
  hint?: string;
  value: string;
  max: number;
  min?: number;
  isFirst?: boolean;
  onInput: (text: string) => void;
}): JSX.Element {
  const { min = 0, max, value } = props;
  const isWrong = value !== "" && !isWhole(value, min, max);
  return (
    <TextField
      label={props.label}
      {...(props.hint === undefined ? {} : { hint: props.hint })}
      fault={isWrong ? `Must be a whole number from ${min} to ${max}.` : undefined}
      value={value}
      onText={(text) => props.onInput(text.trim())}
      input={{ inputMode: "numeric", autoFocus: props.isFirst === true }}
    />
  );
}

function isWhole(text: string, min: number, max: number): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) >= min && Number(text) <= max;
}

function isZone(text: string): boolean {
  return /^[A-Za-z0-9._-]{0,64}$/.test(text);
}

function ZoneInput(props: { value: string; onInput: (text: string) => void }): JSX.Element {
  return (
    <TextField
      label="Zone"
      hint="Where the machine stands; may stay empty."
      fault={isZone(props.value) ? undefined : "Letters, digits, dots, dashes, underscores."}
      value={props.value}
      onText={(text) => props.onInput(text.trim())}
      input={{ spellcheck: false, maxLength: ZONE_LENGTH_MAX }}
    />
  );
}

/** Nodes as people paste them: one or more, apart by spaces, commas or lines. */
function nodesOf(text: string): { nodes: { ip: string; port: number }[]; wrong: string[] } {
  const words = text.split(/[\s,;]+/).filter((word) => word !== "");
  const parsed = words.map((word) => [word, parseNodeText(word)] as const);
  return {
    nodes: parsed.flatMap(([, node]) => node === undefined ? [] : [node]),
    wrong: parsed.filter(([, node]) => node === undefined).map(([word]) => word),
  };
}

function NodesInput(
  props: { text: string; isFirst?: boolean; onInput: (text: string) => void },
): JSX.Element {
  const { wrong } = nodesOf(props.text);
  return (
    <Field
      label="Nodes"
      hint="ip:port; several are apart by spaces or lines."
      fault={wrong.length === 0
        ? undefined
        : `Must look like 10.0.0.1:7777: ${wrong[0].slice(0, 40)}`}
    >
      {(parts) => (
        <textarea
          {...parts}
          class="mono"
          rows={3}
          spellcheck={false}
          autoFocus={props.isFirst === true}
          placeholder="10.0.0.1:7777"
          value={props.text}
          onInput={(event) => props.onInput(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** A new module with its first nodes. */
export function AddModuleDialog({ onClose }: { onClose: () => void }): JSX.Element {
  const [modId, setModId] = useState("");
  const [cmdId, setCmdId] = useState("");
  const [name, setName] = useState("");
  const [text, setText] = useState("");
  const [change, setChange] = useState<PlannedChange>();
  const { nodes, wrong } = nodesOf(text);
  const isReady = isWhole(modId, 0, UINT32_MAX) && isWhole(cmdId, 0, UINT32_MAX) &&
    wrong.length === 0 && (nodes.length > 0 || name.trim() !== "");
  if (change !== undefined) return <ChangeDialog change={change} onClose={onClose} />;
  const next = (): void => {
    const module = { modId: Number(modId), cmdId: Number(cmdId) };
    const edits: ClientEdit[] = nodes.map((node) => ({ op: "add", ...module, ...node }));
    if (name.trim() !== "") edits.unshift({ op: "module", ...module, name: name.trim() });
    setChange(changeOfEdits(edits, {
      title: `Add module ${name.trim() || `${modId} / ${cmdId}`}`,
      action: "Add module",
      onDone: () => navigate(modulePath(module)),
    }));
  };
  return (
    <FormDialog
      title="Add module"
      action="Preview"
      isReady={isReady}
      onClose={onClose}
      onSubmit={next}
    >
      <div class="pair">
        <NumberInput
          label="Module number"
          value={modId}
          max={UINT32_MAX}
          isFirst
          onInput={setModId}
        />
        <NumberInput label="Command number" value={cmdId} max={UINT32_MAX} onInput={setCmdId} />
      </div>
      <NameInput value={name} onInput={setName} />
      <NodesInput text={text} onInput={setText} />
    </FormDialog>
  );
}

function NameInput(props: { value: string; onInput: (text: string) => void }): JSX.Element {
  return (
    <TextField
      label="Name"
      hint="For people; callers use the numbers."
      value={props.value}
      onText={props.onInput}
      input={{ maxLength: MODULE_NAME_LENGTH_MAX }}
    />
  );
}

/** Nodes that come to a module. */
export function AddNodesDialog(
  props: { module: ModuleDetail; onClose: () => void },
): JSX.Element {
  const { module, onClose } = props;
  const [text, setText] = useState("");
  const [weight, setWeight] = useState(String(WEIGHT_DEFAULT));
  const [zone, setZone] = useState("");
  const [state, setState] = useState<NodeState>("on");
  const [change, setChange] = useState<PlannedChange>();
  const { nodes, wrong } = nodesOf(text);
  const isReady = nodes.length > 0 && wrong.length === 0 && isWhole(weight, 0, WEIGHT_MAX) &&
    isZone(zone);
  if (change !== undefined) return <ChangeDialog change={change} onClose={onClose} />;
  const next = (): void => {
    const { modId, cmdId } = module;
    const edits = nodes.map((node): ClientEdit => ({
      op: "add",
      modId,
      cmdId,
      ...node,
      weight: Number(weight),
      zone,
      state,
    }));
    setChange(changeOfEdits(edits, {
      title: `Add ${nodes.length === 1 ? nodeName(nodes[0]) : plural(nodes.length, "node")}`,
      action: nodes.length === 1 ? "Add node" : "Add nodes",
    }));
  };
  return (
    <FormDialog
      action="Preview"
      title={`Add nodes to ${moduleTitle(module)}`}
      onClose={onClose}
      onSubmit={next}
      isReady={isReady}
    >
      <NodesInput text={text} isFirst onInput={setText} />
      <div class="pair">
        <NumberInput
          label="Weight"
          hint="Share of the calls; 100 is usual."
          value={weight}
          max={WEIGHT_MAX}
          onInput={setWeight}
        />
        <ZoneInput value={zone} onInput={setZone} />
      </div>
      <StateInput value={state} onInput={setState} />
    </FormDialog>
  );
}

function StateInput(props: { value: NodeState; onInput: (state: NodeState) => void }): JSX.Element {
  return (
    <SelectField
      label="State"
      value={props.value}
      options={STATE_OPTIONS}
      onValue={props.onInput}
    />
  );
}

/** Weight, zone and state of a node; what somebody changes meanwhile is not lost. */
export function EditNodeDialog(
  props: { module: ModuleDetail; node: NodeStatus; onClose: () => void },
): JSX.Element {
  const { onClose } = props;
  // What was there when the form was opened; the page behind it goes on.
  const [module] = useState(props.module);
  const [node] = useState(props.node);
  const [weight, setWeight] = useState(String(node.weight));
  const [zone, setZone] = useState(node.zone);
  const [state, setState] = useState(node.state);
  const [change, setChange] = useState<PlannedChange>();
  if (change !== undefined) return <ChangeDialog change={change} onClose={onClose} />;
  const { modId, cmdId } = module;
  const patch = {
    ...(Number(weight) === node.weight ? {} : { weight: Number(weight) }),
    ...(zone === node.zone ? {} : { zone }),
    ...(state === node.state ? {} : { state }),
  };
  const isReady = isWhole(weight, 0, WEIGHT_MAX) && isZone(zone) && Object.keys(patch).length > 0;
  const next = (): void => {
    const edit: ClientEdit = { op: "set", modId, cmdId, ip: node.ip, port: node.port, ...patch };
    setChange({
      title: `Change ${nodeName(node)}`,
      action: "Change node",
      preview: () => call("previewChange", { body: { edits: [edit] } }),
      apply: (why, _fingerprint, revision) =>
        call("patchNode", {
          params: { modId, cmdId, node: nodeName(node) },
          ifMatch: revision ?? module.revision,
          body: { ...patch, ...whyPart(why) },
        }),
    });
  };
  return (
    <FormDialog
      title={`Node ${nodeName(node)}`}
      action="Preview"
      isReady={isReady}
      onClose={onClose}
      onSubmit={next}
    >
      <div class="pair">
        <NumberInput
          label="Weight"
          hint="Share of the calls; 0 gives none."
          value={weight}
          max={WEIGHT_MAX}
          isFirst
          onInput={setWeight}
        />
        <ZoneInput value={zone} onInput={setZone} />
      </div>
      <StateInput value={state} onInput={setState} />
    </FormDialog>
  );
}

/** A change of a module's name or policy, held to what was there when the form was opened. */
function textsChange(
  module: ModuleDetail,
  texts: { name?: string; policy?: string },
): PlannedChange {
  const { modId, cmdId } = module;
  return {
    title: `Change ${moduleTitle(module)}`,
    action: "Change module",
    preview: () =>
      call("previewChange", { body: { edits: [{ op: "module", modId, cmdId, ...texts }] } }),
    apply: (why, _fingerprint, revision) =>
      call("putModule", {
        params: { modId, cmdId },
        ifMatch: revision ?? module.revision,
        body: { ...texts, ...whyPart(why) },
      }),
  };
}

/** Name and policy of a module. */
export function EditModuleDialog(
  props: { module: ModuleDetail; onClose: () => void },
): JSX.Element {
  const { onClose } = props;
  const [module] = useState(props.module);
  const known = useLoad("policies", (signal) => call("listPolicies", { signal }));
  const [name, setName] = useState(module.name);
  const [draft, setDraft] = useState(() =>
    parsePolicy(module.policyText) ?? { policy: module.policy, settings: {} }
  );
  const [change, setChange] = useState<PlannedChange>();
  if (change !== undefined) return <ChangeDialog change={change} onClose={onClose} />;
  const specs = known.value?.settings ?? [];
  const isRight = known.value !== undefined &&
    Object.keys(policyFaults(draft, specs)).length === 0;
  const policy = isRight ? policyText(draft, specs) : module.policyText;
  const before = parsePolicy(module.policyText);
  const isSame = isRight && before !== undefined && policyText(before, specs) === policy;
  const texts = {
    ...(name.trim() === module.name ? {} : { name: name.trim() }),
    ...(isSame || !isRight ? {} : { policy }),
  };
  const isReady = Object.keys(texts).length > 0 && (isRight || known.value === undefined);
  return (
    <FormDialog
      wide
      action="Preview"
      title={`Module ${moduleTitle(module)}`}
      onClose={onClose}
      onSubmit={() => setChange(textsChange(module, texts))}
      isReady={isReady}
    >
      <NameInput value={name} onInput={setName} />
      <Load of={known} onRetry={known.reload} rows={2}>
        {(policies) => <PolicyForm draft={draft} known={policies} onChange={setDraft} />}
      </Load>
    </FormDialog>
  );
}

/** New states for nodes, as a change to look at. */
export function stateChange(
  module: ModuleDetail,
  nodes: readonly NodeStatus[],
  state: NodeState,
): PlannedChange {
  const { modId, cmdId } = module;
  const verb = { on: "Restore", drain: "Drain", off: "Switch off" }[state];
  const what = nodes.length === 1 ? nodeName(nodes[0]) : plural(nodes.length, "node");
  return changeOfEdits(
    nodes.map(({ ip, port }): ClientEdit => ({ op: "set", modId, cmdId, ip, port, state })),
    { title: `${verb} ${what}`, action: verb },
  );
}

/** The removal of nodes, as a change to look at. */
export function removalOf(module: ModuleDetail, nodes: readonly NodeStatus[]): PlannedChange {
  const { modId, cmdId } = module;
  const what = nodes.length === 1 ? nodeName(nodes[0]) : plural(nodes.length, "node");
  return changeOfEdits(
    nodes.map(({ ip, port }): ClientEdit => ({ op: "remove", modId, cmdId, ip, port })),
    {
      title: `Remove ${what}`,
      action: "Remove",
      isDangerous: true,
      about: (
        <p>Drain first where calls under way should end in peace. A roll-back brings it back.</p>
      ),
    },
  );
}

/** The removal of a whole module, as a change to look at. */
export function moduleRemoval(module: ModuleDetail): PlannedChange {
  const { modId, cmdId, nodes } = module;
  const edits = nodes.map(({ ip, port }): ClientEdit => ({ op: "remove", modId, cmdId, ip, port }));
  return {
    title: `Remove module ${moduleTitle(module)}`,
    action: "Remove module",
    isDangerous: true,
    about: (
      <p>
        Callers of {moduleTitle(module)}{" "}
        get "does not exist" from then on. A roll-back brings it back.
      </p>
    ),
    preview: () =>
      edits.length > 0
        ? call("previewChange", { body: { edits } })
        : Promise.resolve(removalOfTexts(module)),
    apply: (why, _fingerprint, revision) =>
      call("deleteModule", {
        params: { modId, cmdId },
        ifMatch: revision ?? module.revision,
        query: whyPart(why),
      }),
    onDone: () => navigate("/modules"),
  };
}

/** A module without nodes: there is nothing the server could preview. */
function removalOfTexts(
  { modId, cmdId, name, policyText }: ModuleDetail,
): Awaited<ReturnType<PlannedChange["preview"]>> {
  return {
    fingerprint: "",
    nodes: [],
    modules: [{
      modId,
      cmdId,
      before: { name, policy: policyText },
      after: { name: "", policy: "" },
    }],
    unchangedCount: 0,
    traffic: [],
    warnings: [],
  };
}
