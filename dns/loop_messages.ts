// Core. What the main thread of dns and its loops in workers say to each other.

import type { Address } from "../reactor/address.ts";
import type { ModuleKey } from "../sql/store.ts";
import type { ModuleId } from "./module_id.ts";

/** Main thread to loop. */
export type LoopTask =
  | { readonly type: "listen"; readonly port: number }
  | {
    readonly type: "frames";
    readonly modId: number;
    readonly cmdId: number;
    readonly revision: number;
    readonly legacy: Uint8Array;
    readonly extended: Uint8Array;
  };

/** Loop to main thread. */
export type LoopNote =
  | { readonly type: "listening"; readonly address: Address }
  | {
    readonly type: "bindFailed";
    readonly address: string;
    readonly inUse: boolean;
    readonly message: string;
  }
  | { readonly type: "want"; readonly modId: number; readonly cmdId: number }
  | { readonly type: "drop"; readonly keys: readonly ModuleId[] }
  | { readonly type: "routesChanged"; readonly keys: readonly ModuleKey[] }
  | { readonly type: "stats"; readonly stats: Record<string, number> }
  | {
    readonly type: "log";
    readonly level: "debug" | "info" | "warn" | "error";
    readonly message: string;
    readonly fields: Record<string, unknown> | undefined;
  };
