// Core. The one table of message ids, return codes and well-known ports.

/** Version of our extensions, said in every Hello. */
export const HELLO_PROTOCOL = 2;

/** Ids in the 8-byte head. 1 to 8 are those of the original; from 64 up they are ours. */
export const MessageId = {
  /** Agent to dns: give me a route, and push its changes to me. */
  GetRouteRequest: 1,
  /** Dns to agent: a route, as an answer or as a push. */
  GetRouteResponse: 2,
  /** Agent to reporter: call results of one module. No answer. */
  ReportStatusRequest: 3,
  /** Caller to agent: which node next? */
  GetHostRequest: 4,
  /** Agent to caller: this node. */
  GetHostResponse: 5,
  /** Caller to agent: the outcome of one call. No answer. */
  ReportRequest: 6,
  /** Caller to agent: give me every node of a module. */
  ApiGetRouteRequest: 7,
  /** Agent to caller: every node of a module. */
  ApiGetRouteResponse: 8,
  /** Both ways: I speak the extensions. */
  Hello: 64,
  /** Dns to agent: a piece of a route that does not fit one frame. */
  RoutePart: 65,
  /** Are you alive? */
  Ping: 66,
  /** I am. */
  Pong: 67,
  /** Writer to dns: routes in the database have changed. */
  RouteChanged: 68,
  /** Client to server: proof of knowing the shared secret. */
  HelloProof: 69,
  /** In-process client to agent: send me a route, now and after each change. */
  TableSubscribe: 70,
  /** In-process client to agent: the outcomes of many calls. */
  CallReports: 71,
  /** Agent to in-process client: they are counted. */
  CallReportsTaken: 72,
  /** Tool to dns, dns to agent: do you still use this node? */
  NodeUseRequest: 73,
  /** Agent to dns: this is how I use it. */
  NodeUse: 74,
  /** Dns to tool: this is how my agents use it. */
  NodeUseReport: 75,
  /** Caller to agent: why is which node picked? */
  ExplainRequest: 76,
  /** Agent to caller: that is why. */
  ExplainResponse: 77,
  /** Agent to in-process client: by what rules it judges, and where it stands. */
  TableSettings: 78,
  /** Agent to dns: who I am and how I do. */
  AgentStatus: 79,
  /** Both ways: I do not talk to you, and this is why; the connection ends. */
  Refusal: 80,
  /** Agent to dns: I stop because I was asked to. */
  Goodbye: 81,
  /** Dns to agent: subscriptions may be ended, and how many there may be. */
  SubscriptionTerms: 82,
  /** Caller to agent: the outcomes of many calls. No answer. */
  BatchedReport: 83,
  /** Agent to reporter: I keep reports until they are stored. */
  ReportSession: 86,
  /** Reporter to agent: so far your reports are stored. */
  ReportsStored: 87,
  /** Node to discovery: here I am. */
  LeaseRegister: 90,
  /** Discovery to node: what came of it. */
  LeaseRegistered: 91,
  /** Node to discovery: I am different now. */
  LeaseChange: 92,
  /** Node to discovery: I am no more. */
  LeaseLeave: 93,
  /** Discovery to node: what came of a change or of leaving. */
  LeaseDone: 94,
  /** Node or host to discovery: all that registered here live. */
  LeaseBeat: 95,
  /** Discovery to node or host: these I know. */
  LeaseBeaten: 96,
  /** Node to discovery: may I stop? */
  LeaseSafeRequest: 97,
  /** Discovery to node: whether anybody may still use you. */
  LeaseSafe: 98,
  /** Client to relay: I am here. */
  RelayJoin: 100,
  /** Relay to client: this is your number. */
  RelayJoined: 101,
  /** Client to relay: have a worker answer this. */
  RelayRequest: 102,
  /** Relay to client: the answer, or why there is none. */
  RelayReply: 103,
  /** Worker to relay: I serve these modules, give me so many requests. */
  RelayWork: 104,
  /** Relay to worker: answer this. */
  RelayTask: 105,
  /** Worker to relay: the answer, and room for further ones. */
  RelayDone: 106,
  /** Client to relay: take this to another client, or to a group. */
  RelaySend: 107,
  /** Relay to client: it has been taken, or why not. */
  RelaySent: 108,
  /** Relay to client: somebody has sent you this. */
  RelayMessage: 109,
  /** Client to relay: I have all up to this, also should I die now. */
  RelayTaken: 110,
  /** Client to relay: I belong to this group, or no more. */
  RelayGroup: 111,
  /** Client to relay: who is here? */
  RelayWho: 112,
  /** Relay to client: these are here; or have come, or gone. */
  RelayHere: 113,
  /** Tool to relay: how are you, or do this. */
  RelayAsk: 115,
  /** Relay to tool: that is how, or what happens. */
  RelayTold: 116,
  /** Export to dns: which modules are there, and which nodes are out? */
  FleetSubscribe: 120,
  /** Dns to export: these modules. */
  FleetModules: 121,
  /** Agent to dns: these nodes I keep out; dns to export: these are kept out. */
  NodesOut: 122,
  /** Export to dns: who follows through me. */
  ExportStatus: 140,
  /** Dns to agent: the route that you have is still the one. */
  RouteUnchanged: 145,
  /** Server to client: I stop soon, go elsewhere. */
  Leaving: 146,
} as const;

