// Shell. The webhooks that alerts are sent to.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call, type CallProblem } from "../shell/api.ts";
import { formatCount } from "../parts/format.ts";
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
  OnOff,
  RowButton,
} from "../parts/widgets.tsx";
import type { Webhook, WebhookWish } from "../../../control/schemas.ts";

const REFRESH_MS = 10_000;

const FORMATS: readonly (readonly [Webhook["format"], string])[] = [
  ["lars", "Lars: one JSON object for each alert"],
  ["alertmanager", "Prometheus Alertmanager"],
  ["slack", "Slack, Mattermost and others"],
  ["pagerduty", "PagerDuty"],
  ["scaling", "Scaling: orders to start and stop nodes, no alerts"],
];

const URL_HINTS: Readonly<Record<Webhook["format"], string>> = {
  lars: "Gets a POST with JSON when an alert fires and when it ends.",
  alertmanager: "Of its API: http://host:9093/api/v2/alerts",
  slack: "Of an incoming webhook.",
  pagerduty: "https://events.pagerduty.com/v2/enqueue",
  scaling: "Gets a POST with JSON when nodes are to be started or stopped.",
};

/** What is typed into the dialog. */
interface Draft {
  readonly title: string;
  readonly url: string;
  readonly format: Webhook["format"];
  readonly key: string;
  readonly timeoutS: string;
  readonly groupS: string;
}

function draftOf(webhook: Webhook | undefined): Draft {
  const { title = "", url = "", format = "lars", timeoutS = 10, groupS = 0 } = webhook ?? {};
  return { title, url, format, key: "", timeoutS: `${timeoutS}`, groupS: `${groupS}` };
}

function bodyOf({ title, url, format, key, timeoutS, groupS }: Draft): WebhookWish {
  return {
    ...{ title: title.trim(), url: url.trim(), format },
    ...{ timeoutS: Number(timeoutS), groupS: Number(groupS) },
    ...(key.trim() === "" ? {} : { secret: key.trim() }),
  };
}

interface FieldsProps {
  readonly draft: Draft;
  readonly isNew: boolean;
  readonly problem: CallProblem | undefined;
  readonly onDraft: (draft: Draft) => void;
}

function ReceiverFields({ draft, isNew, problem, onDraft }: FieldsProps): JSX.Element {
  return (
    <>
      <TextField
        label="Title"
        hint="Whom it tells."
        fault={faultOf(problem, "title")}
        value={draft.title}
        onText={(title) => onDraft({ ...draft, title })}
        input={{ autoFocus: true, required: true, maxLength: 64 }}
      />
      <SelectField
        label="Format"
        hint="What the receiver understands."
        fault={faultOf(problem, "format")}
        value={draft.format}
        options={FORMATS}
        onValue={(format) => onDraft({ ...draft, format })}
      />
      <TextField
        label="URL"
        hint={URL_HINTS[draft.format]}
        fault={faultOf(problem, "url")}
        value={draft.url}
        onText={(url) => onDraft({ ...draft, url })}
        input={{ inputMode: "url", required: true, maxLength: 500, placeholder: "https://" }}
      />
      {draft.format === "pagerduty" && (
        <TextField
          label="Routing key"
          hint={isNew ? "Of the PagerDuty service." : "Empty: as it is."}
          fault={faultOf(problem, "secret")}
          value={draft.key}
          onText={(key) => onDraft({ ...draft, key })}
          input={{ required: isNew, maxLength: 200 }}
        />
      )}
    </>
  );
}

function TimeFields({ draft, problem, onDraft }: FieldsProps): JSX.Element {
  return (
    <>
      <TextField
        label="Time limit, s"
        hint="An answer that takes longer counts as none, and the message is sent again."
        fault={faultOf(problem, "timeoutS")}
        value={draft.timeoutS}
        onText={(timeoutS) => onDraft({ ...draft, timeoutS })}
        input={{ type: "number", min: 1, max: 60, required: true }}
      />
      <TextField
        label="Grouping, s"
        hint="A message waits so long for others to come along; 0 sends at once."
        fault={faultOf(problem, "groupS")}
        value={draft.groupS}
        onText={(groupS) => onDraft({ ...draft, groupS })}
        input={{ type: "number", min: 0, max: 3600, required: true }}
      />
    </>
  );
}

