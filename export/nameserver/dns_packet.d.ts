// The part of the package dns-packet that is used here; it ships no types.
import type { Buffer } from "node:buffer";

export interface DnsQuestion {
  readonly name: string;
  readonly type: string;
  readonly class?: string;
}

export interface SoaData {
  readonly mname: string;
  readonly rname: string;
  readonly serial: number;
  readonly refresh: number;
  readonly retry: number;
  readonly expire: number;
  readonly minimum: number;
}

export interface SrvData {
  readonly priority: number;
  readonly weight: number;
  readonly port: number;
  readonly target: string;
}

interface Common {
  readonly name: string;
  readonly ttl: number;
  readonly class?: "IN";
}

export type Answer =
  | Common & { readonly type: "A" | "NS"; readonly data: string }
  | Common & { readonly type: "TXT"; readonly data: readonly string[] }
  | Common & { readonly type: "SRV"; readonly data: SrvData }
  | Common & { readonly type: "SOA"; readonly data: SoaData }
  | {
    readonly type: "OPT";
    readonly name: ".";
    readonly udpPayloadSize: number;
    readonly extendedRcode: number;
    readonly ednsVersion: number;
    readonly flags: number;
    readonly flag_do: boolean;
    readonly options: readonly unknown[];
  };

export interface Packet {
  readonly type: "query" | "response";
  readonly id: number;
  readonly flags: number;
  readonly questions?: readonly DnsQuestion[];
  readonly answers?: readonly Answer[];
  readonly authorities?: readonly Answer[];
  readonly additionals?: readonly Answer[];
}

declare const dnsPacket: {
  encode(packet: Packet): Buffer;
  encodingLength(packet: Packet): number;
  decode(bytes: Uint8Array): Packet;
};
export default dnsPacket;
