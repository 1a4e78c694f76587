// Shell. Modules as rows.

import type { JSX } from "preact";
import { formatCount, formatNumber, modulePath, moduleTitle } from "../parts/format.ts";
import { Heads } from "../parts/tables.tsx";
import { ErrorShare, HealthBadge, RefusedTone } from "../parts/widgets.tsx";
import type { ModuleSummary } from "../../../control/schemas.ts";

function Row({ module }: { module: ModuleSummary }): JSX.Element {
  return (
    <tr>
      <td class="main-cell">
        <a data-row href={modulePath(module)} class="cut" title={moduleTitle(module)}>
          {moduleTitle(module)}
        </a>
        {module.name !== "" && <span class="muted sub">{module.modId} / {module.cmdId}</span>}
      </td>
      <td data-label="Health">
        <HealthBadge health={module.health} severity={module.severity} />
      </td>
      <td class="number" data-label="Calls/s">
        <span>
          {formatNumber(module.callsPerSecond)}
          {module.refusedPerSecond > 0 && (
            <span class="sub">
              <RefusedTone of={module}>{formatNumber(module.refusedPerSecond)} refused</RefusedTone>
            </span>
          )}
        </span>
      </td>
      <td class="number" data-label="Errors">
        <ErrorShare share={module.errorShare} callsPerSecond={module.callsPerSecond} />
      </td>
      <td class="number" data-label="Nodes on">
        <span>
          {formatCount(module.onCount)}
          <span class="muted">{` of ${formatCount(module.nodeCount)}`}</span>
        </span>
      </td>
      <td class="number" data-label="Kept out">
        {module.overloadCount === 0
          ? <span class="muted">0</span>
          : <span class="strong warn">{formatCount(module.overloadCount)}</span>}
      </td>
      <td class="wide-only" data-label="Policy">
        <span class="cut">{module.policy}</span>
      </td>
    </tr>
  );
}

/** A table of modules. */
export function ModuleRows(
  props: { caption: string; modules: readonly ModuleSummary[] },
): JSX.Element {
  return (
    <table class="rows cards">
      <caption class="hidden">{props.caption}</caption>
      <Heads
        names={["Module", "Health", "#Calls/s", "#Errors", "#Nodes on", "#Kept out", "-Policy"]}
      />
      <tbody>
        {props.modules.map((module) => (
          <Row key={`${module.modId}/${module.cmdId}`} module={module} />
        ))}
      </tbody>
    </table>
  );
}
