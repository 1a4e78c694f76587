// Shell. The overview: what is wrong now, then how everything does.

import type { JSX } from "preact";
import { formatCount, formatNumber, modulePath, plural } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { useLive } from "./live.ts";
import { LastHour } from "../history/last_hour.tsx";
import { ModuleRows } from "../modules/module_table.tsx";
import { withQuery } from "./places.ts";
import { may } from "./state.ts";
import {
  Ago,
  Empty,
  ErrorShare,
  HealthBadge,
  Load,
  PageHead,
  RefusedStat,
  SeverityBadge,
  Stat,
} from "../parts/widgets.tsx";
import type { ModuleHealth, Overview } from "../../../control/schemas.ts";

const HEALTHS: readonly ModuleHealth[] = ["down", "degraded", "ok", "idle", "empty"];

function Problems({ overview }: { overview: Overview }): JSX.Element {
  const { problems, problemCount } = overview;
  return (
    <section class="panel" aria-labelledby="wrong">
      <h2 id="wrong">
        What is wrong now {problemCount > 0 && <span class="count">{problemCount}</span>}
      </h2>
      {problems.length === 0
        ? (
          <p class="calm">
            <Icon name="ok" /> Nothing. Every module that is called has nodes that answer.
          </p>
        )
        : (
          <ul class="problems">
            {problems.map((problem) => (
              <li key={problem.key}>
                <SeverityBadge severity={problem.severity} />
                <span class="text">
                  {problem.modId !== null && problem.cmdId !== null
                    ? (
                      <a
                        data-row
                        href={withQuery(
                          modulePath({ modId: problem.modId, cmdId: problem.cmdId }),
                          { find: problem.node ?? undefined },
                        )}
                      >
                        {problem.text}
                      </a>
                    )
                    : problem.text}
                </span>
                {problem.sinceMs !== null && (
                  <span class="muted since">
                    <Ago atMs={problem.sinceMs} />
                  </span>
                )}
              </li>
            ))}
          </ul>
        )}
      {problemCount > problems.length && (
        <p class="muted">
          and {formatCount(problemCount - problems.length)} more:{" "}
          <a href="/modules">all modules, worst first</a>
        </p>
      )}
    </section>
  );
}

function HealthBar({ overview }: { overview: Overview }): JSX.Element {
  const { health, moduleCount } = overview;
  const parts = HEALTHS.filter((name) => health[name] > 0);
  let x = 0;
  return (
    <section class="panel" aria-labelledby="by-health">
      <h2 id="by-health">Modules by health</h2>
      <svg class="health-bar" viewBox="0 0 1000 12" preserveAspectRatio="none" aria-hidden="true">
        {parts.map((name) => {
          const width = health[name] / moduleCount * 1000;
          const at = x;
          x += width;
          return <rect key={name} class={name} x={at} width={Math.max(0, width - 3)} height="12" />;
        })}
      </svg>
      <ul class="health-list">
        {HEALTHS.map((name) => (
          <li key={name}>
            <a href={withQuery("/modules", { health: name })}>
              <span class="number">{formatCount(health[name])}</span>
              <HealthBadge health={name} />
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Stats({ overview }: { overview: Overview }): JSX.Element {
  const { services, agents } = overview;
  const { silent, holding, behind } = agents;
  const troubles = [
    ...(silent > 0 ? [`${formatCount(silent)} silent`] : []),
    ...(holding > 0 ? [`${formatCount(holding)} holding`] : []),
    ...(behind > 0 ? [`${formatCount(behind)} behind`] : []),
  ];
  return (
    <dl class="stats">
      <Stat label="Calls" unit="/s">{formatNumber(overview.callsPerSecond)}</Stat>
      <Stat label="Error share">
        <ErrorShare share={overview.errorShare} callsPerSecond={overview.callsPerSecond} />
      </Stat>
      <RefusedStat of={overview} />
      <Stat label="Modules">{formatCount(overview.moduleCount)}</Stat>
      <Stat label="Nodes">{formatCount(overview.nodeCount)}</Stat>
      <Stat label="Callers">{formatCount(overview.callerCount)}</Stat>
      <Stat label="Alerts firing" {...(overview.firingCount > 0 ? { tone: "crit" } : {})}>
        <a href="/alerts">{formatCount(overview.firingCount)}</a>
      </Stat>
      <Stat label="Agents" {...(troubles.length > 0 ? { tone: "warn" } : {})}>
        <a href="/agents">{formatCount(agents.all)}</a>
        <small>{` ${troubles[0] ?? (agents.all === 0 ? "heard of" : "all well")}`}</small>
      </Stat>
      <Stat label="Services" {...(services.silent > 0 ? { tone: "warn" } : {})}>
        <a href="/services">
          {formatCount(services.dns + services.reporter)}
        </a>
        <small>{services.silent > 0 ? ` ${services.silent} silent` : " all heard"}</small>
      </Stat>
    </dl>
  );
}

function Modules({ overview }: { overview: Overview }): JSX.Element {
  if (overview.moduleCount === 0) {
    return (
      <Empty icon="modules" title="There are no modules yet">
        {may("operator")
          ? (
            <p>
              <a href="/modules?add=1">Add the first module</a> with its nodes, or{" "}
              <a href="/transfer">import a file</a>.
            </p>
          )
          : <p>An operator adds the first one.</p>}
      </Empty>
    );
  }
  const { busiest, worst } = overview;
  return (
    <>
      {worst.length > 0 && (
        <section class="panel" aria-labelledby="worst">
          <h2 id="worst">Modules in trouble</h2>
          <ModuleRows caption="Modules in trouble, worst first" modules={worst} />
        </section>
      )}
      {busiest.length > 0 && (
        <section class="panel" aria-labelledby="busiest">
          <h2 id="busiest">Busiest modules</h2>
          <ModuleRows caption="Modules with the most calls, most first" modules={busiest} />
        </section>
      )}
    </>
  );
}

/** The first page. */
export function OverviewPage(): JSX.Element {
  const overview = useLive("overview");
  return (
    <>
      <PageHead
        title="Overview"
        about={overview.value === undefined
          ? "How everything does"
          : `${
            plural(overview.value.moduleCount, "module")
          }, route version ${overview.value.version}`}
      />
      <Load of={overview} rows={8}>
        {(value) => (
          <>
            {value.isStale && (
              <div class="box warn" role="alert">
                <Icon name="warn" />
                <p>
                  The database does not answer. You see what was known{" "}
                  <Ago atMs={value.atMs} />; agents go on with the routes they have.
                </p>
              </div>
            )}
            <Problems overview={value} />
            <Stats overview={value} />
            {value.moduleCount > 0 && <LastHour />}
            {value.moduleCount > 0 && <HealthBar overview={value} />}
            <Modules overview={value} />
          </>
        )}
      </Load>
    </>
  );
}
