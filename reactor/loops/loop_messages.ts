// Core. What passes between a loop pool and its workers.

/** From the pool to a worker. */
export type PoolMessage<Init, Task> =
  | { readonly type: "start"; readonly index: number; readonly init: Init }
  | { readonly type: "task"; readonly task: Task }
  | { readonly type: "stop" };

/** From a worker to the pool. */
export type LoopMessage<Note> =
  | { readonly type: "ready" }
  | { readonly type: "note"; readonly note: Note }
  | { readonly type: "error"; readonly message: string; readonly stack: string | undefined }
  | { readonly type: "stopped" };
