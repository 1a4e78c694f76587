// Core. Names of modules are unique, and none can be taken for something else.

import {
  findNameClash,
  moduleLabel,
  moduleLabels,
  moduleNameFault,
  type NamedModule,
} from "../../model/module_name.ts";
import { ControlError } from "../control_error.ts";

/**
 * Refuses new names that would not find their module. Names that are there already stay, whatever
 * they are: other programs may have stored them.
 *
 * @throws {ControlError} invalid, for a name that is none; conflict, for one that is taken.
 */
export function judgeNames(
  renamed: readonly NamedModule[],
  rows: readonly NamedModule[],
): void {
  for (const { modId, cmdId, name } of renamed) {
    const fault = moduleNameFault(name);
    if (fault === undefined) continue;
    const message = `Name of module ${moduleLabel({ modId, cmdId })} ${fault}: it is "${name}"`;
    throw new ControlError("invalid", message, { errors: [{ path: "name", message: fault }] });
  }
  const clash = findNameClash(renamed, rows);
  if (clash === undefined) return;
  const { changed: { name, ...key }, owner } = clash;
  throw new ControlError(
    "conflict",
    `Module ${moduleLabel(key)} cannot be called "${name}": ${
      moduleLabels([owner])
    } is called so; ` +
      "names of modules are unique",
  );
}
