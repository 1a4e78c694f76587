// Core. What two agents of one host say to each other when the newer takes over the sockets.
//
//   new --Ask--> old --Sockets (with the sockets), Routes..., RoutesEnd--> new
//   new --Serving--> old, which stops and ends; the end of the connection is its end

/** First byte of a message. */
export const HandOverKind = { Ask: 1, Sockets: 2, Routes: 3, RoutesEnd: 4, Serving: 5 } as const;

/** Goes up when an older program could not follow. */
export const HAND_OVER_PROTOCOL = 1;

/** Bytes of routes in one message. */
export const ROUTES_PIECE_BYTES = 32 * 1024;

/** What each says of itself, in Ask and in Sockets. */
export interface HandOverAbout {
  readonly protocol: number;
  /** Name and version. */
  readonly software: string;
}

/** The name under which the agent on these ports can be reached. */
export function handOverName(hostname: string, firstPort: number): string {
  const ip = hostname === "localhost" ? "127.0.0.1" : hostname;
  return `lars-agent ${ip}:${firstPort}`;
}

/** A message that says who speaks. */
export function encodeAbout(kind: number, software: string): Uint8Array {
  const about: HandOverAbout = { protocol: HAND_OVER_PROTOCOL, software };
  return Uint8Array.of(kind, ...new TextEncoder().encode(JSON.stringify(about)));
}

/** Reads such a message; undefined when it is none that this program can follow. */
export function decodeAbout(kind: number, bytes: Uint8Array): HandOverAbout | undefined {
  if (bytes[0] !== kind) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes.subarray(1)));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { protocol, software } = value as Record<string, unknown>;
  if (protocol !== HAND_OVER_PROTOCOL || typeof software !== "string") return undefined;
  return { protocol, software: software.slice(0, 200) };
}

/** Routes, as bytes of the cache, cut into messages; the last one says that it is. */
export function* routeMessages(bytes: Uint8Array): IterableIterator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += ROUTES_PIECE_BYTES) {
    const piece = bytes.subarray(at, at + ROUTES_PIECE_BYTES);
    const message = new Uint8Array(1 + piece.length);
    message[0] = HandOverKind.Routes;
    message.set(piece, 1);
    yield message;
  }
  yield Uint8Array.of(HandOverKind.RoutesEnd);
}

/** Puts together what {@linkcode routeMessages} cut. */
export function joinPieces(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
