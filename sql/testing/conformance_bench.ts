// Core. What a conformance test of a store is given.

import type { Store } from "../store.ts";

/** A migrated store, and the way to reach its database past it. */
export interface StoreBench {
  readonly url: string;
  readonly store: Store;
  execute(sql: string): Promise<Record<string, unknown>[]>;
}

/** One test. */
export type BenchTest = (bench: StoreBench) => Promise<void>;

/** Registers one test. */
export type Define = (name: string, fn: BenchTest) => void;
