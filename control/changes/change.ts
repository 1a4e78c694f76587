// Core. What an editor may say of a change, and of which modules something is wanted.

import type { ModuleKey } from "../../model/module.ts";

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
