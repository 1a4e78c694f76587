// Shell. Users: who may do what.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { UserRole } from "../../../sql/console/console_store.ts";
import { call, readOnly, session } from "../shell/api.ts";
import { useLoad } from "../shell/live.ts";
import { notify } from "../shell/state.ts";
import { Confirm, FormDialog, SecretDialog, useAction } from "../parts/dialogs.tsx";
import { faultOf, SelectField, TextField } from "../parts/fields.tsx";
import { ListTable } from "../parts/tables.tsx";
import {
  AddButton,
  Ago,
  Badge,
  Empty,
  IconButton,
  Load,
  PageHead,
  RowButton,
  WriteButton,
} from "../parts/widgets.tsx";
import type { User } from "../../../control/schemas.ts";

const REFRESH_MS = 15_000;

/** Roles with what they may do. */
export const ROLE_OPTIONS: readonly (readonly [UserRole, string])[] = [
  ["viewer", "viewer: looks"],
  ["operator", "operator: also changes routes and alerts"],
  ["admin", "admin: also users and webhooks"],
];

function OneTime(props: { name: string; password: string; onClose: () => void }): JSX.Element {
  return (
    <SecretDialog
      title={`One-time password of ${props.name}`}
      label="One-time password"
      secret={props.password}
      onClose={props.onClose}
    >
      <p>It works for one login, where {props.name} has to choose an own one.</p>
    </SecretDialog>
  );
}

function AddUser(props: { onClose: () => void; onDone: () => void }): JSX.Element {
  const { isBusy, problem, run } = useAction();
  const [name, setName] = useState("");
  const [role, setRole] = useState<UserRole>("operator");
  const [password, setPassword] = useState<string>();
  if (password !== undefined) {
    return <OneTime name={name.trim()} password={password} onClose={props.onClose} />;
  }
  const submit = (): void =>
    run(async () => {
      setPassword((await call("addUser", { body: { name: name.trim(), role } })).password);
      props.onDone();
    });
  return (
    <FormDialog
      title="Add user"
      action="Add user"
      isReady={!isBusy && name.trim() !== ""}
      problem={problem}
      onClose={props.onClose}
      onSubmit={submit}
    >
      <TextField
        label="Name"
        hint="Letters, digits, dots, dashes, @ or _."
        fault={faultOf(problem, "name")}
        value={name}
        onText={setName}
        input={{ autoFocus: true, required: true, autoCapitalize: "none", maxLength: 64 }}
      />
      <SelectField<UserRole> label="Role" value={role} options={ROLE_OPTIONS} onValue={setRole} />
    </FormDialog>
  );
}

/** What is asked before it is done to a user. */
type Wish = { readonly kind: "remove" | "reset" | "lock"; readonly user: User };

const WISHES = {
  remove: {
    title: "Remove user",
    action: "Remove",
    text: "All sessions and API tokens end at once.",
  },
  reset: {
    title: "New one-time password",
    action: "Make password",
    text: "The present password and all sessions end at once.",
  },
  lock: {
    title: "Lock user out",
    action: "Lock out",
    text: "All sessions end at once; it can be undone.",
  },
} as const;

