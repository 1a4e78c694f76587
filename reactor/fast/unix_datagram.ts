// Shell. One message to a Unix datagram socket of this machine, as service managers listen on, through FFI.

import { type Libc, runtime } from "../runtime/mod.ts";
import { MSG_DONTWAIT, SOCK_CLOEXEC } from "./batch_loop.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const MSG_NOSIGNAL = 0x4000;

/** Longest name, in bytes: `struct sockaddr_un` holds 108, one of which ends it. */
const NAME_BYTES_MAX = 107;

/**
 * `struct sockaddr_un` of a path, or of a name without a file, which is written with a leading `@`.
 *
 * @throws {RangeError} when it is empty, relative, or too long.
 */
export function unixDatagramAddress(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  const isAbstract = name.startsWith("@") && name.length > 1;
  if (!isAbstract && !name.startsWith("/")) {
    throw new RangeError(`A Unix socket is named by /PATH or @NAME: "${name}"`);
  }
  if (text.length > NAME_BYTES_MAX) {
    throw new RangeError(
      `A Unix socket's name must have at most ${NAME_BYTES_MAX} bytes: "${name}"`,
    );
  }
  // A path ends with a zero; a name without a file begins with one, and its length ends it.
  const bytes = new Uint8Array(2 + text.length + (isAbstract ? 0 : 1));
  new DataView(bytes.buffer).setUint16(0, AF_UNIX, true);
  bytes.set(text, 2);
  if (isAbstract) bytes[2] = 0;
  return bytes;
}

/**
 * Sends one message without waiting.
 *
 * @param name As in {@linkcode unixDatagramAddress}.
 * @throws {Error} where the C library cannot be called; {Error} with the number of the fault when it
 *   was not taken; what `unixDatagramAddress` throws.
 */
export function sendUnixDatagram(name: string, text: string): void {
  const address = unixDatagramAddress(name);
  const libc: Libc = runtime.openLibc();
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new Error(`No socket could be made, errno ${libc.errno()}`);
  try {
    const bytes = new TextEncoder().encode(text);
    const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const sent = libc.sendTo(fd, bytes, bytes.length, flags, address, address.length);
    if (sent !== bytes.length) throw new Error(`${name} did not take it, errno ${libc.errno()}`);
  } finally {
    libc.close(fd);
  }
}
