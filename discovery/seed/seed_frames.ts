// Core. The structs of the discovery protocol of seed programs, byte for byte.

import { formatIpv4, parseIpv4 } from "../../reactor/address.ts";
import { ProtocolError } from "../../reactor/errors.ts";
import { HEAD_BYTES, writeHead } from "../../reactor/frame.ts";

/** Commands, in the place of a message id. The frame's head is that of every other program. */
export const SeedCommand = {
  /** Client: which server? */
  Connect: 0,
  /** Client: I could connect to it, or not: then which other one? */
  BackConnect: 1,
  /** Client: I have left it. */
  Unconnect: 2,
  /** Server: here I am. */
  Register: 3,
  /** Server: I am no more. */
  Unregister: 4,
  /** Server: I am still here. */
  Heart: 5,
} as const;

/** Commands and unknown ids below this one are the seed's, from there on they are ours. */
export const SEED_COMMANDS_END = 64;

/** Largest argument of a command; a head that announces more ends the connection. */
export const SEED_ARGUMENT_BYTES_MAX = 4096;

/** Id of "no server", and of "no room". */
export const NO_SERVER = -1;

/** `int id; char ip[16]; in_port_t port;` and two bytes that the compiler adds. */
const SERVER_INFO_BYTES = 24;
const IP_OFFSET = 4;
const IP_BYTES = 16;
const PORT_OFFSET = 20;
/** `int back; int id;` */
const CONNECT_BACK_BYTES = 8;
const ID_BYTES = 4;

/** A server as a client is told of it. */
export interface SeedServerInfo {
  readonly id: number;
  readonly ip: number;
  readonly port: number;
}

function viewOf(body: Uint8Array, bytesMin: number, what: string): DataView {
  if (body.length < bytesMin) {
    throw new ProtocolError(
      `Argument of ${what} must have ${bytesMin} bytes: current value has ${body.length}`,
    );
  }
  return new DataView(body.buffer, body.byteOffset, body.length);
}

/**
 * The answer to a client that wants a server: a head whose length says 0, and yet a serverinfo
 * behind it. Without a server its id is {@linkcode NO_SERVER} and the rest is zero.
 */
export function connectAnswer(server: SeedServerInfo | undefined): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES + SERVER_INFO_BYTES);
  writeHead(bytes, 0, SeedCommand.Connect, 0);
  const view = new DataView(bytes.buffer, HEAD_BYTES);
  view.setInt32(0, server?.id ?? NO_SERVER, true);
  if (server === undefined) return bytes;
  const text = new TextEncoder().encode(formatIpv4(server.ip));
  bytes.set(text, HEAD_BYTES + IP_OFFSET);
  view.setUint16(PORT_OFFSET, server.port, true);
  return bytes;
}

/** The body of the answer to a registration. */
export function registerAnswer(id: number): Uint8Array {
  const body = new Uint8Array(ID_BYTES);
  new DataView(body.buffer).setInt32(0, id, true);
  return body;
}

/**
 * What a server says of itself. The id is passed over.
 *
 * @returns `ip` undefined when it names no address: then that of the peer is meant.
 * @throws {ProtocolError} when it is too short.
 */
export function readServerInfo(body: Uint8Array): { ip: number | undefined; port: number } {
  const view = viewOf(body, SERVER_INFO_BYTES, "register");
  const field = body.subarray(IP_OFFSET, IP_OFFSET + IP_BYTES);
  const end = field.indexOf(0);
  const text = new TextDecoder("latin1").decode(end < 0 ? field : field.subarray(0, end));
  return { ip: ipOf(text), port: view.getUint16(PORT_OFFSET, true) };
}

function ipOf(text: string): number | undefined {
  try {
    // 0.0.0.0 is what a program writes that does not know its address.
    return parseIpv4(text) || undefined;
  } catch {
    return undefined;
  }
}

/** What a client says of the server it was given. @throws {ProtocolError} when it is too short. */
export function readConnectBack(body: Uint8Array): { isConnected: boolean; id: number } {
  const view = viewOf(body, CONNECT_BACK_BYTES, "backconnect");
  return { isConnected: view.getInt32(0, true) !== 0, id: view.getInt32(4, true) };
}

/** The server that is meant. @throws {ProtocolError} when it is too short. */
export function readServerId(body: Uint8Array, what: string): number {
  return viewOf(body, ID_BYTES, what).getInt32(0, true);
}

/** Largest body of each id on a port that speaks both protocols. */
export function seedBodyBytesMax(msgId: number, otherwise: number): number {
  return msgId < SEED_COMMANDS_END ? SEED_ARGUMENT_BYTES_MAX : otherwise;
}