/** Any id of {@linkcode MessageId}. */
export type MessageId = (typeof MessageId)[keyof typeof MessageId];

/** Answers of an agent to a caller, and (0 or not 0) outcomes a caller reports. */
export const RetCode = {
  /** A node was picked, or the call went well. */
  Success: 0,
  /** Every node of the module is overloaded. */
  Overload: 1,
  /** The agent could not do its work. */
  SystemError: 2,
  /** The module is unknown, or its route has not arrived yet. */
  NoExist: 3,
} as const;

/** Any code of {@linkcode RetCode}. */
export type RetCode = (typeof RetCode)[keyof typeof RetCode];

/** Why a connection is refused, in {@linkcode MessageId.Refusal}. */
export const PeerRefusal = {
  /** No secret was shown, and one is wanted. */
  NoSecret: 1,
  /** The secret that was shown is none of the sender's. */
  WrongSecret: 2,
  /** The two ends of the connection are not those that the proof names. */
  PassedOn: 3,
  /** The proof is that of a build before protocol 2, which can be passed on. */
  OldProof: 4,
  /** The certificate that was shown does not hold the role that is wanted. */
  WrongRole: 5,
} as const;

/** Any reason of {@linkcode PeerRefusal}. */
export type PeerRefusal = (typeof PeerRefusal)[keyof typeof PeerRefusal];

/** What came of a registration, a change or an end, in answers of discovery. */
export const LeaseCode = {
  Done: 0,
  /** Another program has registered this node since. */
  Superseded: 1,
  /** There is no such registration any more. */
  Unknown: 2,
  /** There is no such module, and it was not to be made. */
  NoModule: 3,
  /** Something in the request cannot be; the reason says what. */
  Invalid: 4,
  /** Not now: the database is away, or too much waits. Ask again. */
  Busy: 5,
  /** Somebody else has registered this node. */
  Foreign: 6,
} as const;

/** Any code of {@linkcode LeaseCode}. */
export type LeaseCode = (typeof LeaseCode)[keyof typeof LeaseCode];

/** What became of a request, in {@linkcode MessageId.RelayReply}. */
export const RelayStatus = {
  /** A worker answered. */
  Ok: 0,
  /** A worker answered that it could not do it; the data says why. */
  Failed: 1,
  /** No worker serves this module: nobody saw the request. */
  NoWorker: 2,
  /** A queue is full: nobody saw the request. */
  Full: 3,
  /** There was no answer in time; a worker may have seen the request. */
  TimedOut: 4,
  /** The worker that had it is gone. */
  WorkerLost: 5,
  /** Whom it is for is not here. */
  NoClient: 6,
  /** The relay stops: nobody saw the request. */
  Stopping: 7,
  /** More data than a message may carry: nobody saw the request. */
  TooLarge: 8,
  /** The relay keeps no messages: no database, or it does not answer. */
  NoStore: 9,
  /** A name, a group or an id is none, or there are too many. */
  BadName: 10,
} as const;

/** Any status of {@linkcode RelayStatus}. */
export type RelayStatus = (typeof RelayStatus)[keyof typeof RelayStatus];

/** Most data of one message through a relay; frames have room for what else is in them. */
export const RELAY_MESSAGE_BYTES_MAX = 65_000;

/** How dns fared with the agent that it was to ask; see ExplainResponse. */
export const ExplainOutcome = { Explained: 0, NoSuchAgent: 1, AgentSilent: 2 } as const;

/** What an agent may do with a node, in {@linkcode MessageId.NodeUse}. */
export const NodeUseState = {
  /** It does not use the module. */
  Unknown: 0,
  /** It may still pick the node. */
  Picked: 1,
  /** It knows the node and picks it no more. */
  Draining: 2,
  /** It knows the module, and no such node. */
  Absent: 3,
} as const;

/** Any state of {@linkcode NodeUseState}. */
export type NodeUseState = (typeof NodeUseState)[keyof typeof NodeUseState];

/** Longest key of a keyed pick, in bytes; a longer one is not sent, and refused when it comes. */
export const PICK_KEY_BYTES_MAX = 256;

/** An agent listens on this many UDP ports in a row; a module always uses the same one. */
export const AGENT_PORT_COUNT = 3;

/** Ports used when the configuration names none; `agent` is the first of three. */
export const DEFAULT_PORTS = {
  dns: 7778,
  reporter: 7779,
  agent: 8888,
  console: 8080,
  discovery: 9527,
  relay: 2000,
} as const;

/**
 * Which of the agent's ports serves a module: (modid + cmdid) mod 3 of the signed numbers on the
 * wire, never negative. The original takes a plain C remainder here and reads outside its array
 * for ids from 2^31 up.
 *
 * @returns 0, 1 or 2, to be added to the agent's first port.
 */
export function agentPortIndex(modId: number, cmdId: number): number {
  const remainder = ((modId | 0) + (cmdId | 0)) % AGENT_PORT_COUNT;
  return remainder < 0 ? remainder + AGENT_PORT_COUNT : remainder;
}
