// Core. How exports name modules outside, and how what programs outside ask for is read.

import { type ModuleKey, UINT32_MAX } from "../model/module.ts";
import type { FleetView } from "./fleet_view.ts";

function keyOf(modText: string, cmdText: string): ModuleKey | undefined {
  const modId = Number(modText);
  const cmdId = Number(cmdText);
  return modId <= UINT32_MAX && cmdId <= UINT32_MAX ? { modId, cmdId } : undefined;
}

/** The module of `MODID.CMDID`, `MODID/CMDID` or `MODID,CMDID`; undefined: no such text. */
export function readModuleNumbers(text: string): ModuleKey | undefined {
  const match = /^(\d{1,10})[./,](\d{1,10})$/.exec(text);
  return match === null ? undefined : keyOf(match[1], match[2]);
}

/** The module that a text names, by number or by name; undefined: there is none by this name. */
export function findModule(view: FleetView, text: string): ModuleKey | undefined {
  return view.byName(text) ?? readModuleNumbers(text);
}

/** Every text that {@linkcode findModule} may take for a module. */
export function namesOfModule(view: FleetView, { modId, cmdId }: ModuleKey): string[] {
  const name = view.module({ modId, cmdId })?.name ?? "";
  const numbers = [".", "/", ","].map((between) => `${modId}${between}${cmdId}`);
  return name === "" ? numbers : [name, ...numbers];
}