function WebhookDialog(
  props: { webhook?: Webhook; onClose: () => void; onDone: () => void },
): JSX.Element {
  const { webhook, onClose, onDone } = props;
  const { isBusy, problem, run } = useAction();
  const [draft, setDraft] = useState(draftOf(webhook));
  const [secret, setSecret] = useState<string>();
  if (secret !== undefined) {
    return (
      <SecretDialog title="Webhook added" label="Secret" secret={secret} onClose={onClose}>
        <p>Each message is signed with this secret, so that the receiver can tell it is ours.</p>
      </SecretDialog>
    );
  }
  const submit = (): void =>
    run(async () => {
      const body = bodyOf(draft);
      if (webhook === undefined) {
        const added = await call("addWebhook", { body });
        onDone();
        // A key that was typed in need not be shown.
        if (body.secret === undefined) setSecret(added.secret);
        else onClose();
        return;
      }
      await call("patchWebhook", { params: { id: webhook.id }, body });
      notify("ok", "Webhook changed");
      onDone();
      onClose();
    });
  const fields = { draft, isNew: webhook === undefined, problem, onDraft: setDraft };
  return (
    <FormDialog
      title={webhook === undefined ? "Add webhook" : "Change webhook"}
      action={webhook === undefined ? "Add webhook" : "Save"}
      isReady={!isBusy}
      problem={problem}
      onClose={onClose}
      onSubmit={submit}
    >
      <ReceiverFields {...fields} />
      <TimeFields {...fields} />
    </FormDialog>
  );
}

function LastMessage({ webhook }: { webhook: Webhook }): JSX.Element {
  const { last } = webhook;
  if (last === null) return <span class="muted">none yet</span>;
  return (
    <>
      <Badge
        tone={last.isDone ? "ok" : "crit"}
        icon={last.isDone ? "ok" : "crit"}
        text={last.isDone ? "taken" : "failed"}
      />
      <span class="sub">
        {last.text}, <Ago atMs={last.atMs} />
      </span>
    </>
  );
}

interface LineProps {
  readonly webhook: Webhook;
  readonly onChanged: () => void;
  readonly onEdit: () => void;
  readonly onRemove: () => void;
}

function Line({ webhook, onChanged, onEdit, onRemove }: LineProps): JSX.Element {
  const { isBusy, run } = useAction();
  const { id, title, isEnabled } = webhook;
  const test = (): void =>
    run(async () => {
      const { isDone, text } = await call("testWebhook", { params: { id } });
      notify(isDone ? "ok" : "crit", `${title}: ${text}`);
      onChanged();
    });
  const toggle = (): void =>
    run(async () => {
      await call("patchWebhook", { params: { id }, body: { isEnabled: !isEnabled } });
      onChanged();
    });
  return (
    <tr class={isEnabled ? "" : "quiet"}>
      <td class="main-cell">
        <span class="strong cut">{title}</span>
        <code class="sub cut" title={webhook.url}>{webhook.url}</code>
      </td>
      <td data-label="Last message">
        <LastMessage webhook={webhook} />
      </td>
      <td class="number" data-label="Waiting">{formatCount(webhook.waitingCount)}</td>
      <td data-label="On">
        <OnOff isOn={isEnabled} />
      </td>
      <td class="row-actions">
        <RowButton text="Send test" of={`to ${title}`} isBusy={isBusy} onClick={test} />
        <RowButton
          text={isEnabled ? "Switch off" : "Switch on"}
          of={title}
          isBusy={isBusy}
          onClick={toggle}
        />
        <IconButton icon="edit" label={`Edit ${title}`} writes onClick={onEdit} />
        <IconButton icon="trash" label={`Remove ${title}`} writes onClick={onRemove} />
      </td>
    </tr>
  );
}

/** All webhooks. */
export function Webhooks(): JSX.Element {
  const list = useLoad("webhooks", (signal) => call("listWebhooks", { signal }), REFRESH_MS);
  const [isAdding, setAdding] = useState(false);
  const [editing, setEditing] = useState<Webhook>();
  const [removing, setRemoving] = useState<Webhook>();
  return (
    <>
      <p class="list-actions">
        <AddButton text="Add webhook" onClick={() => setAdding(true)} />
      </p>
      <Load of={list} onRetry={list.reload}>
        {({ webhooks }) =>
          webhooks.length === 0
            ? (
              <Empty icon="alerts" title="Alerts are told nobody yet">
                <p>A webhook sends each alert to a chat, a pager or a program of yours.</p>
              </Empty>
            )
            : (
              <ListTable
                caption="Webhooks"
                heads={["Webhook", "Last message", "#Waiting", "On"]}
                hasActions
              >
                {webhooks.map((webhook) => (
                  <Line
                    key={webhook.id}
                    webhook={webhook}
                    onChanged={list.reload}
                    onEdit={() => setEditing(webhook)}
                    onRemove={() => setRemoving(webhook)}
                  />
                ))}
              </ListTable>
            )}
      </Load>
      {isAdding && <WebhookDialog onClose={() => setAdding(false)} onDone={list.reload} />}
      {editing !== undefined && (
        <WebhookDialog
          webhook={editing}
          onClose={() => setEditing(undefined)}
          onDone={list.reload}
        />
      )}
      {removing !== undefined && (
        <Confirm
          title="Remove webhook"
          action="Remove"
          danger
          onClose={() => setRemoving(undefined)}
          onConfirm={async () => {
            await call("deleteWebhook", { params: { id: removing.id } });
            list.reload();
            setRemoving(undefined);
          }}
        >
          <p>“{removing.title}” gets no more messages, and those that wait are dropped.</p>
        </Confirm>
      )}
    </>
  );
}
