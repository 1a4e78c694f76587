// Shell. Nodes that registered themselves: where they stand, who keeps them out, and what is held back.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { QueryOf } from "../../contract.ts";
import type { LeaseListing, LeaseView } from "../../../control/schemas.ts";
import type { LeasePhase } from "../../../model/lease.ts";
import { call } from "../shell/api.ts";
import { useLoad } from "../shell/live.ts";
import { useModuleNames } from "../shell/module_names.ts";
import { may, notify, query, serverNowMs, setQuery } from "../shell/state.ts";
import { Confirm } from "../parts/dialogs.tsx";
import { Choice } from "../parts/fields.tsx";
import { formatCount, formatSpan, modulePath, nodeName, plural, UNKNOWN } from "../parts/format.ts";
import { ListTable, pageQuery, Pager, SearchBox } from "../parts/tables.tsx";
import { Badge, Empty, Load, PageHead, WriteButton } from "../parts/widgets.tsx";
import { HeldNodesBox } from "./held_nodes_box.tsx";
import { noteFacts, operatorText, outByText, PHASE_LOOKS } from "./lease_text.ts";

const REFRESH_MS = 3000;

type Phase = "all" | LeasePhase;
const PHASES = Object.keys(PHASE_LOOKS) as LeasePhase[];

/** What is asked before it is done. */
interface Asking {
  readonly what: "end" | "free";
  readonly lease: LeaseView;
}

function Note({ lease }: { lease: LeaseView }): JSX.Element {
  const facts = noteFacts(lease);
  if (facts.length === 0) return <>{UNKNOWN}</>;
  return (
    <details>
      <summary>{plural(facts.length, "value")}</summary>
      {facts.map(({ name, text }) => <span key={name}>{name} {text}</span>)}
    </details>
  );
}

/** A line below another, cut where it is long; nothing when it is empty. */
function Below({ text }: { text: string }): JSX.Element | null {
  if (text === "") return null;
  return (
    <span class="sub muted">
      <span class="cut" title={text}>{text}</span>
    </span>
  );
}

function RowActions(
  { lease, onAsk }: { lease: LeaseView; onAsk: (asking: Asking) => void },
): JSX.Element {
  const name = nodeName(lease);
  return (
    <td class="row-actions">
      {operatorText(lease) !== "" && (
        <WriteButton
          class="small"
          aria-label={`Free ${name}`}
          onClick={() => onAsk({ what: "free", lease })}
        >
          Free
        </WriteButton>
      )}
      {lease.phase !== "gone" && (
        <WriteButton
          class="small"
          aria-label={`End ${name}`}
          onClick={() => onAsk({ what: "end", lease })}
        >
          End
        </WriteButton>
      )}
    </td>
  );
}

function Row(
  { lease, onAsk }: { lease: LeaseView; onAsk: (asking: Asking) => void },
): JSX.Element {
  const names = useModuleNames();
  const { phase, source, owner, ttlMs, check, zone } = lease;
  const operator = operatorText(lease);
  return (
    <tr class={phase === "live" && lease.outBy === null ? "" : "quiet"}>
      <td class="main-cell fit">
        <code data-row tabIndex={-1}>{nodeName(lease)}</code>
        <a class="sub cut" href={modulePath(lease)}>{names.of(lease)}</a>
      </td>
      <td data-label="Stands">
        <span>
          <Badge {...PHASE_LOOKS[phase]} text={phase} />
          {lease.outBy !== null && <span class="sub muted">out: {outByText(lease)}</span>}
          {operator !== "" && <span class="sub muted">operator: {operator}</span>}
        </span>
      </td>
      <td data-label="Age" class="number nowrap">
        {formatSpan(Math.max(0, serverNowMs() - lease.sinceMs))}
      </td>
      <td data-label="By">
        <span>
          {source}
          <Below text={owner} />
        </span>
      </td>
      <td data-label="Weight" class="nowrap">
        <span>
          {formatCount(lease.weight)}
          <Below text={zone === "" ? "" : `zone ${zone}`} />
        </span>
      </td>
      <td data-label="Lives" class="nowrap">
        <span>
          {ttlMs === 0 ? "until it leaves" : formatSpan(ttlMs)}
          <Below text={check === "" ? "" : `check ${check}`} />
        </span>
      </td>
      <td data-label="Says" class="muted details">
        <Note lease={lease} />
      </td>
      {may("operator") && <RowActions lease={lease} onAsk={onAsk} />}
    </tr>
  );
}

