// Shell. DNS messages, as the package for them reads and writes them on the buffers it needs.

import { Buffer } from "node:buffer";
// @ts-types="./dns_packet.d.ts"
import dnsPacket from "dns-packet";
import type { DnsCodec } from "./answers.ts";

/** The package, for the core of the name server. */
export const dnsCodec: DnsCodec = {
  encode: (packet) => dnsPacket.encode(packet),
  bytesOf: (packet) => dnsPacket.encodingLength(packet),
  decode: (bytes) => dnsPacket.decode(bufferOf(bytes)),
  textOf: (bytes) => bufferOf(bytes).toString("latin1"),
};

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
