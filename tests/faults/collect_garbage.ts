// Shell. Loaded before a service of the soak, on Deno: has the garbage of all its threads collected every
// two minutes, so that its memory says what it holds. V8 leaves some MB an hour lying until its limit.

import { setInterval } from "node:timers";

/** Long enough that the pauses are not seen in the times of answers. */
const EVERY_MS = 120_000;

const { gc } = globalThis as { gc?: () => void };
if (gc === undefined) throw new Error("This needs the V8 flag --expose-gc");
// What is loaded before waits until nothing is left to do.
setInterval(gc, EVERY_MS).unref();

const Plain = Worker;
globalThis.Worker = class extends Plain {
  constructor(url: string | URL, options?: WorkerOptions) {
    const source = `import ${JSON.stringify(String(url))};
      import { setInterval } from "node:timers";
      setInterval(globalThis.gc, ${EVERY_MS}).unref();`;
    super(`data:application/javascript,${encodeURIComponent(source)}`, options);
  }
};
