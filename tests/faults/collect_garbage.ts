// Shell. Loaded before a service of the soak, on Deno: has the garbage of all its threads collected every
// two minutes, so that its memory says what it holds. V8 leaves some MB an hour lying until its limit.

/** Long enough that the pauses are not seen in the times of answers. */
const EVERY_MS = 120_000;

const { gc } = globalThis as { gc?: () => void };
if (gc === undefined) throw new Error("This needs the V8 flag --expose-gc");
setInterval(gc, EVERY_MS);

const Plain = Worker;
globalThis.Worker = class extends Plain {
  constructor(url: string | URL, options?: WorkerOptions) {
    const source = `import ${JSON.stringify(String(url))};
      setInterval(globalThis.gc, ${EVERY_MS});`;
    super(`data:application/javascript,${encodeURIComponent(source)}`, options);
  }
};
