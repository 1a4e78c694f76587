// Core. The shape of every message inside our programs; both codecs share it.
//
// modId, cmdId, ip, port and caller are unsigned here (0 to 4294967295) and int32 on the wire. A
// port off the wire may be any such number: whoever uses it judges. Optional members are our
// extensions of the original messages; they are written only when given.

import type { ModuleKey } from "../model/module.ts";

/** A node. */
export interface HostInfo {
  /** IPv4 address as an unsigned number in host order: 192.168.1.177 is 3232235953. */
  ip: number;
  port: number;
  /** 0 to 10000; absent means 100. */
  weight?: number;
  /** Absent and empty mean the same. */
  zone?: string;
  /**
   * Of a route only: the node gets no new picks, but results of calls to it count. On the wire such
   * nodes are a list of their own, which old peers skip: to them the node is gone. When read, they
   * come after the others.
   */
  state?: "drain";
}

/** Messages 1 and 7: asks for the route of a module. */
export interface GetRouteRequest extends ModuleKey {
  /** Shared secret, towards an agent that wants one. */
  token?: Uint8Array;
}

/** Messages 2 and 8: the nodes of a module; none when there is no such module. */
export interface GetRouteResponse extends ModuleKey {
  hosts: HostInfo[];
  /** Version of the route table the answer comes from; at most 2^53 - 1. */
  revision?: number;
  /** JSON of the module's policy; absent: none. */
  policy?: string;
  /** Somebody means this route, however many nodes it lost. Absent: not known. */
  meant?: true;
  /** Changes of this module are marked when they are meant, so one without a mark is suspicious. */
  guarded?: true;
}

/** Results of one node. */
export interface HostCallResult {
  ip: number;
  port: number;
  /** Successful calls of the window. */
  succ: number;
  /** Failed calls of the window. */
  err: number;
  overload: boolean;
  /** Successful calls since the agent started; at most 2^53 - 1. */
  succTotal?: number;
  /** Failed calls since the agent started; at most 2^53 - 1. */
  errTotal?: number;
  /** Calls since the agent started whose time was told; at most 2^53 - 1. Absent: none. */
  timedTotal?: number;
  /** What those calls took together, in milliseconds; at most 2^53 - 1. */
  timeMsTotal?: number;
}

/** Message 3: results of the nodes of a module. */
export interface ReportStatusRequest extends ModuleKey {
  /** Address of the agent's host. */
  caller: number;
  results: HostCallResult[];
  /** Unix seconds. */
  ts: number;
}

/** Message 4: asks for one node. */
export interface GetHostRequest extends ModuleKey {
  /** 0 to 4294967295, wraps; comes back in the answer. */
  seq: number;
  token?: Uint8Array;
  /** Picks with one key go to one node where the policy says so; 1 to 256 bytes. */
  key?: Uint8Array;
}

/** Message 5: one node, or the reason why not. */
export interface GetHostResponse extends ModuleKey {
  seq: number;
  /** One of `RetCode`; any int32 when the peer is odd. */
  retcode: number;
  /** Present when `retcode` is 0. */
  host?: HostInfo;
}

/** Message 6: the outcome of one call. */
export interface ReportRequest extends ModuleKey {
  /** 0.0.0.0:0 when the peer left it out. */
  host: HostInfo;
  /** 0 for success; anything else, negative too, is a failure. */
  retcode: number;
  /** Time the call took, in milliseconds; absent: not known, which 0 does not mean. */
  timecostMs?: number;
  token?: Uint8Array;
}

/** Message 64: says that the sender speaks the extensions. */
export interface Hello {
  /** Version of the extensions: 1. */
  protocol: number;
  /** For instance `lars/0.1.0 deno/2.9.6`. */
  software: string;
  /** dns, reporter, agent, tool. */
  role: string;
  /** Set by a server that wants a HelloProof. */
  nonce?: Uint8Array;
  /** JSON of counters, in an agent's answer over UDP. */
  status?: string;
}

/** Message 65: one piece of a route. */
export interface RoutePart extends ModuleKey {
  hosts: HostInfo[];
  /** Counted from 0. */
  part: number;
  partCount: number;
  /** At most 2^53 - 1. */
  revision?: number;
  /** As in {@linkcode GetRouteResponse}; in every part. */
  policy?: string;
  /** As in {@linkcode GetRouteResponse}; in every part. */
  meant?: true;
  /** As in {@linkcode GetRouteResponse}; in every part. */
  guarded?: true;
}

