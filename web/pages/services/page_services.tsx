// Shell. dns and reporters: alive or not, which version, how far behind.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call } from "../shell/api.ts";
import { formatSpan, plural, UNKNOWN } from "../parts/format.ts";
import { useLoad } from "../shell/live.ts";
import { factsOf, freshnessOf } from "./service_facts.ts";
import { serverNowMs } from "../shell/state.ts";
import { Choice } from "../parts/fields.tsx";
import { ListTable } from "../parts/tables.tsx";
import { Ago, Badge, Empty, Load, PageHead } from "../parts/widgets.tsx";
import type { ServiceView } from "../../../control/schemas.ts";

const REFRESH_MS = 3000;
/** Rows drawn before somebody asks for all. */
const ROWS_AT_FIRST = 200;
const KINDS = [["server", "All"], ["dns", "dns"], ["reporter", "Reporters"]] as const;
type Kind = (typeof KINDS)[number][0];

function Routes({ service }: { service: ServiceView }): JSX.Element {
  const found = freshnessOf(service);
  if (found === undefined) return <span class="muted">{UNKNOWN}</span>;
  const { revision } = service;
  const title = revision === null ? undefined : `route version ${revision}`;
  return <span class={found.isWarning ? "strong warn" : ""} title={title}>{found.text}</span>;
}

function Details({ service }: { service: ServiceView }): JSX.Element {
  const { first, rest } = factsOf(service);
  if (first.length + rest.length === 0) return <>{UNKNOWN}</>;
  return (
    <>
      {first.map(({ name, text }) => <span key={name} class="nowrap">{name} {text}</span>)}
      {rest.length > 0 && (
        <details>
          <summary>{plural(rest.length, "more value")}</summary>
          {rest.map(({ name, text }) => <span key={name}>{name} {text}</span>)}
        </details>
      )}
    </>
  );
}

function Row({ service }: { service: ServiceView }): JSX.Element {
  return (
    <tr>
      <td class="main-cell fit">
        <code data-row tabIndex={-1}>{service.address}</code>
        <span class="sub muted">{service.kind}</span>
      </td>
      <td data-label="State">
        {service.isSilent
          ? <Badge tone="crit" icon="warn" text="silent" title="No sign of life for 30 s" />
          : <Badge tone="ok" icon="ok" text="alive" />}
      </td>
      <td data-label="Last seen" class="nowrap">
        <Ago atMs={service.seenAtMs} />
      </td>
      <td data-label="Routes" class="nowrap">
        <Routes service={service} />
      </td>
      <td data-label="Version" class="nowrap">{service.software || UNKNOWN}</td>
      <td data-label="Up for" class="number">{formatSpan(serverNowMs() - service.startedAtMs)}</td>
      <td data-label="Details" class="prose muted details">
        <Details service={service} />
      </td>
    </tr>
  );
}

function Table({ services }: { services: readonly ServiceView[] }): JSX.Element {
  const [isAll, setAll] = useState(false);
  const shown = isAll ? services : services.slice(0, ROWS_AT_FIRST);
  return (
    <ListTable
      caption="Services, silent ones first"
      heads={["Service", "State", "Last seen", "Routes", "Version", "#Up for", "Details"]}
      below={shown.length < services.length && (
        <p class="more">
          <button
            type="button"
            onClick={() => setAll(true)}
          >
            Show all {plural(services.length, "service")}
          </button>
        </p>
      )}
    >
      {shown.map((service) => <Row key={`${service.kind} ${service.address}`} service={service} />)}
    </ListTable>
  );
}

/** The page of services. */
export function ServicesPage(): JSX.Element {
  const [kind, setKind] = useState<Kind>("server");
  const list = useLoad(
    `services ${kind}`,
    (signal) => call("listServices", { query: { kind }, signal }),
    REFRESH_MS,
  );
  return (
    <>
      <PageHead
        title="Services"
        about="dns and reporters that said something within the last days"
      >
        <a class="button" href="/agents">Agents</a>
      </PageHead>
      <div class="filters">
        <Choice<Kind> label="Kind" value={kind} options={KINDS} onChange={setKind} />
      </div>
      <Load of={list} onRetry={list.reload}>
        {({ services }) =>
          services.length === 0
            ? (
              <Empty icon="services" title="No service has said anything">
                <p>
                  Start them, or{" "}
                  <code>lars up</code>, on the same database; each tells of itself every few
                  seconds.
                </p>
              </Empty>
            )
            : (
              <Table
                services={[...services].sort((left, right) =>
                  Number(right.isSilent) - Number(left.isSilent) ||
                  (right.revisionLag ?? 0) - (left.revisionLag ?? 0) ||
                  left.kind.localeCompare(right.kind) ||
                  left.address.localeCompare(right.address, "en", { numeric: true })
                )}
              />
            )}
      </Load>
    </>
  );
}
