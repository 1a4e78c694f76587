// Shell. The names of all modules, asked for when a page first shows one by its numbers.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { systemClock } from "../../../reactor/time/system_clock.ts";
import type { ModuleKey } from "../../../model/module.ts";
import { keyOfName, nameIn, nameMapOf, withNames } from "../../../model/module_words.ts";
import { call } from "./api.ts";

/** Names are asked for again by a page that is opened so much later. */
const FRESH_MS = 30_000;

/** Names by `1/2`. */
const names = signal<ReadonlyMap<string, string>>(new Map());
let askedMs = -FRESH_MS;

/** Asks for the names unless they are fresh. */
function ask(): void {
  if (systemClock.nowMs() - askedMs < FRESH_MS) return;
  askedMs = systemClock.nowMs();
  call("listModuleTexts").then(
    ({ modules }) => {
      names.value = nameMapOf(modules);
    },
    // The page says itself that the server is away; numbers stand meanwhile, and the next page asks.
    () => void (askedMs = -FRESH_MS),
  );
}

/** What pages know of the names of modules; it changes when they come. */
export interface NameLookup {
  /** `shop (1/2)`, or `1 / 2` while no name is known. */
  readonly of: (module: ModuleKey) => string;
  /** A text of the server with the names of the modules in it. */
  readonly inText: (text: string) => string;
  /** The module of a name, if just one has it. */
  readonly find: (name: string) => ModuleKey | undefined;
}

/** The names of modules, for a component that shows some; the one way pages get them. */
export function useModuleNames(): NameLookup {
  useEffect(ask, []);
  const known = names.value;
  return {
    of: (module) => nameIn(known, module),
    inText: (text) => withNames(known, text),
    find: (name) => keyOfName(known, name),
  };
}
