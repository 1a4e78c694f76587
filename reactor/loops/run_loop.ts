// Shell. The worker's side of a loop pool: starts the body, hands it tasks, stops it.

import { messageOf } from "../errors.ts";
import type { LoopMessage, PoolMessage } from "./loop_messages.ts";

/** What a loop body gets from its pool. */
export interface LoopHandle<Note> {
  /** Number of this loop, from 0. */
  readonly index: number;
  /** Sends a note to the pool's `onNote`. */
  note(note: Note, transfer?: Transferable[]): void;
  /** Reports an error that happened outside of `onTask`; it reaches the pool's `onError`. */
  fail(error: unknown): void;
}

/** A started loop. */
export interface RunningLoop<Task> {
  /** One task; an error it throws reaches the pool's `onError`, and the loop goes on. */
  onTask(task: Task): void;
  /** Ends the loop; the worker is closed afterwards. */
  stop(): Promise<void>;
}

/** What a worker file is made of. */
export interface LoopBody<Init, Task, Note> {
  start(init: Init, loop: LoopHandle<Note>): Promise<RunningLoop<Task>>;
}

/** The part of a worker's global object that is used here. */
interface WorkerScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, transfer?: Transferable[]): void;
  close(): void;
}

/** Runs `body` in this worker; call it once, at the top level of the worker's file. */
export function runLoop<Init, Task, Note>(body: LoopBody<Init, Task, Note>): void {
  const scope = globalThis as unknown as WorkerScope;
  const post = (message: LoopMessage<Note>, transfer: Transferable[] = []): void =>
    scope.postMessage(message, transfer);
  const fail = (error: unknown): void =>
    post({
      type: "error",
      message: messageOf(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
  let running: Promise<RunningLoop<Task> | undefined> = Promise.resolve(undefined);

  const start = async (index: number, init: Init): Promise<RunningLoop<Task> | undefined> => {
    try {
      const note = (value: Note, transfer?: Transferable[]): void =>
        post({ type: "note", note: value }, transfer);
      const loop = await body.start(init, { index, note, fail });
      post({ type: "ready" });
      return loop;
    } catch (error) {
      fail(error);
      return undefined;
    }
  };
  const runTask = async (task: Task): Promise<void> => {
    try {
      (await running)?.onTask(task);
    } catch (error) {
      fail(error);
    }
  };
  const stop = async (): Promise<void> => {
    try {
      await (await running)?.stop();
    } catch (error) {
      fail(error);
    }
    post({ type: "stopped" });
  };

  scope.onmessage = (event): void => {
    const message = event.data as PoolMessage<Init, Task>;
    if (message.type === "start") running = start(message.index, message.init);
    else if (message.type === "task") void runTask(message.task);
    else void stop();
  };
}
