// Shell. What the helper programs of benchmarks share: words they are given, and what they tell.

import type { Address } from "../reactor/address.ts";
import { formatAddress } from "../reactor/address.ts";
import { FrameDecoder } from "../reactor/frame.ts";
import { runtime, type Stream } from "../reactor/runtime/mod.ts";

/** Words such as `port=8888`, by name. */
export function readWords(words: readonly string[]): {
  text(name: string, otherwise: string): string;
  number(name: string, otherwise?: number): number;
} {
  const values = new Map(words.map((word) => {
    const [name, value] = word.split("=");
    return [name, value] as const;
  }));
  return {
    text: (name, otherwise) => values.get(name) ?? otherwise,
    number: (name, otherwise = 0) => Number(values.get(name) ?? otherwise),
  };
}

/** Writes a line of JSON. */
export function tell(value: unknown): void {
  runtime.writeStdout(JSON.stringify(value) + "\n");
}

/** Tells whoever started this program that it serves. */
export function tellReady(addresses: readonly Address[] = []): void {
  tell({ event: "ready", addresses: addresses.map(formatAddress) });
}

/** Connects to a port of this machine; the program ends when the connection does. */
export async function connectFrames(
  port: number,
  onFrame: (msgId: number, body: Uint8Array) => void,
): Promise<Stream> {
  const { signal } = new AbortController();
  const stream = await runtime.connectTcp({ hostname: "127.0.0.1", port, signal });
  const decoder = new FrameDecoder(stream.copyBelowBytes);
  stream.start({
    onData: (chunk) => decoder.push(chunk, onFrame),
    onDrain: () => undefined,
    onEnd: () => runtime.exit(3),
    onClose: () => runtime.exit(4),
  });
  return stream;
}
