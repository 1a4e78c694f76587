// Core. What a client of the original says first, over L0: the two ports it will listen on.

/** Lowest and highest port that a client may name; `rresvport` gives those from 512 to 1023. */
export const CLIENT_PORT_MIN = 512;
export const CLIENT_PORT_MAX = 65_535;

/** Longest text: two ports of five digits, the letter, and the NUL. */
export const PORTS_TEXT_BYTES_MAX = 12;

/** Where the client will listen. */
export interface ClientPorts {
  /** The relay reads requests from here. */
  readonly port1: number;
  /** And writes answers here. */
  readonly port2: number;
}

/** What became of the bytes so far. */
export type PortsText = ClientPorts | "more" | { readonly fault: string };

const NUL = 0;
const PATTERN = /^(\d{1,5})[Xx](\d{1,5})$/;

/** Reads `port1Xport2` and a NUL, in lower case as well. What follows the NUL is not looked at. */
export function readPortsText(bytes: Uint8Array): PortsText {
  const end = bytes.subarray(0, PORTS_TEXT_BYTES_MAX).indexOf(NUL);
  if (end < 0) {
    return bytes.length < PORTS_TEXT_BYTES_MAX
      ? "more"
      : { fault: `no NUL within ${PORTS_TEXT_BYTES_MAX} bytes` };
  }
  const match = PATTERN.exec(String.fromCharCode(...bytes.subarray(0, end)));
  if (match === null) return { fault: "not two ports with an X between them" };
  const [port1, port2] = [Number(match[1]), Number(match[2])];
  for (const port of [port1, port2]) {
    if (port < CLIENT_PORT_MIN || port > CLIENT_PORT_MAX) {
      return {
        fault: `ports must be from ${CLIENT_PORT_MIN} to ${CLIENT_PORT_MAX}: one is ${port}`,
      };
    }
  }
  return { port1, port2 };
}
