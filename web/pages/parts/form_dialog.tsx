// Shell. Windows with a form, and the one that shows a secret once.

import type { ComponentChildren, JSX } from "preact";
import type { ApiProblem } from "../shell/api.ts";
import { Dialog, ProblemBox, Secret } from "./widgets.tsx";

/** A window with fields, Cancel, and a button that does what the window is for. */
export function FormDialog(props: {
  title: string;
  /** Text of the button. */
  action: string;
  /** False: the button does nothing yet. */
  isReady: boolean;
  /** Why it was not done; its fields show their own faults. */
  problem?: ApiProblem | undefined;
  /** Stands before the problem. */
  lead?: ComponentChildren;
  onClose: () => void;
  onSubmit: () => void;
  children: ComponentChildren;
}): JSX.Element {
  const { title, action, isReady, problem, lead, onClose, onSubmit, children } = props;
  return (
    <Dialog title={title} onClose={onClose}>
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
          <button type="submit" class="primary" disabled={!isReady}>{action}</button>
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
