// Shell. One's own account: password and API tokens; for administrators everybody's tokens.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { Role } from "../../../control/access/actor.ts";
import { call, session } from "../shell/api.ts";
import { useLoad } from "../shell/live.ts";
import { PasswordForm } from "./page_login.tsx";
import { ROLE_OPTIONS } from "./page_users.tsx";
import { may, notify } from "../shell/state.ts";
import { Confirm, FormDialog, SecretDialog, useAction } from "../parts/dialogs.tsx";
import { faultOf, SelectField, TextField } from "../parts/fields.tsx";
import { Heads } from "../parts/tables.tsx";
import { AddButton, Ago, Empty, Load, PageHead, RowButton } from "../parts/widgets.tsx";
import type { Token } from "../../../control/schemas.ts";

const REFRESH_MS = 15_000;
/** What a token may be: a registrar registers nodes alone. */
const TOKEN_ROLES: readonly Role[] = [...ROLE_OPTIONS.map(([value]) => value), "registrar"];
const LIFETIMES: readonly (readonly [string, string])[] = [
  ["30", "30 days"],
  ["90", "90 days"],
  ["365", "1 year"],
  ["", "never expires"],
];

function AddToken(props: { onClose: () => void; onDone: () => void }): JSX.Element {
  const { isBusy, problem, run } = useAction();
  const [title, setTitle] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [days, setDays] = useState("90");
  const [secret, setSecret] = useState<string>();
  if (secret !== undefined) {
    return (
      <SecretDialog title="Token made" label="Token" secret={secret} onClose={props.onClose}>
        <p>
          Programs send it as{" "}
          <code>Authorization: Bearer TOKEN</code>, the command line takes it from a file:{" "}
          <code>--server {location.origin} --token-file FILE</code>, or the file's name in{" "}
          <code>LARS_API_TOKEN_FILE</code>.
        </p>
      </SecretDialog>
    );
  }
  const submit = (): void =>
    run(async () => {
      const body = { title: title.trim(), role, days: days === "" ? null : Number(days) };
      setSecret((await call("addToken", { body })).secret);
      props.onDone();
    });
  return (
    <FormDialog
      title="Make API token"
      action="Make token"
      isReady={!isBusy && title.trim() !== ""}
      problem={problem}
      onClose={props.onClose}
      onSubmit={submit}
    >
      <TextField
        label="Title"
        hint="What uses it."
        fault={faultOf(problem, "title")}
        value={title}
        onText={setTitle}
        input={{ autoFocus: true, required: true, maxLength: 64 }}
      />
      <div class="pair">
        <SelectField<Role>
          label="Role"
          hint="At most your own."
          value={role}
          options={TOKEN_ROLES.filter((value) => may(value)).map((value) => [value, value])}
          onValue={setRole}
        />
        <SelectField label="Lasts" value={days} options={LIFETIMES} onValue={setDays} />
      </div>
    </FormDialog>
  );
}

function TokenTable(
  props: { tokens: readonly Token[]; onRevoke: (token: Token) => void },
): JSX.Element {
  return (
    <table class="rows cards">
      <caption class="hidden">API tokens</caption>
      <Heads
        names={["Token", ...(may("admin") ? ["Owner"] : []), "Role", "Last used", "Expires", ""]}
      />
      <tbody>
        {props.tokens.map((token) => (
          <tr key={token.id}>
            <td class="main-cell">
              <span class="strong cut">{token.title}</span>
              <span class="sub muted">
                made <Ago atMs={token.createdAtMs} />
              </span>
            </td>
            {may("admin") && (
              <td data-label="Owner">
                <span class="cut">{token.owner}</span>
              </td>
            )}
            <td data-label="Role">{token.role}</td>
            <td data-label="Last used" class="nowrap">
              <Ago atMs={token.lastUsedAtMs} />
            </td>
            <td data-label="Expires" class="nowrap">
              <Ago atMs={token.expiresAtMs} />
            </td>
            <td class="row-actions">
              <RowButton text="Revoke" of={token.title} onClick={() => props.onRevoke(token)} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Tokens(): JSX.Element {
  const list = useLoad("tokens", (signal) => call("listTokens", { signal }), REFRESH_MS);
  const [isAdding, setAdding] = useState(false);
  const [revoking, setRevoking] = useState<Token>();
  return (
    <section class="panel" aria-labelledby="tokens">
      <div class="panel-head">
        <h2 id="tokens">API tokens</h2>
        <AddButton text="Make token" onClick={() => setAdding(true)} />
      </div>
      <Load of={list} onRetry={list.reload} rows={3}>
        {({ tokens }) =>
          tokens.length === 0
            ? (
              <Empty icon="account" title="No tokens">
                <p>Scripts and the command line use one instead of your password.</p>
              </Empty>
            )
            : <TokenTable tokens={tokens} onRevoke={setRevoking} />}
      </Load>
      {isAdding && <AddToken onClose={() => setAdding(false)} onDone={list.reload} />}
      {revoking !== undefined && (
        <Confirm
          title="Revoke token"
          action="Revoke"
          danger
          onClose={() => setRevoking(undefined)}
          onConfirm={async () => {
            await call("deleteToken", { params: { id: revoking.id } });
            notify("ok", `Token ${revoking.title} is revoked`);
            list.reload();
            setRevoking(undefined);
          }}
        >
          <p>What uses “{revoking.title}” is refused from now on. This cannot be undone.</p>
        </Confirm>
      )}
    </section>
  );
}

/** The page of who is logged in. */
export function AccountPage(): JSX.Element {
  const user = session.value;
  return (
    <>
      <PageHead
        title="Account, tokens"
        about={
          <>
            You are <b>{user?.name}</b>, {user?.role}
          </>
        }
      />
      <Tokens />
      <section class="panel narrow" aria-labelledby="password">
        <h2 id="password">Password</h2>
        {session.value?.isByProvider === true
          ? <p class="muted">You log in by a provider: your password is changed there.</p>
          : <PasswordForm isForced={false} />}
      </section>
    </>
  );
}
