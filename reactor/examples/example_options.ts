// Core. The few command line options that the example programs share.

/** Options of every example; each program names the ones it uses. */
export interface ExampleOptions {
  /** Port to listen on or to connect to; 0 lets the system choose. */
  port: number;
  /** Time to run; 0 = until interrupted. */
  seconds: number;
  /** Connections a client opens. */
  connections: number;
  /** Requests a connection keeps under way. */
  window: number;
  /** Worker loops of a server. */
  loops: number;
  /** 1: TCP through FFI, on a thread that does nothing else. */
  fast: number;
}

/**
 * Reads `--name value` and `--name=value` pairs over the defaults.
 *
 * @throws {RangeError} for an unknown name or a value that is not a whole number.
 */
export function readExampleOptions(
  args: readonly string[],
  defaults: Partial<ExampleOptions> = {},
): ExampleOptions {
  const options: ExampleOptions = {
    port: 7777,
    seconds: 0,
    connections: 1,
    window: 1,
    loops: 2,
    fast: 0,
    ...defaults,
  };
  const words = args.flatMap((arg) => arg.split("="));
  for (let index = 0; index < words.length; index += 2) {
    const name = words[index].replace(/^--/, "");
    const text = words[index + 1] ?? "";
    if (!isOption(name, options)) {
      const known = Object.keys(options).map((key) => `--${key}`).join(", ");
      throw new RangeError(`Option must be one of ${known}: current value is "${words[index]}"`);
    }
    if (!/^\d+$/.test(text)) {
      throw new RangeError(`--${name} must be a whole number: current value is "${text}"`);
    }
    options[name] = Number(text);
  }
  return options;
}

function isOption(name: string, options: ExampleOptions): name is keyof ExampleOptions {
  return Object.hasOwn(options, name);
}
