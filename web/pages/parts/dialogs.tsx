// Shell. Windows over the page: with a form, a question, or a secret that is shown once.

import type { ComponentChildren, JSX } from "preact";
import { useId, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { CallProblem } from "../shell/api.ts";
import { notify } from "../shell/state.ts";
import { Icon } from "./icons.tsx";
import { Field } from "./fields.tsx";
import { IconButton, ProblemBox, WriteButton } from "./widgets.tsx";

/** A window over the page; Escape, the cross and a press beside it close it. */
export function Dialog(props: {
  title: string;
  wide?: boolean;
  onClose: () => void;
  children: ComponentChildren;
}): JSX.Element {
  const ref = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  // Before anything is painted: the next key already belongs to the window.
  useLayoutEffect(() => {
    const opener = document.activeElement;
    ref.current?.showModal();
    return () => {
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={ref}
      class={props.wide === true ? "wide" : ""}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        props.onClose();
      }}
    >
      <header>
        <h2 id={titleId}>{props.title}</h2>
        <IconButton icon="close" label="Close" onClick={props.onClose} />
      </header>
      {props.children}
    </dialog>
  );
}

/** Characters in a line of a text to be copied, at the narrowest. */
const COPY_COLUMNS = 24;

/** A text to be used elsewhere, with a button that copies it. */
export function CopyField(
  props: { label: string; text: string; hint?: string },
): JSX.Element {
  const ref = useRef<HTMLTextAreaElement>(null);
  const copy = async (): Promise<void> => {
    ref.current?.select();
    try {
      await navigator.clipboard.writeText(props.text);
      notify("ok", `${props.label} copied`);
    } catch {
      notify("warn", "This browser does not let a page copy here: press Ctrl-C");
    }
  };
  return (
    <Field label={props.label} {...(props.hint === undefined ? {} : { hint: props.hint })}>
      {(parts) => (
        <div class="secret">
          <textarea
            {...parts}
            ref={ref}
            class="mono"
            readOnly
            rows={Math.ceil(props.text.length / COPY_COLUMNS)}
            value={props.text}
          />
          <button
            type="button"
            onClick={() => void copy()}
          >
            <Icon name="copy" />Copy
          </button>
        </div>
      )}
    </Field>
  );
}

/** A text shown once. */
export function Secret(props: { label: string; text: string }): JSX.Element {
  return <CopyField {...props} hint="Shown this once. Keep it in a safe place before you close." />;
}

/** Runs one action at a time and keeps what went wrong. */
export function useAction(): {
  readonly isBusy: boolean;
  readonly problem: CallProblem | undefined;
  readonly run: (action: () => Promise<void>) => void;
  readonly clear: () => void;
} {
  const [state, setState] = useState<{ isBusy: boolean; problem?: CallProblem }>({ isBusy: false });
  const run = (action: () => Promise<void>): void => {
    setState({ isBusy: true });
    action().then(
      () => setState({ isBusy: false }),
      (problem) => setState({ isBusy: false, problem: problem as CallProblem }),
    );
  };
  return {
    isBusy: state.isBusy,
    problem: state.problem,
    run,
    clear: () => setState({ isBusy: false }),
  };
}

/** A question before something that is not easily undone. */
export function Confirm(props: {
  title: string;
  children: ComponentChildren;
  action: string;
  danger?: boolean;
  onClose: () => void;
  onConfirm: () => Promise<void>;
}): JSX.Element {
  const { isBusy, problem, run } = useAction();
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <div class="body">
        {props.children}
        {problem !== undefined && <ProblemBox problem={problem} />}
      </div>
      <footer>
        <button type="button" onClick={props.onClose}>Cancel</button>
        <WriteButton
          class={props.danger === true ? "danger" : "primary"}
          disabled={isBusy}
          onClick={() => run(props.onConfirm)}
        >
          {isBusy ? "Working …" : props.action}
        </WriteButton>
      </footer>
    </Dialog>
  );
}

/** A window with fields, Cancel, and a button that does what the window is for. */
export function FormDialog(props: {
  title: string;
  /** Text of the button. */
  action: string;
  /** False: the button does nothing yet. */
  isReady: boolean;
  /** Why it was not done; its fields show their own faults. */
  problem?: CallProblem | undefined;
  /** Stands before the problem. */
  lead?: ComponentChildren;
  wide?: boolean;
  onClose: () => void;
  onSubmit: () => void;
  children: ComponentChildren;
}): JSX.Element {
  const { title, action, isReady, problem, lead, onClose, onSubmit, children } = props;
  return (
    <Dialog title={title} wide={props.wide === true} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady) onSubmit();
        }}
      >
        <div class="body stack">
          {lead}
          {problem !== undefined && <ProblemBox problem={problem} />}
          {children}
        </div>
        <footer>
          <button type="button" onClick={onClose}>Cancel</button>
          <WriteButton type="submit" class="primary" disabled={!isReady}>{action}</WriteButton>
        </footer>
      </form>
    </Dialog>
  );
}

/** A secret that nobody will see again. */
export function SecretDialog(props: {
  title: string;
  /** What the secret is called. */
  label: string;
  secret: string;
  onClose: () => void;
  /** What it is for. */
  children: ComponentChildren;
}): JSX.Element {
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <div class="body stack">
        {props.children}
        <Secret label={props.label} text={props.secret} />
      </div>
      <footer>
        <button type="button" class="primary" onClick={props.onClose}>Done</button>
      </footer>
    </Dialog>
  );
}
