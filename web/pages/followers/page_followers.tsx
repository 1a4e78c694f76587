// Shell. Who follows routes, by which way, with which routes, and how far behind.

import type { JSX } from "preact";
import { call } from "../shell/api.ts";
import { formatSpan, plural, UNKNOWN } from "../parts/format.ts";
import { useLoad } from "../shell/live.ts";
import { ListTable } from "../parts/tables.tsx";
import { Ago, Badge, Empty, Load, PageHead } from "../parts/widgets.tsx";
import type { FollowerRow } from "../../../control/schemas.ts";

const REFRESH_MS = 3000;

/** What the words for ways mean. */
const WAYS: Readonly<Record<string, string>> = {
  "agents": "one on each host that calls",
  "in-process": "programs with a client of ours",
  "table": "readers of an agent's table that had calls lately",
  "plain": "the original's agents, mostly",
  "xds": "streams of gRPC programs and Envoy",
  "names": "addresses that asked for names lately",
  "haproxy": "backends of a HAProxy that is told",
  "agent-check": "HAProxies that asked lately",
  "nginx": "file of upstreams",
  "file": "file by a template",
};

/** Where a way has a page of its own. */
const PAGES: Readonly<Record<string, string>> = { agents: "/agents" };

function State({ row }: { row: FollowerRow }): JSX.Element {
  if (row.isSilent) {
    return <Badge tone="crit" icon="warn" text="silent" title="No sign of life for 30 s" />;
  }
  if (row.fault !== null) return <Badge tone="crit" icon="warn" text="fault" title={row.fault} />;
  if ((row.behind ?? 0) > 0) {
    const title = row.behindMs === null ? undefined : `the first for ${formatSpan(row.behindMs)}`;
    return <Badge tone="warn" icon="warn" text={`${row.behind} behind`} title={title} />;
  }
  if (row.followers === null) return <span class="muted">not known</span>;
  return <Badge tone="ok" icon="ok" text="in step" />;
}

function Routes({ row, version }: { row: FollowerRow; version: number }): JSX.Element {
  const { revision, lagSeconds } = row;
  if (revision === null) return <span class="muted">{UNKNOWN}</span>;
  const title = `route version ${revision}`;
  if (revision >= version || lagSeconds === 0) return <span title={title}>newest</span>;
  const text = lagSeconds === null ? "older" : `${formatSpan(lagSeconds * 1000)} behind`;
  return <span class="strong warn" title={title}>{text}</span>;
}

function Row({ row, version }: { row: FollowerRow; version: number }): JSX.Element {
  const page = PAGES[row.way];
  return (
    <tr>
      <td class="main-cell">
        {page === undefined
          ? <span data-row tabIndex={-1}>{row.way}</span>
          : <a data-row href={page}>{row.way}</a>}
        <span class="sub muted">{WAYS[row.way] ?? "a way of a newer version"}</span>
      </td>
      <td data-label="How many" class="number">
        {row.followers === null ? UNKNOWN : row.followers.toLocaleString("en")}
      </td>
      <td data-label="State">
        <State row={row} />
      </td>
      <td data-label="Routes" class="nowrap">
        <Routes row={row} version={version} />
      </td>
      <td data-label="Through" class="prose">
        {row.through}
        {row.at !== "" && <span class="sub muted">{row.at}</span>}
        {row.fault !== null && <span class="sub">{row.fault}</span>}
      </td>
      <td data-label="Last seen" class="nowrap">
        {row.seenAtMs === null ? UNKNOWN : <Ago atMs={row.seenAtMs} />}
      </td>
    </tr>
  );
}

function isTrouble({ isSilent, fault, behind }: FollowerRow): boolean {
  return isSilent || fault !== null || (behind ?? 0) > 0;
}

/** The page of followers. */
export function FollowersPage(): JSX.Element {
  const list = useLoad(
    "followers",
    (signal) => call("listFollowers", { signal }),
    REFRESH_MS,
  );
  return (
    <>
      <PageHead
        title="Followers"
        about="Who gets routes, by which way; dns writes it down every 10 s"
      >
        <a class="button" href="/agents">Agents</a>
      </PageHead>
      <Load of={list} onRetry={list.reload} rows={6}>
        {({ followers, version }) =>
          followers.length === 0
            ? (
              <Empty icon="followers" title="Nobody follows routes">
                <p>
                  Start an agent on each host that calls, or keep other programs in step with{" "}
                  <code>lars export</code>.
                </p>
              </Empty>
            )
            : (
              <ListTable
                caption={`Followers of route version ${version}: ${
                  plural(followers.filter(isTrouble).length, "way")
                } in trouble`}
                heads={["Way", "#How many", "State", "Routes", "Through", "Last seen"]}
              >
                {followers.map((row) => (
                  <Row key={`${row.way} ${row.through} ${row.at}`} row={row} version={version} />
                ))}
              </ListTable>
            )}
      </Load>
    </>
  );
}
