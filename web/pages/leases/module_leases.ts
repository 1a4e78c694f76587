// Shell. The leases of one module, page by page, for the table of its nodes.

import { useRef } from "preact/hooks";
import type { HeldNodes, LeaseListing, LeaseView } from "../../../control/schemas.ts";
import type { ModuleKey } from "../../../model/module.ts";
import { call } from "../shell/api.ts";
import { type Reloadable, useLoad } from "../shell/live.ts";

/** Leases of one answer, and answers that are kept: marks of nodes beyond them are missing. */
const PAGE_ROWS = 500;
const PAGES_MAX = 20;
const REFRESH_MS = 3000;

/** What is known of the leases of a module. */
export interface ModuleLeases {
  readonly leases: readonly LeaseView[];
  /** Of all modules. */
  readonly held: readonly HeldNodes[];
}

interface Pages {
  readonly key: string;
  readonly pages: (readonly LeaseView[])[];
  /** The page that is asked for next. */
  next: number;
}

/** All leases of a module at first, and then a page of them every three seconds, in turn. */
export function useModuleLeases({ modId, cmdId }: ModuleKey): Reloadable<ModuleLeases> {
  const key = `leases of ${modId}/${cmdId}`;
  const kept = useRef<Pages>({ key, pages: [], next: 0 });
  if (kept.current.key !== key) kept.current = { key, pages: [], next: 0 };
  const one = async (of: Pages, signal: AbortSignal): Promise<LeaseListing> => {
    const listing = await call("listLeases", {
      query: {
        ...{ modId: String(modId), cmdId: String(cmdId), limit: String(PAGE_ROWS) },
        offset: String(of.next * PAGE_ROWS),
      },
      signal,
    });
    const count = Math.min(PAGES_MAX, Math.max(1, Math.ceil(listing.total / PAGE_ROWS)));
    of.pages[of.next] = listing.leases;
    of.pages.length = Math.min(of.pages.length, count);
    of.next = (of.next + 1) % count;
    return listing;
  };
  const load = async (signal: AbortSignal): Promise<ModuleLeases> => {
    const of = kept.current;
    const isFirst = of.pages.length === 0;
    let listing = await one(of, signal);
    while (isFirst && of.next !== 0) listing = await one(of, signal);
    return { leases: of.pages.flat(), held: listing.held };
  };
  return useLoad(key, load, REFRESH_MS, true);
}
