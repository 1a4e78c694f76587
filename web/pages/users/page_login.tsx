// Shell. Login, the first change of a one-time password, and what stands there while neither is known.

import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { call, callProblemOf, readOnly, session } from "../shell/api.ts";
import { Logo, ReadOnlyBanner } from "../shell/layout.tsx";
import { LOGIN_FAULTS } from "../../../control/access/login_faults.ts";
import { linkFault, location as here, loginFault, notify } from "../shell/state.ts";
import { type Reloadable, useLoad } from "../shell/live.ts";
import type { ResponseOf } from "../../contract.ts";
import { Icon } from "../parts/icons.tsx";
import { CopyField, useAction } from "../parts/dialogs.tsx";
import { faultOf, Field } from "../parts/fields.tsx";
import { Loading, ProblemBox, WriteButton } from "../parts/widgets.tsx";

/** Fewest characters of a password, as the server demands. */
const PASSWORD_LENGTH_MIN = 12;

function Card(props: { title: string; children: ComponentChildren }): JSX.Element {
  return (
    <main class="card-page" id="page" tabIndex={-1}>
      <div class="card">
        <Logo />
        <h1>{props.title}</h1>
        <ReadOnlyBanner />
        {props.children}
      </div>
    </main>
  );
}

/** Names that the command takes, as the server has it. */
const NAME_PATTERN = /^[\w.@-]+$/;

/** Why a link, or a login by the provider, let nobody in. */
function EarlierFault(): JSX.Element | null {
  const text = loginFault.value !== undefined
    ? LOGIN_FAULTS[loginFault.value]
    : linkFault.value !== undefined
    ? `The link does not work. ${linkFault.value}.`
    : undefined;
  return text === undefined ? null : (
    <div class="box warn" role="alert">
      <Icon name="warn" />
      <p>{text}</p>
    </div>
  );
}

/** Asks how to get in: what else there is besides a password. */
function useLoginHelp(): Reloadable<ResponseOf<"getLoginHelp">> {
  return useLoad("login help", async (signal) => {
    const answer = await call("getLoginHelp", { signal });
    readOnly.value = answer.readOnly ?? undefined;
    return answer;
  });
}

/** Login by an OpenID Connect provider, where there is one. */
function ProviderLogin({ title }: { title: string }): JSX.Element {
  const { path, query: search } = here.value;
  const to = encodeURIComponent(path + search);
  return (
    <div class="stack">
      <a class="button primary wide" href={`/oidc/login?to=${to}`} target="_self">
        Log in with {title}
      </a>
      <p class="muted small">Or by a password of this console:</p>
    </div>
  );
}

/** What helps who cannot log in: one command, as it is to be typed. */
function LoginHelp(
  { name, isLost, option }: { name: string; isLost: boolean; option: string },
): JSX.Element {
  const user = NAME_PATTERN.test(name) ? name : "admin";
  const command = `lars user reset ${user}${option === "" ? "" : ` ${option}`}`;
  return (
    <details class="login-help" open={isLost}>
      <summary>No password, or lost it? A link that is used up?</summary>
      <p class="muted small">
        {option === ""
          ? "On the host of the console, in the folder where it was started or with its --data or --store, type:"
          : "On this machine, type:"}
      </p>
      <CopyField label="Command that lets you in" text={command} />
      <p class="muted small">
        It prints a one-time password; log in here with <b>{user}</b>{" "}
        and that. An administrator can give you one under Users, too. A link works once, for a day,
        until the console is started again; <code>lars up</code> prints a new one.
      </p>
    </details>
  );
}

