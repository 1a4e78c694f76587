// Shell. Workers that are started before anybody can say what they are for.

/** Workers of a program's own choice that load while its main thread loads. */
export class WarmWorkers {
  readonly #spawn: (url: URL) => Worker;
  readonly #waiting = new Map<string, Worker>();

  constructor(spawn: (url: URL) => Worker) {
    this.#spawn = spawn;
  }

  /** Starts a worker that {@linkcode take} will give; at most one waits for each URL. */
  warm(url: URL): void {
    if (!this.#waiting.has(url.href)) this.#waiting.set(url.href, this.#spawn(url));
  }

  /** The worker that waits, or a new one. */
  take(url: URL): Worker {
    const worker = this.#waiting.get(url.href);
    this.#waiting.delete(url.href);
    return worker ?? this.#spawn(url);
  }

  /** Ends those that nobody took. */
  drop(): void {
    for (const worker of this.#waiting.values()) worker.terminate();
    this.#waiting.clear();
  }
}
