// Shell. Loaded before a service of the soak, on Deno: has the garbage of all its threads collected every
// half minute, so that its memory says what it holds. V8 leaves some MB an hour lying until its limit.

import process from "node:process";
import { setInterval } from "node:timers";

/** Long enough that the pauses are not seen in the times of answers; a test has no time for that. */
const EVERY_MS = Number(process.env.COLLECT_EVERY_MS ?? 30_000);

/** Looks whether it is time by a timer and whenever the clock is read: no timer runs in a thread that blocks. */
function collectHere(everyMs: number, every: typeof setInterval): void {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("This needs the V8 flag --expose-gc");
  const now = performance.now.bind(performance);
  let dueMs = now() + everyMs;
  performance.now = () => {
    const nowMs = now();
    if (nowMs >= dueMs) {
      dueMs = nowMs + everyMs;
      gc();
    }
    return nowMs;
  };
  // What is loaded before waits until nothing is left to do.
  every(() => void performance.now(), everyMs / 4).unref();
}

collectHere(EVERY_MS, setInterval);

const Plain = Worker;
globalThis.Worker = class extends Plain {
  constructor(url: string | URL, options?: WorkerOptions) {
    const source = `import { setInterval } from "node:timers";
      import ${JSON.stringify(String(url))};
      (${collectHere})(${EVERY_MS}, setInterval);`;
    super(`data:application/javascript,${encodeURIComponent(source)}`, options);
  }
};