function AskDialog(
  { asking, onClose, onDone }: { asking: Asking; onClose: () => void; onDone: () => void },
): JSX.Element {
  const { what, lease } = asking;
  const name = nodeName(lease);
  const params = { modId: String(lease.modId), cmdId: String(lease.cmdId), node: name };
  return (
    <Confirm
      title={`${what === "end" ? "End" : "Free"} ${name}`}
      action={what === "end" ? "End" : "Free"}
      {...(what === "end" ? { danger: true } : {})}
      onClose={onClose}
      onConfirm={async () => {
        await call(what === "end" ? "endLease" : "freeLease", { params });
        notify("ok", what === "end" ? `${name} is out` : `${name} is as it wants to be`);
        onDone();
        onClose();
      }}
    >
      {what === "end"
        ? (
          <p>
            It leaves the route. A program that lives registers again within its time to live: to
            keep a node out, switch it off on the page of its module.
          </p>
        )
        : (
          <p>
            What an operator wants of it ({operatorText(lease)}) is forgotten: the node's own word
            counts again.
          </p>
        )}
    </Confirm>
  );
}

function Filters({ list }: { list: LeaseListing | undefined }): JSX.Element {
  const phase = (query.value.get("phase") ?? "all") as Phase;
  const all = Object.values(list?.counts ?? {}).reduce((sum, count) => sum + count, 0);
  const shown = PHASES.filter((one) => one === phase || (list?.counts[one] ?? 0) > 0);
  const options = [
    ["all", list === undefined ? "All" : `All ${formatCount(all)}`] as const,
    ...shown.map((one) =>
      [one, list === undefined ? one : `${one} ${formatCount(list.counts[one])}`] as const
    ),
  ];
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <SearchBox
        label="An address, or a part of owner, zone or metadata"
        placeholder="Address, owner, zone, text"
      />
      <Choice<Phase>
        label="Stands"
        value={phase}
        options={options}
        onChange={(value) =>
          setQuery({ phase: value === "all" ? undefined : value, page: undefined })}
      />
    </form>
  );
}

function NoLeases({ isFiltered }: { isFiltered: boolean }): JSX.Element {
  return (
    <Empty icon="leases" title={isFiltered ? "No lease matches" : "No node has registered itself"}>
      {isFiltered
        ? (
          <button
            type="button"
            class="small"
            onClick={() => setQuery({ search: undefined, phase: undefined, page: undefined })}
          >
            Show all
          </button>
        )
        : (
          <p>
            With a discovery on this database any program becomes a node:{" "}
            <code>lars register MODULE PORT -- COMMAND</code>.
          </p>
        )}
    </Empty>
  );
}

/** The page of leases. */
export function LeasesPage(): JSX.Element {
  const wish: QueryOf<"listLeases"> = pageQuery(["search", "phase"]);
  const list = useLoad(
    `leases ${JSON.stringify(wish)}`,
    (signal) => call("listLeases", { query: wish, signal }),
    REFRESH_MS,
  );
  const [asking, setAsking] = useState<Asking>();
  const isFiltered = query.value.has("search") || query.value.has("phase");
  const heads = ["Node", "Stands", "#Age", "By", "Weight", "Lives", "Says"];
  return (
    <>
      <PageHead title="Leases" about="Nodes that registered themselves, and who keeps them out" />
      <HeldNodesBox held={list.value?.held ?? []} onDone={list.reload} />
      <Filters list={list.value} />
      <Load of={list} onRetry={list.reload} rows={10}>
        {({ leases, total }) =>
          leases.length === 0 ? <NoLeases isFiltered={isFiltered} /> : (
            <ListTable
              caption="Leases, in order of module and address"
              heads={heads}
              hasActions={may("operator")}
              below={<Pager total={total} />}
            >
              {leases.map((lease) => (
                <Row
                  key={`${lease.modId}/${lease.cmdId} ${nodeName(lease)}`}
                  lease={lease}
                  onAsk={setAsking}
                />
              ))}
            </ListTable>
          )}
      </Load>
      {asking !== undefined && (
        <AskDialog
          asking={asking}
          onClose={() => setAsking(undefined)}
          onDone={list.reload}
        />
      )}
    </>
  );
}