/** Name and password. */
export function LoginPage(): JSX.Element {
  const { isBusy, problem, run } = useAction();
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const help = useLoginHelp();
  const provider = help.value?.provider ?? null;
  return (
    <Card title="Log in">
      {problem === undefined && <EarlierFault />}
      {provider !== null && <ProviderLogin title={provider} />}
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          run(async () => {
            linkFault.value = undefined;
            loginFault.value = undefined;
            session.value = await call("login", { body: { name: name.trim(), password } });
          });
        }}
      >
        {problem !== undefined && <ProblemBox problem={problem} />}
        <Field label="Name">
          {(parts) => (
            <input
              {...parts}
              name="username"
              autoComplete="username"
              autoCapitalize="none"
              spellcheck={false}
              autoFocus
              required
              maxLength={64}
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          )}
        </Field>
        <Field label="Password">
          {(parts) => (
            <input
              {...parts}
              name="password"
              type="password"
              autoComplete="current-password"
              required
              maxLength={200}
              value={password}
              onInput={(event) => setPassword(event.currentTarget.value)}
            />
          )}
        </Field>
        <button type="submit" class={provider === null ? "primary wide" : "wide"} disabled={isBusy}>
          {isBusy ? "Logging in …" : "Log in"}
        </button>
      </form>
      <p class="muted small">
        The first start of <code>lars web</code>{" "}
        prints the name and the one-time password of an administrator.
      </p>
      <LoginHelp
        name={name.trim()}
        option={help.value?.storeOption ?? ""}
        isLost={problem !== undefined || linkFault.value !== undefined}
      />
    </Card>
  );
}

function NoOldPassword({ name }: { name: string }): JSX.Element {
  return (
    <p class="muted small">
      A one-time link let you in, so no old password is needed. With a new one <b>{name}</b>{" "}
      can log in from other browsers.
    </p>
  );
}

/** New password; `isForced` when nothing else is possible before. */
export function PasswordForm({ isForced }: { isForced: boolean }): JSX.Element {
  const { isBusy, problem, run } = useAction();
  const [oldPassword, setOld] = useState("");
  const [newPassword, setNew] = useState("");
  const [again, setAgain] = useState("");
  const missing = PASSWORD_LENGTH_MIN - newPassword.length;
  const isDifferent = again !== "" && again !== newPassword;
  const submit = (): void =>
    run(async () => {
      session.value = await call("changePassword", { body: { oldPassword, newPassword } });
      [setOld, setNew, setAgain].forEach((set) => set(""));
      notify("ok", "Password changed; your other sessions have ended");
    });
  const input =
    (value: string, set: (text: string) => void, complete: string) =>
    (parts: { id: string }): JSX.Element => (
      <input
        {...parts}
        type="password"
        required
        maxLength={200}
        autoComplete={complete}
        value={value}
        onInput={(event) => set(event.currentTarget.value)}
      />
    );
  return (
    <form
      class="stack"
      onSubmit={(event) => {
        event.preventDefault();
        if (missing <= 0 && again === newPassword) submit();
      }}
    >
      {problem !== undefined && <ProblemBox problem={problem} />}
      {session.value?.isByLink === true ? <NoOldPassword name={session.value.name} /> : (
        <Field
          label={isForced ? "One-time password" : "Present password"}
          fault={faultOf(problem, "oldPassword")}
        >
          {input(oldPassword, setOld, "current-password")}
        </Field>
      )}
      <Field
        label="New password"
        hint={missing > 0
          ? `At least ${PASSWORD_LENGTH_MIN} characters; a few words are easier than signs.`
          : "Long enough."}
        fault={faultOf(problem, "newPassword")}
      >
        {input(newPassword, setNew, "new-password")}
      </Field>
      <Field
        label="New password again"
        fault={isDifferent ? "Differs from the one above." : undefined}
      >
        {input(again, setAgain, "new-password")}
      </Field>
      <WriteButton
        type="submit"
        class="primary"
        disabled={isBusy || missing > 0 || again !== newPassword}
      >
        {isBusy ? "Changing …" : "Change password"}
      </WriteButton>
    </form>
  );
}

/** The page before everything else when a one-time password is in use. */
export function FirstPasswordPage(): JSX.Element {
  return (
    <Card title="Choose your password">
      <p class="muted">
        You logged in with a one-time password. Choose one that only you know; the console opens
        then.
      </p>
      <PasswordForm isForced />
      <button
        type="button"
        class="link"
        onClick={() => void call("logout").finally(() => session.value = null)}
      >
        Log out
      </button>
    </Card>
  );
}

/** Nobody knows yet who is logged in. */
export function WaitingPage(): JSX.Element {
  return (
    <Card title="Lars console">
      <Loading rows={2} />
    </Card>
  );
}

/** The console cannot be asked who is logged in. */
export function UnreachablePage(props: { error: unknown; onRetry: () => void }): JSX.Element {
  return (
    <Card title="Lars console">
      <ProblemBox problem={callProblemOf(props.error)} onRetry={props.onRetry} />
    </Card>
  );
}
