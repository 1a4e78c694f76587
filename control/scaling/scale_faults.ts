// Core. What is wrong with a rule of scaling beyond the ranges of its values.

import type { ScaleRule } from "../schemas.ts";
import { floorFault } from "./scale_floor.ts";

/**
 * Everything that is wrong with a rule.
 *
 * @param webhooks Titles of the webhooks of format scaling.
 */
export function scaleRuleFaults(rule: ScaleRule, webhooks: readonly string[]): string[] {
  const { min, max, floors, driver, webhook } = rule;
  const faults: string[] = [];
  if (min > max) faults.push(`min must be at most max (${max}): current value is ${min}`);
  for (const floor of floors) {
    const fault = floorFault(floor);
    if (fault !== undefined) faults.push(`floor ${floor.days} ${floor.from}: ${fault}`);
    if (floor.nodes > max) {
      faults.push(`floor ${floor.days} ${floor.from}: nodes must be at most max (${max})`);
    }
    if (floor.from === floor.to) {
      faults.push(`floor ${floor.days} ${floor.from}: to must differ from from`);
    }
  }
  if (driver === "webhook" && !webhooks.includes(webhook)) {
    const known = webhooks.length === 0 ? "there is none" : `there are ${webhooks.join(", ")}`;
    faults.push(
      `webhook must be the title of a webhook of format scaling (${known}): ` +
        `current value is "${webhook}"`,
    );
  }
  return faults;
}
