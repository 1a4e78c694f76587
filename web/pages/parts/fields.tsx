// Shell. Fields of forms, with their labels, hints and faults.

import type { InputHTMLAttributes, JSX } from "preact";
import { useId } from "preact/hooks";
import type { CallProblem } from "../shell/api.ts";

/** Text or number field with label, hint and fault. */
export function Field(props: {
  label: string;
  hint?: string;
  fault?: string | undefined;
  children: (
    parts: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean },
  ) => JSX.Element;
}): JSX.Element {
  const id = useId();
  const note = props.fault ?? props.hint;
  const parts = {
    id,
    ...(note === undefined ? {} : { "aria-describedby": `${id}-note` }),
    ...(props.fault === undefined ? {} : { "aria-invalid": true }),
  };
  return (
    <div class="field">
      <label htmlFor={id}>{props.label}</label>
      {props.children(parts)}
      {note !== undefined && (
        <p id={`${id}-note`} class={props.fault === undefined ? "hint" : "fault"}>{note}</p>
      )}
    </div>
  );
}

/** A line of text with its label; what else an input takes goes through. */
export function TextField(
  props: {
    label: string;
    hint?: string;
    fault?: string | undefined;
    value: string;
    onText: (text: string) => void;
    input?: InputHTMLAttributes;
  },
): JSX.Element {
  const { label, hint, fault, value, onText, input } = props;
  return (
    <Field label={label} {...(hint === undefined ? {} : { hint })} fault={fault}>
      {(parts) => (
        <input
          autoComplete="off"
          {...input}
          {...parts}
          value={value}
          onInput={(event) => onText(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** Why something is done, for those who wonder later. */
export function WhyField(props: {
  hint: string;
  fault?: string | undefined;
  value: string;
  onText: (text: string) => void;
  input?: InputHTMLAttributes;
}): JSX.Element {
  const { input, ...field } = props;
  return <TextField label="Why" {...field} input={{ autoFocus: true, maxLength: 500, ...input }} />;
}

/** One of a few values with its label. */
export function SelectField<T extends string>(props: {
  label: string;
  hint?: string;
  fault?: string | undefined;
  hasFocus?: boolean;
  value: T;
  options: readonly (readonly [T, string])[];
  onValue: (value: T) => void;
}): JSX.Element {
  const { label, hint, fault, value, options, onValue } = props;
  return (
    <Field label={label} {...(hint === undefined ? {} : { hint })} fault={fault}>
      {(parts) => (
        <select
          {...parts}
          autoFocus={props.hasFocus === true}
          value={value}
          onInput={(event) => {
            const option = options.find(([name]) => name === event.currentTarget.value);
            if (option !== undefined) onValue(option[0]);
          }}
        >
          {options.map(([name, text]) => <option key={name} value={name}>{text}</option>)}
        </select>
      )}
    </Field>
  );
}

/** Fault of a field in an answer of the server; paths end with the name of the field. */
export function faultOf(problem: CallProblem | undefined, field: string): string | undefined {
  return problem?.errors.find(({ path }) => path.split(".").at(-1) === field)?.message;
}

/** A choice of one of a few, as a row of buttons. */
export function Choice<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  onChange: (value: T) => void;
}): JSX.Element {
  return (
    <div class="choice" role="group" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button
          key={value}
          type="button"
          aria-pressed={value === props.value}
          onClick={() => props.onChange(value)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}
