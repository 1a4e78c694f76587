// Core. What lars.proto cannot say: how our programs name its fields, and what they make of them.

import type { MessageId } from "../message_ids.ts";

/** Of one field. */
export interface FieldOptions {
  /** Name in our types; default: that of lars.proto in camel case. */
  readonly name?: string;
  /** An int32 that is signed in our programs too; the others are unsigned there. */
  readonly signed?: true;
  /** Empty text and bytes, and false, are read as absent, and absence is written as they are. */
  readonly emptyIsAbsent?: true;
  /** Longest bytes that are read, as the name of a constant in message_ids.ts. */
  readonly bytesMax?: "PICK_KEY_BYTES_MAX";
  /** An inner message that our type always has; one that did not come is read as empty. */
  readonly always?: true;
  /**
   * The nodes of this list are, in our types, members of the list with this name and have the
   * state `drain`. They are read behind the others.
   */
  readonly drainedOf?: string;
}

/** Of one message. */
export interface MessageOptions {
  readonly fields?: Readonly<Record<string, FieldOptions>>;
  /** There is a `frameX` that makes a datagram with this id. */
  readonly frame?: keyof typeof MessageId;
  /** There is an `XField` with the numbers of the fields, for who writes them one by one. */
  readonly numbers?: true;
  /** The type is not generated but imported from here. */
  readonly typeFrom?: string;
  /** Members of the type that are no fields, as source text. */
  readonly members?: string;
}

/** A type made of another. */
export interface TypeAlias {
  readonly name: string;
  readonly text: string;
  readonly comment: string;
}

/** Names that camel case alone does not give. */
export const NAMES: Readonly<Record<string, string>> = { modid: "modId", cmdid: "cmdId" };

const optional: FieldOptions = { emptyIsAbsent: true };
const keyField: FieldOptions = { emptyIsAbsent: true, bytesMax: "PICK_KEY_BYTES_MAX" };
const route: Readonly<Record<string, FieldOptions>> = {
  host: { name: "hosts" },
  policy: optional,
  meant: optional,
  draining: { drainedOf: "hosts" },
  guarded: optional,
  name: optional,
  digest: optional,
};

/** Messages that are not named here have no options. */
export const MESSAGES: Readonly<Record<string, MessageOptions>> = {
  HostInfo: {
    fields: { zone: optional },
    numbers: true,
    members: `
  /**
   * Of a route only: the node gets no new picks, but results of calls to it count. On the wire such
   * nodes are a list of their own, which old peers skip: to them the node is gone. When read, they
   * come after the others.
   */
  state?: "drain";`,
  },
  GetRouteRequest: {
    fields: { token: optional, padding: optional, digest: optional },
    frame: "ApiGetRouteRequest",
  },
  GetRouteResponse: { fields: route, frame: "ApiGetRouteResponse", numbers: true },
  GetHostRequest: {
    fields: { token: optional, key: keyField },
    frame: "GetHostRequest",
  },
  GetHostResponse: { fields: { retcode: { signed: true } }, frame: "GetHostResponse" },
  ReportRequest: {
    fields: {
      host: { always: true },
      retcode: { signed: true },
      timecost: { name: "timecostMs" },
      token: optional,
    },
    frame: "ReportRequest",
  },
  Hello: {
    fields: {
      nonce: optional,
      status: optional,
      mac: optional,
      own: optional,
      other: optional,
      translated: optional,
      padding: optional,
    },
    frame: "Hello",
  },
  HelloProof: { fields: { own: optional, other: optional } },
  RoutePart: { fields: route, numbers: true },
  ModuleKey: { typeFrom: "../model/module.ts" },
  RouteChanged: { fields: { module: { name: "modules" } } },
  ModuleCalls: { fields: { node: { name: "nodes" } } },
  CallReports: { fields: { module: { name: "modules" } } },
  FleetModules: { fields: { module: { name: "modules" } } },
  NodesOut: { fields: { node: { name: "nodes" } } },
  ExportStatus: { fields: { way: { name: "ways" } } },
  NodeUseReport: { fields: { agent: { name: "agents" } } },
  ExplainRequest: { fields: { token: optional }, frame: "ExplainRequest" },
  ExplainResponse: { frame: "ExplainResponse" },
  BatchedReport: { frame: "BatchedReport" },
  RelayRequest: { fields: { key: keyField } },
  RelayWork: { fields: { module: { name: "modules" } } },
  RelayHere: { fields: { member: { name: "members" } } },
  RelayMailEntry: { fields: { put: { name: "puts" }, end: { name: "ends" } } },
  RelayPresence: { fields: { client: { name: "clients" }, group: { name: "groups" } } },
  RelayPass: { fields: { key: keyField } },
  RelayTask: { fields: { cpid: { signed: true }, key: keyField } },
};

/** Types beside those of the messages. */
export const ALIASES: readonly TypeAlias[] = [
  {
    name: "NodeUsage",
    text: `Omit<NodeUse, "seq">`,
    comment: "How one agent, or one part of it, uses a node.",
  },
];