/** Message 66. */
export interface Ping {
  seq: number;
  /** Newest revision of the routes that came over this connection; absent: none came. */
  revision?: number;
}

/** Message 67: has the seq of the Ping it answers. */
export interface Pong {
  seq: number;
}

/** Message 68: these modules have changed in the database; none named: look at all. */
export interface RouteChanged {
  modules: ModuleKey[];
}

/** Message 69: HMAC-SHA256 of the nonce, keyed with the shared token. */
export interface HelloProof {
  mac: Uint8Array;
}

/** Message 70: asks for a route, now and after each change. */
export interface TableSubscribe extends ModuleKey {
  /** True: the route is wanted no more. */
  end: boolean;
}

/** Message 78: by what rules an agent judges, and where it stands. */
export interface TableSettings {
  /** JSON: the numbers of `[loadbalance]`, under the names of `BalanceSettings`. */
  rules: string;
  /** Zone of the agent; "" = none. */
  zone: string;
}

/** Calls of one node since the batch before. */
export interface NodeCalls {
  ip: number;
  port: number;
  succ: number;
  err: number;
  /** What the failures count in the rules; see `failureWeight` of the balancer. */
  errWeight: number;
  /** Successes in a row at the end of the batch; 0 when the last call failed. */
  continSucc: number;
  /** Failures in a row at the end of the batch; 0 when the last call went well. */
  continErr: number;
  /** Of `err`: calls that the node turned away because it is overloaded. */
  errPushback: number;
  /** Of `err`: calls whose connection was refused or lost. */
  errRefused: number;
  /** Of `err`: calls that were given up. */
  errTimeout: number;
  /** Calls whose time was told. */
  timed: number;
  /** What those calls took together, in milliseconds; at most 2^53 - 1. */
  timeMs: number;
}

/** Calls of one module. */
export interface ModuleCalls extends ModuleKey {
  nodes: NodeCalls[];
}

/** Message 71: the outcomes of calls since the batch before. */
export interface CallReports {
  /** Number of the client, by chance; at most 2^53 - 1. */
  session: number;
  /** Number of the batch, from 1. */
  seq: number;
  modules: ModuleCalls[];
}

/** Message 72: the batch with this number is counted. */
export interface CallReportsTaken {
  seq: number;
}

/** Message 73: asks how a node is used, by the agents of a dns or by one agent. */
export interface NodeUseRequest extends ModuleKey {
  /** Comes back in the answer. */
  seq: number;
  ip: number;
  port: number;
}

/** How one agent uses a node. */
export interface NodeUsage {
  /** One of `NodeUseState`. */
  state: number;
  /** Milliseconds since it was last picked, or a result of it came; absent: not known. */
  idleMs?: number;
  /** In-process clients that have the route from this agent. */
  clients: number;
}

/** Message 74: how the agent uses the node asked for. */
export interface NodeUse extends NodeUsage {
  seq: number;
}

/** One agent in message 75. */
export interface AgentUse extends NodeUsage {
  /** `host:port` of its connection to dns. */
  agent: string;
  /** True: it did not answer in time, and nothing else is known of it. */
  silent: boolean;
}

/** Message 75: how the agents of one dns use a node. */
export interface NodeUseReport {
  seq: number;
  agents: AgentUse[];
  /** Peers of the original protocol that are subscribed to the module; they cannot be asked. */
  plain: number;
  /** True: there are more agents than fit. */
  cut: boolean;
}

/** Message 76: asks why which node of a module is picked. */
export interface ExplainRequest extends ModuleKey {
  seq: number;
  /** First node wanted, counted from 0. */
  from: number;
  token?: Uint8Array;
}

/** Message 77. */
export interface ExplainResponse extends ModuleKey {
  seq: number;
  from: number;
  /** JSON; "": the agent does not know the module. */
  explanation: string;
}

/** Message 79: who an agent is and how it does. */
export interface AgentStatus {
  /** Address of its host; with `port` its name in the console. */
  ip: number;
  /** The first of its UDP ports. */
  port: number;
  /** "" = none. */
  zone: string;
  /** In unix seconds, by its own clock. */
  startedAt: number;
  /** Modules that callers asked it for. */
  modules: number;
  /** Modules of which it holds a change back. */
  held: number;
  /** The first of them, for people: `1,2: 0 of 3 nodes, 12 s`; "" = none. */
  heldRoutes: string;
  /** Policies it has refused since the start. */
  policiesRefused: number;
  reporterConnected: boolean;
}
