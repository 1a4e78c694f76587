// Core. Changes of routes, names and policies: as they are wished for, foretold, made and remembered.

import type { ModuleKey } from "../../model/module.ts";
import type {
  ChangeRow,
  ModuleDifference,
  NodeDifference,
} from "../../sql/console/console_store.ts";
import type { ModuleChange, RouteEdit } from "../../sql/store.ts";
import type { Told } from "./dns_notifier.ts";
import type { TrafficShift } from "./traffic_shift.ts";

type WithTextIp<T> = T extends RouteEdit ? Omit<T, "ip"> & { readonly ip: string } : never;

/** One wish of an editor; addresses are text. */
export type ClientEdit = WithTextIp<RouteEdit> | ({ readonly op: "module" } & ModuleChange);

/** Modules of which something is wanted: all, those of one number, or one. */
export type ModuleFilter = { readonly [Part in keyof ModuleKey]?: number | undefined };

/** What an editor may say besides what is to be changed. */
export interface ChangeOptions {
  /** Kept in the history. @default {""} */
  readonly why?: string | undefined;
  /** Fingerprint of a preview: refused when the modules have changed since. */
  readonly expect?: string | undefined;
  /** True: agents take it at once, however many nodes it removes. @default {true} */
  readonly meant?: boolean | undefined;
}

/** What a change did, and who knows of it already. */
export interface ChangeResult {
  /** Id in the history; null when everything was so already, or there is no history. */
  readonly changeId: number | null;
  /** Route version afterwards. */
  readonly version: number;
  /** Modules that differ now. */
  readonly changed: readonly ModuleKey[];
  readonly told: readonly Told[];
  /** New revision of the module that was written; null for changes of several modules. */
  readonly revision: string | null;
}

/** A node before and after; null where it does not exist. */
export interface NodeDifferenceView extends Omit<NodeDifference, "ip"> {
  readonly ip: string;
}

/** What a change would do. */
export interface ChangePreview {
  /** Given back as `expect`, so that only what was seen is applied. */
  readonly fingerprint: string;
  readonly nodes: readonly NodeDifferenceView[];
  readonly modules: readonly ModuleDifference[];
  /** Edits, or rows of a file, that are so already. */
  readonly unchangedCount: number;
  readonly traffic: readonly TrafficShift[];
  readonly warnings: readonly string[];
}

/** One entry of the history. */
export interface ChangeSummary extends Omit<ChangeRow, "undoes" | "undoneBy"> {
  readonly undoes: number | null;
  readonly undoneBy: number | null;
}

/** An entry with all it did. */
export interface ChangeDetail extends ChangeSummary {
  readonly nodes: readonly NodeDifferenceView[];
  readonly moduleTexts: readonly ModuleDifference[];
}