function Row(props: {
  user: User;
  onWish: (wish: Wish) => void;
  onPatch: (user: User, patch: { role?: UserRole; isDisabled?: boolean }) => void;
}): JSX.Element {
  const { user, onWish, onPatch } = props;
  const isSelf = user.name === session.value?.name;
  const isByProvider = user.login === "provider";
  return (
    <tr class={user.isDisabled ? "quiet" : ""}>
      <td class="main-cell">
        <span class="strong cut">{user.name}</span>
        {isSelf && <span class="tag">you</span>}
        {isByProvider && <span class="sub muted">logs in by the provider</span>}
        {user.mustChangePassword && <span class="sub muted">has a one-time password</span>}
      </td>
      <td data-label="Role">
        <select
          aria-label={`Role of ${user.name}`}
          value={user.role}
          disabled={isSelf || isByProvider || readOnly.value !== undefined}
          title={readOnly.value ?? (isByProvider ? "The groups of the provider say it" : undefined)}
          onInput={(event) => onPatch(user, { role: event.currentTarget.value as UserRole })}
        >
          {ROLE_OPTIONS.map(([value]) => <option key={value} value={value}>{value}</option>)}
        </select>
      </td>
      <td data-label="State">
        {user.isDisabled
          ? <Badge tone="warn" icon="off" text="locked out" />
          : <Badge tone="ok" icon="ok" text="may log in" />}
      </td>
      <td data-label="Last login" class="nowrap">
        <Ago atMs={user.lastLoginAtMs} />
      </td>
      <td data-label="Added" class="nowrap">
        <Ago atMs={user.createdAtMs} />
      </td>
      <td class="row-actions">
        {!isSelf && (
          <>
            <WriteButton
              class="small"
              onClick={() =>
                user.isDisabled
                  ? onPatch(user, { isDisabled: false })
                  : onWish({ kind: "lock", user })}
            >
              {user.isDisabled ? "Let in" : "Lock out"}
              <span class="hidden">{user.name}</span>
            </WriteButton>
            {!isByProvider && (
              <RowButton
                text="New password"
                of={`for ${user.name}`}
                onClick={() => onWish({ kind: "reset", user })}
              />
            )}
            <IconButton
              icon="trash"
              label={`Remove ${user.name}`}
              writes
              onClick={() => onWish({ kind: "remove", user })}
            />
          </>
        )}
      </td>
    </tr>
  );
}

/** All users. */
export function UsersPage(): JSX.Element {
  const list = useLoad("users", (signal) => call("listUsers", { signal }), REFRESH_MS);
  const [isAdding, setAdding] = useState(false);
  const [wish, setWish] = useState<Wish>();
  const [oneTime, setOneTime] = useState<{ name: string; password: string }>();
  const patch = (user: User, body: { role?: UserRole; isDisabled?: boolean }): void => {
    call("patchUser", { params: { name: user.name }, body }).then(
      () => notify("ok", `${user.name} changed; the sessions of ${user.name} have ended`),
      (error: Error) => notify("crit", error.message),
    ).finally(list.reload);
  };
  const grant = async ({ kind, user }: Wish): Promise<void> => {
    const params = { name: user.name };
    if (kind === "remove") await call("deleteUser", { params });
    if (kind === "lock") await call("patchUser", { params, body: { isDisabled: true } });
    if (kind === "reset") {
      const { password } = await call("resetPassword", { params });
      setOneTime({ name: user.name, password });
    } else notify("ok", `${user.name}: done`);
    list.reload();
    setWish(undefined);
  };
  return (
    <>
      <PageHead title="Users" about="Who may look, change, and administer">
        <AddButton text="Add user" onClick={() => setAdding(true)} />
      </PageHead>
      <Load of={list} onRetry={list.reload}>
        {({ users }) =>
          users.length === 0 ? <Empty icon="users" title="No users" /> : (
            <ListTable
              caption="Users"
              heads={["User", "Role", "State", "Last login", "Added"]}
              hasActions
            >
              {users.map((user) => (
                <Row key={user.name} user={user} onWish={setWish} onPatch={patch} />
              ))}
            </ListTable>
          )}
      </Load>
      {isAdding && <AddUser onClose={() => setAdding(false)} onDone={list.reload} />}
      {wish !== undefined && (
        <Confirm
          title={WISHES[wish.kind].title}
          action={WISHES[wish.kind].action}
          danger
          onClose={() => setWish(undefined)}
          onConfirm={() => grant(wish)}
        >
          <p>
            <b>{wish.user.name}</b>: {WISHES[wish.kind].text}
          </p>
        </Confirm>
      )}
      {oneTime !== undefined && <OneTime {...oneTime} onClose={() => setOneTime(undefined)} />}
    </>
  );
}
