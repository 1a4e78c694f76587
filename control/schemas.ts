// Core. The shapes and types of everything that services take and give, and the REST interface with them.

import * as z from "zod";
import {
  LEASE_CHECK_LENGTH_MAX,
  LEASE_PHASES,
  LEASE_TTL_MS_MAX,
  LEASE_TTL_MS_MIN,
} from "../model/lease.ts";
import { MODULE_NAME_LENGTH_MAX, MODULE_POLICY_BYTES_MAX, UINT32_MAX } from "../model/module.ts";
import { PORT_MAX } from "../model/node.ts";

/** Longest name of a module, zone, user, token, rule or webhook, in characters. */
export const NAME_LENGTH_MAX = 64;
/** Longest reason given for a change, in characters. */
export const WHY_LENGTH_MAX = 500;
/** Most rows one page of a list holds. */
export const PAGE_ROWS_MAX = 500;
/** Fewest and most characters of a password. */
export const PASSWORD_LENGTH_MIN = 12;
export const PASSWORD_LENGTH_MAX = 200;
/** Most nodes of one explanation. */
export const EXPLAIN_NODES_MAX = 100_000;
/** Most modules that one question about a node may name. */
export const NODE_MODULES_MAX = 100;
/** Registrations that one request renews. */
export const LEASE_BEATS_MAX = 500;
/** Edits in one change or preview through the REST interface. */
export const CHANGE_EDITS_MAX = 20_000;

const count = z.int().min(0);
const share = z.number().min(0).max(1);
/** An instant, in milliseconds since 1970. */
const instantMs = z.int().min(0).max(8_640_000_000_000_000);

/** Text for people on one line: no control characters, no lone halves of a character. */
function line(lengthMax: number, lengthMin = 0): z.ZodString {
  return z.string().min(lengthMin).max(lengthMax)
    // deno-lint-ignore no-control-regex
    .regex(/^[^\u0000-\u001f\u007f\u2028\u2029]*$/, "must be one line of printable characters")
    .refine((text) => text.isWellFormed(), "must be well-formed Unicode");
}

/** A number as it stands in an address or a query: digits only. */
function digits(min: number, max: number): z.ZodType<number, string> {
  return z.string().regex(/^\d{1,16}$/, `must be a whole number from ${min} to ${max}`)
    .transform(Number).pipe(z.int().min(min).max(max));
}

/** Why a change is made; kept in the history. */
export const why = line(WHY_LENGTH_MAX).describe("why the change is made; kept in the history");
export const modId = z.int().min(0).max(UINT32_MAX);
export const cmdId = z.int().min(0).max(UINT32_MAX);
export const weight = z.int().min(0).max(10_000).describe("share of the calls, default 100");
export const zone = z.string().max(NAME_LENGTH_MAX)
  .regex(/^[A-Za-z0-9._-]*$/, "must be letters, digits, dots, dashes or underscores");
export const nodeState = z.enum(["on", "drain", "off"]);
export const ip = z.ipv4().refine((text) => text !== "0.0.0.0", "must name a machine");
export const port = z.int().min(1).max(PORT_MAX);
/** Name of a user, also part of addresses. */
export const userName = z.string().min(1).max(NAME_LENGTH_MAX)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@-]*$/, "must be letters, digits, dots, dashes, @ or _");
export const role = z.enum(["viewer", "operator", "admin"]);
/** What a token may do. */
export const tokenRole = z.enum(["registrar", "viewer", "operator", "admin"])
  .describe("registrar: registers nodes and nothing else");
export const password = z.string().min(PASSWORD_LENGTH_MIN).max(PASSWORD_LENGTH_MAX);
export const title = line(NAME_LENGTH_MAX, 1);

/** What callers ask a node of. */
export const ModuleKeyShape = z.strictObject({ modId, cmdId });

/** `ip:port` of a node; the port may be any number, as other programs have stored such. */
const nodeText = z.string().regex(
  /^(25[0-5]|2[0-4]\d|[01]?\d?\d)(\.(25[0-5]|2[0-4]\d|[01]?\d?\d)){3}:\d{1,10}$/,
  "must look like 10.0.0.1:7777",
).refine(
  (text) => Number(text.slice(text.indexOf(":") + 1)) <= UINT32_MAX,
  `must have a port of at most ${UINT32_MAX}`,
);
/** Parts of paths by their names. */
export const pathParts = {
  modId: digits(0, UINT32_MAX),
  cmdId: digits(0, UINT32_MAX),
  node: nodeText,
  id: digits(1, Number.MAX_SAFE_INTEGER),
  name: userName,
  /** Of an agent. */
  address: line(128, 1),
  /** `host:port` of a relay, as the console was told it. */
  relay: line(128, 1),
  /** Number of a client at its relay. */
  sid: digits(1, 0x7fff_ffff),
};
/** The parts that name a module. */
export const ModuleParams = z.strictObject({ modId: pathParts.modId, cmdId: pathParts.cmdId });

/** Query parts shared by lists that go back in time: newest first, `before` is the last id seen. */
export const BackQuery = {
  before: digits(1, Number.MAX_SAFE_INTEGER).optional().describe("give older ones than this id"),
  limit: digits(1, PAGE_ROWS_MAX).optional().describe("rows of a page, default 100"),
};
const ModuleFilter = {
  modId: digits(0, UINT32_MAX).optional(),
  cmdId: digits(0, UINT32_MAX).optional(),
};
export const whyQuery = z.strictObject({ why: why.optional() });

/**
 * How a module does: `ok`; `degraded`: a node is kept out by somebody, or the error share is high;
 * `down`: every node that could be called is kept out, or none can be; `idle`: no calls within the
 * last minute; `empty`: no nodes.
 */
export const moduleHealth = z.enum(["ok", "degraded", "down", "idle", "empty"]);

/**
 * How a node does: `partial` is kept out by some callers, `overload` by all that report; `failing`
 * is in use while many of its calls fail.
 */
export const nodeHealth = z.enum(["ok", "partial", "overload", "failing", "idle"]);

/** How bad it is, and since when. */
const troubleFields = {
  severity: z.enum(["warning", "critical"]).nullable()
    .describe("how bad that is, the worst of the last 10 s; null: it is not"),
  troubleSinceMs: instantMs.nullable()
    .describe("since when it has been so bad; null: it is not, or was before the console looked"),
};

/** Calls of the last seconds. `errorShare` is 0 without calls. */
const rates = { callsPerSecond: z.number().min(0), errorShare: share };
/** Callers of the last seconds that asked for a node and got none. */
const refusals = {
  refusedPerSecond: z.number().min(0).describe("callers that asked for a node and got none"),
  refusedShare: share.describe("of all that asked: those that got a node called it"),
};
/** Why callers got no node. */
const refusedCauses = {
  overload: z.number().min(0).describe("too few nodes were well"),
  unusable: z.number().min(0).describe("no node may be called: drained, off, weight 0"),
  noNode: z.number().min(0).describe("the module has no nodes"),
  noRoute: z.number().min(0).describe("the agent did not know the route yet"),
};

/** One row of the list of modules. */
export const ModuleSummaryShape = z.strictObject({
  modId,
  cmdId,
  name: z.string().describe("empty when none was given"),
  policy: z.string().describe("name of the balancing policy in force; lars unless another is set"),
  health: moduleHealth,
  ...troubleFields,
  nodeCount: count,
  onCount: count.describe("nodes that may get calls: state on, and a weight"),
  overloadCount: count.describe("nodes that at least one caller keeps out"),
  ...rates,
  ...refusals,
});

/** A node as stored. */
export const NodeValuesShape = z.strictObject({
  ip: z.string(),
  port: count.describe("1 to 65535 unless another program wrote the row"),
  weight,
  zone: z.string(),
  state: nodeState,
});

/** A node with how it does. */
export const NodeStatusShape = z.strictObject({
  ...NodeValuesShape.shape,
  health: nodeHealth,
  wantedShare: share.describe("share of the calls it is to get while all nodes are well"),
  ...troubleFields,
  ...rates,
  callerCount: count.describe("callers that reported on it lately"),
  overloadCallerCount: count.describe("callers that keep it out"),
  reportedAtMs: instantMs.nullable().describe("last report"),
  copies: z.int().min(2).optional()
    .describe("rows that name the node, when foreign hands stored several; the last one counts"),
  sparkline: z.array(z.number().min(0).nullable()).describe(
    "calls/s of the last minutes, one value for each 10 s, oldest first; null where unknown",
  ),
});

/** A module with its nodes. */
export const ModuleDetail = z.strictObject({
  ...ModuleSummaryShape.shape,
  policyText: z.string().describe("JSON text as stored; empty: the rules of the agents' files"),
  refusedBy: z.strictObject(refusedCauses).describe("refusedPerSecond by cause"),
  /** Changes with every change of name, policy or nodes; the ETag without its quotes. */
  revision: z.string(),
  nodes: z.array(NodeStatusShape),
});

export const ModuleListQuery = z.strictObject({
  search: line(NAME_LENGTH_MAX).optional().describe("part of name, numbers, or address of a node"),
  health: moduleHealth.optional(),
  sort: z.enum(["trouble", "id", "name", "calls", "errors", "nodes"]).optional()
    .describe("default trouble: worst first"),
  offset: digits(0, 1_000_000).optional(),
  limit: digits(1, PAGE_ROWS_MAX).optional().describe("default 100"),
});
export const ModuleListShape = z.strictObject({
  /** Modules that match, of which `modules` is a page. */
  total: count,
  modules: z.array(ModuleSummaryShape),
});

export const SearchQuery = z.strictObject({
  q: line(NAME_LENGTH_MAX, 1),
  limit: digits(1, 50).optional().describe("default 20"),
});
export const SearchResult = z.strictObject({
  hits: z.array(z.strictObject({
    kind: z.enum(["module", "node", "host"]),
    /** What to show: name and numbers, or the address. */
    text: z.string(),
    /** Module to open; for a host the first of its modules. */
    modId,
    cmdId,
    node: z.string().nullable().describe("ip:port, for a node"),
    moduleCount: count.describe("for a host: modules that have nodes on it"),
  })),
});

const moduleTexts = {
  name: line(MODULE_NAME_LENGTH_MAX).describe("empty takes the name away"),
  policy: z.string().max(MODULE_POLICY_BYTES_MAX)
    .describe("JSON object with policy and settings, see GET /policies; empty: the defaults"),
};
/** Name and policy of a module. What is left out stays. */
export const ModuleInput = z.strictObject({
  name: moduleTexts.name.optional(),
  policy: moduleTexts.policy.optional(),
  why: why.optional(),
}).refine(
  (input) => input.name !== undefined || input.policy !== undefined,
  "must hold name or policy",
);
/** Names and policies alone, of every module that has one. */
export const ModuleTextsQuery = z.strictObject(ModuleFilter);
export const ModuleTextsList = z.strictObject({
  modules: z.array(z.strictObject({
    modId,
    cmdId,
    name: z.string(),
    policy: z.string().describe("JSON text as stored"),
    updatedAtMs: instantMs,
  })),
});
/** What a policy can be made of. */
export const PolicyList = z.strictObject({
  policies: z.array(z.string()).describe("what `policy` may be, presets first"),
  presets: z.array(z.strictObject({
    name: z.string(),
    policy: z.string().describe("how it picks"),
    settings: z.record(z.string(), z.unknown())
      .describe("its values of settings, in the place of `initial`"),
  })),
  settings: z.array(z.strictObject({
    name: z.string(),
    kind: z.enum(["number", "whole", "flag", "choice", "choices", "zones", "shares"]),
    min: z.number().nullable(),
    max: z.number().nullable(),
    unit: z.string(),
    choices: z.array(z.string()),
    initial: z.unknown().describe("value when left out; null: the agent's file decides"),
    agentDefault: z.number().nullable()
      .describe("where initial is null: what an agent takes whose file says nothing"),
    group: z.string(),
    meaning: z.string(),
  })),
  groups: z.array(z.strictObject({ name: z.string(), title: z.string() }))
    .describe("of settings, in the order for people"),
  faults: z.array(z.strictObject({ name: z.string(), about: z.string() }))
    .describe("that the simulator knows"),
  abouts: z.array(z.strictObject({
    name: z.string(),
    about: z.string(),
    outcomes: z.array(z.strictObject({
      lost: z.number().describe("calls that failed or were refused, in per cent"),
      refused: z.number().describe("of those, refused"),
      p99Ms: z.number(),
    })).describe("in the order of faults"),
  })).describe("of every policy and preset"),
});

/** Why an agent picks which node of a module. */
export const ExplainQuery = z.strictObject({
  limit: digits(1, EXPLAIN_NODES_MAX).optional().describe("nodes that are shown, default 500"),
  agent: pathParts.address.optional().describe(
    "name of the agent, as GET /agents has it, or its host alone; default: that of the console's host",
  ),
});
export const Explanation = z.strictObject({
  agent: z.string().describe("the agent that was asked"),
  routeState: z.string().describe("ready, pulling, empty; unknown: no caller asked this agent"),
  ageMs: z.number().min(0).nullable().describe("age of its route; null: from its cache"),
  hasNodes: z.boolean().describe("false while it has had no node: all that follows says nothing"),
  policy: z.string(),
  settings: z.record(z.string(), z.unknown()).describe("those that differ from their defaults"),
  mode: z.string().describe("normal, or what it does while too few nodes are usable"),
  modeReason: z.string(),
  modeSinceMs: z.number().nullable().describe("for how long; null: it never changed"),
  zones: z.array(z.strictObject({
    zone: z.string(),
    own: z.boolean().describe("the zone of the agent"),
    evacuated: z.boolean(),
    usableNodes: count,
    healthShare: share.describe("share of the weight of all usable nodes"),
    share: share.describe("share of the calls"),
  })).describe("empty where zones do not matter"),
  picksRemembered: count.describe("pickShare is of so many; counted from the first question on"),
  nodes: z.array(z.strictObject({
    node: z.string(),
    zone: z.string(),
    weight: z.number(),
    pickWeight: z.number().describe("weight it is picked by now"),
    condition: z.string().describe("idle: in use; overload, held, resting, ramping, drain, off"),
    sinceMs: z.number().describe("how long it has been so"),
    reason: z.string(),
    vsucc: count.describe("counts of its window or state, as the rules use them"),
    verr: count,
    rsucc: count,
    rerr: count,
    continSucc: count,
    continErr: count,
    succTotal: count,
    errTotal: count,
    ejections: z.number().min(0).describe("times it went out, less those that decayed"),
    callsUnderWay: count.describe("0 where calls are not followed"),
    meanMs: z.number().min(0).describe("mean call time; 0 when nobody reported one"),
    expectedShare: share.nullable().describe("share of the calls it is to get; null: older agent"),
    pickShare: share.nullable().describe("share of the remembered picks; null: none"),
  })).describe("the first ones, as many as were asked for"),
  nodeCount: count,
  decisions: z.array(z.strictObject({
    agoMs: z.number().min(0),
    node: z.string().nullable(),
    became: z.string(),
    reason: z.string(),
  })),
});

export const NodeInput = z.strictObject({
  ip,
  port,
  weight: weight.optional(),
  zone: zone.optional(),
  state: nodeState.optional(),
  why: why.optional(),
});
export const NodePatch = z.strictObject({
  weight: weight.optional(),
  zone: zone.optional(),
  state: nodeState.optional(),
  why: why.optional(),
}).refine(
  (patch) => patch.weight !== undefined || patch.zone !== undefined || patch.state !== undefined,
  "must hold weight, zone or state",
);
export const WhyBody = z.strictObject({ why: why.optional() });

/** How one dns took the news of a change. */
export const Told = z.strictObject({
  address: z.string(),
  told: z.boolean(),
  fault: z.string().nullable(),
  tookMs: z.number().min(0),
});

/** What a write did. */
export const ChangeResult = z.strictObject({
  /** Id in the change history; null when everything was so already and nothing was written. */
  changeId: count.nullable(),
  version: count.describe("route version afterwards"),
  changed: z.array(ModuleKeyShape).describe("modules that differ now"),
  told: z.array(Told).describe("dns instances; one that was not told sees the change at its poll"),
  emptied: z.array(z.strictObject({ modId, cmdId, name: z.string() }))
    .describe("modules that this left without a node that takes calls"),
  returned: z.array(z.strictObject({ modId, cmdId, name: z.string(), zones: z.array(z.string()) }))
    .describe("modules whose calls go back to evacuated zones, as no other node takes calls"),
  /** New revision of the module that was written; null for changes of several modules. */
  revision: z.string().nullable(),
});

const editKey = { modId, cmdId, ip, port };
const editValues = {
  weight: weight.optional(),
  zone: zone.optional(),
  state: nodeState.optional(),
};
/** One wish of an editor. */
export const ClientEdit = z.discriminatedUnion("op", [
  z.strictObject({ op: z.literal("add"), ...editKey, ...editValues }),
  z.strictObject({ op: z.literal("set"), ...editKey, ...editValues }),
  z.strictObject({ op: z.literal("remove"), ...editKey, port: z.int().min(0).max(UINT32_MAX) }),
  z.strictObject({
    op: z.literal("module"),
    modId,
    cmdId,
    name: moduleTexts.name.optional(),
    policy: moduleTexts.policy.optional(),
  }).describe("names a module or chooses its policy"),
]);
export const ChangeInput = z.strictObject({
  edits: z.array(ClientEdit).min(1).max(CHANGE_EDITS_MAX),
  why: why.optional(),
  meant: z.boolean().optional().describe(
    "default true: agents take it at once; false: they hold back what takes more than half of a " +
      "module's nodes away",
  ),
  expect: z.string().max(64).optional()
    .describe("fingerprint of a preview: refused with 412 when the modules changed since"),
});
export const PreviewInput = z.strictObject({
  edits: z.array(ClientEdit).min(1).max(CHANGE_EDITS_MAX),
});
export const ImportInput = z.strictObject({
  format: z.enum(["csv", "json"]),
  text: z.string().max(8_000_000).describe("the file"),
  prune: z.boolean().optional().describe("remove nodes that the file lacks; default false"),
  why: why.optional(),
  expect: ChangeInput.shape.expect,
});
export const ExportQuery = z.strictObject({
  format: z.enum(["csv", "json"]).optional().describe("default csv"),
  ...ModuleFilter,
});

/** A node before and after a change; null where it does not exist. */
export const NodeDifferenceView = z.strictObject({
  modId,
  cmdId,
  ip: z.string(),
  port: count,
  before: NodeValuesShape.omit({ ip: true, port: true }).nullable(),
  after: NodeValuesShape.omit({ ip: true, port: true }).nullable(),
});
const ModuleTexts = z.strictObject({ name: z.string(), policy: z.string() });
/** Name and policy of a module before and after; empty where nothing was stored. */
export const ModuleDifferenceShape = z.strictObject({
  modId,
  cmdId,
  before: ModuleTexts,
  after: ModuleTexts,
});

/** Whose calls go elsewhere: share of a module's calls by weight, before and after. */
export const TrafficShift = z.strictObject({
  modId,
  cmdId,
  name: z.string(),
  callsPerSecond: z.number().min(0),
  /** Share of the module's calls that go to another node than before, 0 to 1. */
  movedShare: share,
  /** True when no node that may be called is left. */
  emptied: z.boolean(),
  callers: z.array(z.string()).describe("hosts that called it lately, at most 20"),
  callerCount: count,
  nodes: z.array(z.strictObject({ node: z.string(), before: share, after: share }))
    .describe("nodes whose share differs, largest difference first, at most 50"),
});
export const ChangePreview = z.strictObject({
  fingerprint: z.string().describe("send it as expect, so that only what was seen is applied"),
  nodes: z.array(NodeDifferenceView),
  modules: z.array(ModuleDifferenceShape),
  unchangedCount: count.describe("edits, or rows of the file, that are so already"),
  traffic: z.array(TrafficShift),
  warnings: z.array(z.string()),
});

/** One entry of the change history. */
export const ChangeSummaryShape = z.strictObject({
  id: count,
  atMs: instantMs,
  who: z.string(),
  via: z.enum(["console", "token", "command", "import", "rollback"]),
  why: z.string(),
  summary: z.string().describe("what was done, one line"),
  modules: z.array(ModuleKeyShape).describe("at most 20"),
  moduleCount: count,
  nodeCount: count,
  /** Id of the change that this one undoes. */
  undoes: count.nullable(),
  /** Id of the change that undid this one. */
  undoneBy: count.nullable(),
});
export const ChangeDetailShape = z.strictObject({
  ...ChangeSummaryShape.shape,
  nodes: z.array(NodeDifferenceView),
  moduleTexts: z.array(ModuleDifferenceShape),
});
export const ChangeListQuery = z.strictObject({
  ...BackQuery,
  ...ModuleFilter,
  who: userName.optional(),
});
export const ChangeList = z.strictObject({ changes: z.array(ChangeSummaryShape) });
export const RollbackInput = z.strictObject({
  why: why.optional(),
  expect: ChangeInput.shape.expect,
});

/** A dns, reporter or agent. */
export const ServiceView = z.strictObject({
  kind: z.string(),
  address: z.string(),
  software: z.string(),
  startedAtMs: instantMs,
  seenAtMs: instantMs,
  isSilent: z.boolean().describe("no sign of life for 30 s"),
  /** Route version it works with; null when it does not say. */
  revision: count.nullable(),
  /** For how long it has been behind the database, in seconds; null when it does not say. */
  revisionLag: count.nullable(),
  detail: z.record(z.string(), z.union([z.number(), z.string()])),
});
export const ServiceListQuery = z.strictObject({
  kind: z.enum(["dns", "reporter", "agent", "server"]).optional()
    .describe("server: dns and reporter"),
  offset: digits(0, 1_000_000).optional(),
  limit: digits(1, PAGE_ROWS_MAX).optional().describe("default 200"),
});
export const ServiceListShape = z.strictObject({
  total: count,
  services: z.array(ServiceView).describe("dns and reporter first"),
});

/** An agent, as the dns it was linked to last knows it. */
export const AgentRow = z.strictObject({
  ...ServiceView.shape,
  state: z.enum(["silent", "holding", "behind", "ok"])
    .describe("holding: keeps a change of a route back; behind: lacks a change, or has no dns"),
});
export const AgentListQuery = z.strictObject({
  search: z.string().max(NAME_LENGTH_MAX).optional()
    .describe("begin of its address, its zone, or the address of its dns"),
  state: AgentRow.shape.state.optional(),
  offset: digits(0, 1_000_000).optional(),
  limit: digits(1, PAGE_ROWS_MAX).optional().describe("default 100"),
});
export const AgentCountsShape = z.strictObject({
  all: count,
  silent: count,
  holding: count,
  behind: count,
  ok: count,
});
export const AgentListShape = z.strictObject({
  total: count,
  counts: AgentCountsShape,
  plainConnections: count
    .describe("connections to dns of programs that tell nothing: agents of the original, mostly"),
  agents: z.array(AgentRow).describe("worst first"),
});

/** Those who follow routes by one way, at one place. */
export const FollowerRow = z.strictObject({
  way: z.string().describe(
    "agents, in-process, table, plain (nothing is known of them); of an export: xds, names, " +
      "haproxy, agent-check, nginx, file",
  ),
  through: z.string().describe(
    "the dns, agent or export that they follow; agents: all of them, or those not named",
  ),
  at: z.string().describe("where it listens, or what it writes; empty: see through"),
  followers: count.nullable().describe(
    "table: programs that had calls in the last minute; null: nobody tells",
  ),
  behind: count.nullable().describe("of them, those without the latest; null: not known"),
  behindMs: count.nullable().describe("for how long the first of these"),
  revision: count.nullable().describe("route version they have; of several the oldest"),
  lagSeconds: count.nullable().describe("for how long that has been behind the database"),
  fault: z.string().nullable(),
  seenAtMs: instantMs.nullable(),
  isSilent: z.boolean().describe("no sign of life of the export for 30 s"),
});
export const FollowerListShape = z.strictObject({
  version: count.describe("newest route version"),
  followers: z.array(FollowerRow),
});

const rate = z.number().min(0).nullable().describe("null: not known yet");

/** Messages of one kind that a relay did not bring to whom they were for, by one reason. */
export const RelayDropShape = z.strictObject({
  what: z.string().describe(
    "requests, replies (of workers), transits (of clients of the original), messages (from " +
      "client to client), mail (those that are kept)",
  ),
  reason: z.string().describe("expired: its time was over; the others as the metrics have them"),
  count: count.describe("since the relay started"),
  perSecond: rate,
});
/** What a relay has and does now. */
export const RelayFactsShape = z.strictObject({
  clients: count,
  originals: count.describe("of them, those of the original"),
  webSockets: count.describe("connections that are WebSockets"),
  names: count.describe("clients that have names"),
  workers: count,
  running: count.describe("requests that workers have"),
  waiting: count.describe("requests that wait for a worker"),
  waitingBytes: count,
  oldestMs: count.describe("for how long the oldest of these has waited; 0: none waits"),
  requestsPerSecond: rate,
  answersPerSecond: rate,
  messagesPerSecond: rate,
  timedOut: count.describe("requests without an answer in time"),
  lostWithWorkers: count.describe("requests whose worker went away with them"),
  mailWaiting: count.nullable().describe("messages that are kept; null: it keeps none"),
  mailShare: z.number().min(0).nullable()
    .describe("of what may be kept, in messages or bytes; null: it keeps none"),
  isCutOff: z.boolean().describe("it has others, and reaches none of their NATS servers"),
  drops: z.array(RelayDropShape).describe("what happens now first"),
});
export const RelayRowShape = z.strictObject({
  relay: z.string().describe("host:port"),
  fault: z.string().nullable().describe("why it does not answer"),
  facts: RelayFactsShape.nullable(),
});
export const RelayListShape = z.strictObject({ relays: z.array(RelayRowShape) });
export const RelayClientListShape = z.strictObject({
  total: count,
  clients: z.array(z.strictObject({
    sid: count.describe("its number at the relay"),
    name: z.string().describe("empty: it has none"),
    from: z.string(),
    kind: z.string().describe(
      "session: one of ours; original; relay: another one, for its clients",
    ),
    requests: count.describe("without an answer"),
    waitingBytes: count.describe("of those that wait for a worker"),
  })).describe("the first 250"),
});
export const RelayWorkerListShape = z.strictObject({
  total: count,
  workers: z.array(z.strictObject({
    from: z.string(),
    modules: z.array(ModuleKeyShape).describe("the first five"),
    credit: count.describe("requests it may still be given"),
    running: count,
    answered: count,
  })).describe("the first 250"),
});
export const RelayQueueListShape = z.strictObject({
  total: count,
  queues: z.array(z.strictObject({
    modId,
    cmdId,
    workers: count,
    waiting: count,
    waitingBytes: count,
    oldestMs: count,
  })).describe("the 250 longest, longest first"),
});
export const RelayMailShape = z.strictObject({
  waiting: count,
  waitingBytes: count,
  oldestSentAtMs: instantMs.nullable(),
  boxes: z.array(z.strictObject({ name: z.string(), waiting: count, waitingBytes: count }))
    .describe("the 250 fullest"),
});

/** Which modules of a node are meant. */
const ofModules = z.string().max(2400).regex(
  /^\d{1,10}\/\d{1,10}(,\d{1,10}\/\d{1,10})*$/,
  "must look like 1/1,1/2",
).transform((text) =>
  text.split(",").map((one) => {
    const [modId, cmdId] = one.split("/").map(Number);
    return { modId, cmdId };
  })
).pipe(z.array(ModuleKeyShape).max(NODE_MODULES_MAX));
export const NodeUseQueryShape = z.strictObject({
  modules: ofModules.optional()
    .describe("such as 1/1,1/2; left out: every module that has the node, at most 100"),
});
/** How the agents use a node, as every dns that signed in says. */
export const NodeUseAnswers = z.strictObject({
  dnsCount: count.describe("dns instances that were asked; 0: nobody can say"),
  answers: z.array(z.strictObject({
    dns: z.string(),
    modId,
    cmdId,
    report: z.strictObject({
      agents: z.array(z.strictObject({
        agent: z.string().describe("host:port of its connection to dns"),
        name: z.string().nullable().describe(
          "host and first port of the agent, as GET /agents has it; null: it has not told",
        ),
        state: z.enum(["unknown", "picked", "draining", "absent"]).describe(
          "unknown: it does not use the module; picked: it may still pick the node; draining: it " +
            "knows the node and picks it no more; absent: it knows no such node",
        ),
        isSilent: z.boolean().describe("it did not answer in time: the rest says nothing"),
        idleMs: z.number().min(0).nullable()
          .describe("since it was last picked, or a result of it came; null: not known"),
        clientCount: count.describe("in-process clients that have the route from this agent"),
      })),
      plainCount: count.describe("peers of the original, which cannot be asked"),
      isCut: z.boolean().describe("true: there are more agents than fit"),
    }).nullable().describe("null: this dns did not answer in time"),
  })),
  unlinked: z.array(z.strictObject({
    name: z.string(),
    seenS: count.describe("since a dns heard of it last, in seconds"),
  })).describe(
    "agents that were linked to a dns within the last ten minutes and reported calls of the " +
      "modules, and that no dns can ask now: they may still use the node; at most 100",
  ),
});
export const NodeCallersQuery = z.strictObject({
  ...NodeUseQueryShape.shape,
  withinS: digits(0, 86_400).optional().describe("default 60"),
});
/** Who has reported calls of a node lately. */
export const NodeCallers = z.strictObject({
  callers: z.array(z.strictObject({ modId, cmdId, host: z.string(), calls: count }))
    .describe("at most 100"),
  callerCount: count,
});

/** Something that is wrong now. */
export const ProblemShape = z.strictObject({
  key: z.string().describe("what it is about; stays the same while its text changes"),
  severity: z.enum(["warning", "critical"]),
  text: z.string(),
  modId: modId.nullable(),
  cmdId: cmdId.nullable(),
  node: z.string().nullable(),
  sinceMs: instantMs.nullable(),
});
export const Overview = z.strictObject({
  atMs: instantMs.describe("when the database was read"),
  isStale: z.boolean().describe("the database did not answer: these are the last known values"),
  version: count.describe("route version"),
  moduleCount: count,
  nodeCount: count,
  health: z.strictObject({ ok: count, degraded: count, down: count, idle: count, empty: count }),
  ...rates,
  ...refusals,
  callerCount: count,
  services: z.strictObject({
    dns: count,
    reporter: count,
    agent: count,
    silent: count.describe("of dns and reporters"),
  }).describe("those that are alive, and those that are not"),
  agents: AgentCountsShape,
  firingCount: count.describe("alerts that fire and are not silenced"),
  problems: z.array(ProblemShape).describe("worst first, at most 50"),
  problemCount: count,
  worst: z.array(ModuleSummaryShape).describe("modules in trouble, worst first, at most 20"),
  busiest: z.array(ModuleSummaryShape).describe("modules with the most calls, at most 5"),
});

/** The state of the system for scripts; the pages use {@linkcode Overview}. */
export const StatusShape = z.strictObject({
  software: z.string(),
  store: z.strictObject({
    label: z.string(),
    isUp: z.boolean(),
    schemaVersion: count,
    fault: z.string().nullable(),
  }),
  overview: Overview,
  services: z.array(ServiceView).describe("of agents the worst 100"),
});

/** What a few minutes of history say. */
const recentCalls = {
  calls: count,
  errors: count.describe("of which failed"),
  meanMs: z.number().min(0).nullable()
    .describe("mean time of those calls whose time callers told; null where they told none"),
  refused: count.describe("callers that asked for a node and got none; 0 for a node"),
};

/** What the database holds, in numbers. */
export const StoreFacts = z.strictObject({
  label: z.string().describe("address of the database, without its password"),
  schemaVersion: count,
  moduleCount: count.describe("modules that have nodes, a name or a policy"),
  nodeCount: count,
  version: count.describe("route version"),
  hidden: z.array(z.string()).optional()
    .describe("tables of the console on which its account has no right at all"),
});

/** An event with all that is known of it. */
const eventFields = {
  id: count,
  atMs: instantMs,
  kind: z.string().describe("a word such as node.overload or alert.firing"),
  severity: z.enum(["info", "warning", "critical"]),
  modId: modId.nullable(),
  cmdId: cmdId.nullable(),
  node: z.string().nullable(),
  host: z.string().nullable().describe("address of the host that saw it"),
  text: z.string(),
  detail: z.record(z.string(), z.unknown()).optional()
    .describe("values for programs, when they were asked for"),
};

/** What `lars status` shows. */
export const Report = z.strictObject({
  atMs: instantMs,
  store: StoreFacts,
  services: z.array(z.strictObject({
    kind: z.string(),
    address: z.string(),
    software: z.string(),
    startedAtMs: instantMs,
    seenAtMs: instantMs,
    isAlive: z.boolean().describe("it gave a sign of life within 30 s"),
    detail: z.record(z.string(), z.union([z.number(), z.string()])),
  })).describe("dns and reporters"),
  agents: z.strictObject({
    total: count,
    silent: count,
    holding: count,
    behind: count,
    agents: z.array(z.strictObject({
      address: z.string(),
      state: z.enum(["silent", "holding", "behind", "ok"]),
      zone: z.string(),
      dns: z.string().describe("the dns that wrote of it last"),
      seenAt: count.describe("unix seconds"),
      software: z.string(),
      version: count.nullable().describe("route version it has; null when dns does not know"),
      held: count.describe("modules of which it holds a change back"),
    })).describe("worst first, at most 20"),
  }),
  calls: z.strictObject({
    moduleCount: count.describe("modules with results of the last hour"),
    lastTs: count.describe("youngest result, unix seconds; 0 when there is none"),
    modules: z.array(z.strictObject({
      modId,
      cmdId,
      succ: count.describe("in the last window of each caller"),
      err: count,
      errorShare: share,
      meanMs: z.number().min(0).nullable().describe("over the last minutes; null when not known"),
      refused: count.describe("over the last minutes: callers that got no node"),
      overloadedNodes: count,
    })).describe("worst first, at most 10"),
    overloadedCount: count,
    overloaded: z.array(z.strictObject({
      modId,
      cmdId,
      node: z.string(),
      agents: count.describe("agents that keep it out"),
      agentsTotal: count.describe("agents that reported on it within the last minute"),
    })).describe("kept out by most first, at most 20"),
  }),
  recent: z.strictObject({ seconds: count, ...recentCalls }).describe("from the history"),
  events: z.array(z.strictObject(eventFields)).describe("the latest five, oldest first"),
});

/** Counters of all nodes; rates are the difference of two answers. */
export const Counters = z.strictObject({
  atMs: instantMs,
  storeLabel: z.string(),
  routeMark: z.string().describe("differs when routes have changed"),
  services: z.array(z.strictObject({ kind: z.string(), aliveCount: count, count })),
  recentSeconds: count.describe("time that recent calls were made in"),
  modules: z.array(z.strictObject({
    modId,
    cmdId,
    recent: z.strictObject(recentCalls).nullable().describe("null: the history knows none"),
    refused: z.strictObject(refusedCauses)
      .describe("callers that got no node, since their agents know the module"),
    nodes: z.array(z.strictObject({
      ip: z.string(),
      port: count,
      succTotal: count.describe("of all callers, as long as they have known the node"),
      errTotal: count,
      succCount: count.describe("of all callers, each in its last window"),
      errCount: count,
      callerCount: count.describe("callers that reported on it lately"),
      overloadCount: count.describe("callers of them that keep it out"),
      reportedAtS: count.describe("last report, unix seconds"),
      recent: z.strictObject(recentCalls).nullable()
        .describe("null: the history knows none, or there are too many nodes to ask it"),
    })),
  })).describe("modules with results, or with refused calls"),
});

/** Ranges of history charts. */
export const historyRange = z.enum(["5m", "15m", "1h", "6h", "24h", "7d", "30d"]);
export const HistoryQuery = z.strictObject({
  ...ModuleFilter,
  node: nodeText.optional(),
  caller: z.ipv4().optional(),
  by: z.enum(["total", "module", "node", "caller"]).optional()
    .describe("one series for each; default total"),
  range: historyRange.optional().describe("up to now; default 1h"),
  fromMs: digits(0, 8_640_000_000_000_000).optional().describe("with toMs, instead of range"),
  toMs: digits(0, 8_640_000_000_000_000).optional(),
});
export const HistorySeries = z.strictObject({
  key: z.string().describe("total, 1/2 for a module, ip:port of a node, address of a caller"),
  calls: z.array(count).describe("calls in each step"),
  errors: z.array(count).describe("of which failed"),
  overloadShare: z.array(share).describe(
    "share that is kept out, of nodes as their callers have them: of all, or of one node or caller",
  ),
  latencyMs: z.array(z.number().min(0).nullable())
    .describe("mean time of a call, of those whose time callers told; null where they told none"),
  meanLatencyMs: z.number().min(0).nullable().describe("the same over all steps"),
  refused: z.array(count)
    .describe("callers that asked for a node and got none, in each step; 0 for a node"),
});
export const History = z.strictObject({
  fromMs: instantMs.describe("start of the first step"),
  stepMs: z.int().min(1),
  steps: count,
  wholeMs: instantMs.describe(
    "end of what is known whole; the last step may reach beyond it and is shorter by as much",
  ),
  gaps: z.array(z.strictObject({ fromMs: instantMs, toMs: instantMs }))
    .describe("stretches of which nobody told anything, of no module"),
  series: z.array(HistorySeries).describe("largest first, at most 50"),
  seriesCount: count,
  isTruncated: z.boolean().describe("true: more points than can be read at once; ask for less"),
});

/** Something that happened: a node kept out or back, an alert, a change of state. */
export const EventView = z.strictObject(eventFields);
export const EventListQuery = z.strictObject({
  ...BackQuery,
  ...ModuleFilter,
  after: digits(0, Number.MAX_SAFE_INTEGER).optional()
    .describe("give the first ones with a larger id than this, instead of the newest"),
  kind: z.string().max(500).regex(
    /^[a-z0-9._-]{1,32}(,[a-z0-9._-]{1,32})*$/,
    "must be kinds of events, with commas between them",
  ).transform((text) => text.split(",")).optional()
    .describe("these kinds only; a word with a dot at its end: all that begin with it"),
  detail: z.enum(["true", "false"]).optional()
    .describe("true: with values for programs; default false"),
});
export const EventList = z.strictObject({ events: z.array(EventView) });

/** One write, or attempt at one. */
export const AuditRowShape = z.strictObject({
  id: count,
  atMs: instantMs,
  who: z.string(),
  action: z.string(),
  target: z.string(),
  outcome: z.enum(["done", "refused"]),
  detail: z.string(),
  address: z.string().describe("where the request came from; empty for commands"),
});
export const AuditListQuery = z.strictObject({
  ...BackQuery,
  who: userName.optional(),
  action: z.string().max(32).regex(/^[a-z._]+$/).optional(),
});
export const AuditList = z.strictObject({ entries: z.array(AuditRowShape) });

/** What an alert rule looks at. */
export const ruleKind = z.enum([
  "module_overload",
  "error_share",
  "node_out",
  "agent_silent",
  "dns_behind",
  "push_refused",
  "report_backlog",
  "calls_refused",
  "relay_away",
  "relay_no_worker",
  "relay_waiting",
  "relay_drops",
  "relay_store_full",
]);
const ruleFields = {
  kind: ruleKind,
  title,
  severity: z.enum(["warning", "critical"]),
  isEnabled: z.boolean(),
  /** Share (0 to 1), seconds, a number of reports, or messages a second, as the kind says. */
  threshold: z.number().min(0).max(1_000_000_000),
  /** Seconds the condition must hold before the alert fires. */
  forS: z.int().min(0).max(86_400),
  /** Seconds the condition must be over before the alert ends. */
  clearS: z.int().min(0).max(86_400),
  /** The module it looks at; null for all. */
  modId: modId.nullable(),
  cmdId: cmdId.nullable(),
};
export const RuleInput = z.strictObject(ruleFields);
export const RuleShape = z.strictObject({ id: count, ...ruleFields });
export const RuleList = z.strictObject({ rules: z.array(RuleShape) });

export const AlertShape = z.strictObject({
  /** Rule and subject: stays the same while the alert comes and goes. */
  key: z.string(),
  ruleId: count,
  kind: ruleKind,
  title: z.string(),
  severity: z.enum(["warning", "critical"]),
  state: z.enum(["pending", "firing"]),
  isSilenced: z.boolean(),
  text: z.string().describe("what is wrong, with the value"),
  value: z.number(),
  modId: modId.nullable(),
  cmdId: cmdId.nullable(),
  node: z.string().nullable(),
  service: z.string().nullable(),
  sinceMs: instantMs.describe("when the condition began"),
  firedAtMs: instantMs.nullable(),
});
export const AlertList = z.strictObject({ alerts: z.array(AlertShape) });

/** Keeps alerts quiet for a time. What is null matches everything. */
export const SilenceInput = z.strictObject({
  ruleId: z.int().min(1).nullable(),
  modId: modId.nullable(),
  cmdId: cmdId.nullable(),
  node: nodeText.nullable(),
  minutes: z.int().min(1).max(60 * 24 * 30),
  why: line(WHY_LENGTH_MAX, 1),
});
export const Silence = z.strictObject({
  id: count,
  ruleId: count.nullable(),
  modId: modId.nullable(),
  cmdId: cmdId.nullable(),
  node: z.string().nullable(),
  why: z.string(),
  who: z.string(),
  createdAtMs: instantMs,
  endsAtMs: instantMs,
});
export const SilenceList = z.strictObject({ silences: z.array(Silence) });

// ---- Scaling

/** What a rule of scaling goes by. */
export const SCALE_METRICS = ["calls", "inflight", "latency"] as const;
/** Who starts and stops the nodes that a rule wants. */
export const SCALE_DRIVERS = ["dry", "webhook", "command"] as const;
/** Most nodes a rule may want. */
export const SCALE_NODES_MAX = 10_000;
/** Most scheduled floors of one rule. */
export const SCALE_FLOORS_MAX = 20;
/** Longest times of a rule, in seconds. */
const SCALE_S_MAX = 86_400;

/** Values of a track. */
const SCALE_TRACK_STEPS_MAX = 1000;
const scaleNodes = z.int().min(1).max(SCALE_NODES_MAX);
const scaleS = z.int().min(0).max(SCALE_S_MAX);
const hourMinute = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, "must be HH:MM");
export const ScaleFloorShape = z.strictObject({
  days: z.string().max(60).regex(
    /^(\*|[a-z]{3}(-[a-z]{3})?(,[a-z]{3}(-[a-z]{3})?)*)$/,
    "must be days such as mon-fri, sat,sun or *",
  ),
  from: hourMinute,
  to: hourMinute.describe("earlier than from: on the next day"),
  zone: z.string().min(1).max(64).describe("a place of the time zone database, as Europe/Berlin"),
  nodes: scaleNodes,
});
export const ScaleRuleShape = z.strictObject({
  isEnabled: z.boolean().default(true),
  metric: z.enum(SCALE_METRICS)
    .describe("calls: calls/s of a node; inflight: its calls at a time; latency: mean ms a call"),
  target: z.number().positive().max(1e9).describe("what one node should have of the metric"),
  min: scaleNodes.default(1),
  max: scaleNodes,
  stepUp: scaleNodes.default(10).describe("most nodes that one step adds"),
  stepDown: scaleNodes.default(1).describe("most nodes that one step takes"),
  coolDownUpS: scaleS.default(15).describe("after a module grew, until it may grow again"),
  coolDownDownS: scaleS.default(60).describe("after any change, until it may shrink"),
  windowS: z.int().min(5).max(3600).default(30).describe("load is the mean over this time"),
  stabilisationS: scaleS.default(300).describe("shrinks to the most that was needed in this time"),
  tolerance: z.number().min(0).max(0.9).default(0.1)
    .describe("nothing is done while the load of a node is as near to the target"),
  errorShareMax: z.number().min(0).max(1).default(0.05)
    .describe("does not shrink while more of the calls fail"),
  startS: z.int().min(1).max(SCALE_S_MAX).default(120)
    .describe("within this time ordered nodes come and ordered stops are done"),
  warmUpS: scaleS.default(30).describe("a node is cold for this time after it came"),
  drainS: z.int().min(1).max(SCALE_S_MAX).default(600)
    .describe("a node that is not safe to stop within this time gets calls again"),
  quietS: z.int().min(1).max(3600).default(30)
    .describe("a node is safe to stop when nobody used it for this time"),
  floors: z.array(ScaleFloorShape).max(SCALE_FLOORS_MAX).default([])
    .describe("more than min at some hours"),
  driver: z.enum(SCALE_DRIVERS).default("dry")
    .describe("dry: only says what it would do; command: that of the service's configuration"),
  webhook: z.string().max(NAME_LENGTH_MAX).default("")
    .describe("title of the webhook of format scaling that driver webhook tells"),
});
/** A rule as a client gives it: what it leaves out has its default. */
export const ScaleRuleInput = ScaleRuleShape;
const scaleNodeList = z.array(nodeText);
export const ScaleStatusShape = z.strictObject({
  atMs: instantMs.describe("when it was decided"),
  kind: z.enum(["up", "down", "hold"]),
  from: count.describe("nodes then, those that were ordered among them"),
  to: count,
  wish: count.nullable().describe("what the load asks for within the limits; null: not known"),
  load: z.number().nullable().describe("of the whole module, mean of the window"),
  reason: z.string(),
  pendingCount: count.describe("nodes that were ordered and have not come"),
  draining: scaleNodeList.describe("nodes that leave, and are not safe to stop yet"),
  stopping: scaleNodeList.describe("nodes that the driver was told to stop"),
  order: z.strictObject({ id: z.string(), text: z.string(), outcome: z.string() }).nullable()
    .describe("what the driver was told last, and how that went"),
});
export const ScaledModuleShape = z.strictObject({
  modId,
  cmdId,
  updatedAtMs: instantMs,
  rule: ScaleRuleShape,
  status: ScaleStatusShape.nullable().describe("null: nothing was decided yet"),
});
const trackValues = z.array(z.number().min(0).nullable()).max(SCALE_TRACK_STEPS_MAX);
export const ScaleTrackShape = z.strictObject({
  stepMs: z.int().min(1),
  fromMs: instantMs.describe("start of the first step"),
  nodes: z.array(count.nullable()).max(SCALE_TRACK_STEPS_MAX).describe(
    "that got calls, at the end of each step; null: a gap",
  ),
  wish: z.array(count.nullable()).describe("nodes that the load asked for then"),
  load: trackValues.describe("of the rule's metric, mean of each step"),
  errorShare: z.array(share.nullable()).describe("mean of each step"),
});
export const TrackedModuleShape = ScaledModuleShape.extend({
  track: ScaleTrackShape.nullable().describe("the last hour; null: nothing was decided yet"),
});
export const ScaledModuleQuery = z.strictObject(ModuleFilter);
export const ScaledModuleList = z.strictObject({
  modules: z.array(
    ScaledModuleShape.extend({ track: TrackedModuleShape.shape.track.optional() }),
  ).describe("track: of a module that is asked for by both numbers alone"),
});
export const ScaleRulePut = z.strictObject({ rule: ScaleRuleInput, why: why.optional() });
export const ScaleRuleQuery = z.strictObject({ why: why.optional() });

/** What messages to a webhook may look like, as it is kept in the database. */
export const WEBHOOK_FORMATS = ["lars", "alertmanager", "slack", "pagerduty", "scaling"] as const;

const webhookUrl = z.url({
  protocol: /^https?$/,
  error: "Must be a whole address that begins with http:// or https://, like https://host/path",
}).max(500);
const secret = z.string().min(16).max(200);
const webhookFormat = z.enum(WEBHOOK_FORMATS)
  .describe(
    "lars: our own JSON; or what Alertmanager, Slack or PagerDuty take; scaling: no alerts, but " +
      "orders to start and stop nodes",
  );
const timeoutS = z.int().min(1).max(60).describe("longest wait for an answer, in seconds");
const groupS = z.int().min(0).max(3600)
  .describe("seconds that a message waits for others to come along; 0: none");
export const WebhookInput = z.strictObject({
  title,
  url: webhookUrl,
  secret: secret.optional().describe(
    "signs each message; one is made when left out. The routing key of PagerDuty",
  ),
  isEnabled: z.boolean().optional().describe("default true"),
  format: webhookFormat.optional().describe("default lars"),
  timeoutS: timeoutS.optional().describe("default 10"),
  groupS: groupS.optional().describe("default 0"),
});
export const WebhookPatch = z.strictObject({
  title: title.optional(),
  url: webhookUrl.optional(),
  secret: secret.optional(),
  isEnabled: z.boolean().optional(),
  format: webhookFormat.optional(),
  timeoutS: timeoutS.optional(),
  groupS: groupS.optional(),
});
export const WebhookShape = z.strictObject({
  id: count,
  title: z.string(),
  url: z.string(),
  isEnabled: z.boolean(),
  format: webhookFormat,
  timeoutS,
  groupS,
  /** Outcome of the last message; null before the first. */
  last: z.strictObject({ atMs: instantMs, isDone: z.boolean(), text: z.string() }).nullable(),
  waitingCount: count.describe("beginnings and ends of alerts that it has not confirmed yet"),
});
export const WebhookCreated = z.strictObject({
  ...WebhookShape.shape,
  secret: z.string().describe("shown this once"),
});
export const WebhookList = z.strictObject({ webhooks: z.array(WebhookShape) });
export const WebhookTest = z.strictObject({
  isDone: z.boolean(),
  text: z.string().describe("status of the answer, or what went wrong"),
});

const leasePhase = z.enum(LEASE_PHASES);
const leaseTtlMs = z.int().min(LEASE_TTL_MS_MIN).max(LEASE_TTL_MS_MAX)
  .describe("time to live since it was last heard, 1 s to a day");
const incarnation = z.int().min(1).max(Number.MAX_SAFE_INTEGER)
  .describe("names the registration, as it was answered");
const leaseNote = z.record(z.string(), z.unknown())
  .describe("tags and metadata, at most 4096 bytes as JSON");
/** A node that registered itself. */
export const LeaseShape = z.strictObject({
  modId,
  cmdId,
  ip,
  port,
  phase: leasePhase.describe(
    "waiting: not ready yet; checking: not seen to answer yet; live; doubt: its connection was " +
      "lost; failing: does not answer discovery; drain: wants no new calls; gone",
  ),
  weight,
  zone: z.string(),
  ttlMs: count.describe("0: it has no end of its own"),
  source: z.enum(["lars", "rest", "seed"]),
  owner: z.string().describe("who registered it: a host, or owner and title of a token"),
  note: leaseNote.nullable(),
  check: z.string().describe("what discovery checks: tcp, or http:/path; empty: nothing"),
  sinceMs: instantMs.describe("when it registered"),
  operator: z.strictObject({
    state: z.enum(["drain", "off"]).optional(),
    weight: weight.optional(),
    zone: z.string().optional(),
  }).describe("what an operator wants of it, whatever it says itself"),
  outBy: z.enum(["operator", "lease", "node", "check", "calls"]).nullable()
    .describe("who keeps it from getting calls; calls: what callers report; null: nobody"),
});
/** A module of which nodes stay in the route that seem to be lost. */
export const HeldNodesShape = z.strictObject({
  modId,
  cmdId,
  heldCount: count,
  liveCount: count,
  sinceMs: instantMs,
  isConfirmed: z.boolean().describe("somebody said that they are really lost"),
});
export const LeaseListQuery = z.strictObject({
  ...ModuleFilter,
  phase: leasePhase.optional(),
  search: z.string().max(NAME_LENGTH_MAX).optional()
    .describe("an address, with or without its port, or a part of owner, zone or note"),
  offset: digits(0, 1_000_000).optional(),
  limit: digits(1, PAGE_ROWS_MAX).optional().describe("default 100"),
});
export const LeaseListShape = z.strictObject({
  atMs: instantMs.describe("now, by the clock that ages are judged by"),
  total: count,
  counts: z.record(leasePhase, count).describe("of every phase"),
  held: z.array(HeldNodesShape),
  leases: z.array(LeaseShape).describe("in order of module and address"),
});
export const LeaseInput = z.strictObject({
  modId,
  cmdId,
  ip: ip.optional().describe("default: where the request comes from"),
  port,
  ttlMs: leaseTtlMs.optional().describe("default 15000"),
  weight: weight.optional(),
  zone: zone.optional(),
  note: leaseNote.optional(),
  check: z.string().max(LEASE_CHECK_LENGTH_MAX).optional()
    .describe("tcp, or http:/path: discovery checks it, where it is told to check"),
  isReady: z.boolean().optional().describe("false: no calls before it says so; default true"),
  incarnation: incarnation.optional()
    .describe("the registration that it goes on with; left out: it is a new program"),
  createModule: z.boolean().optional().describe("true: the module may be one that nobody made"),
});
export const LeaseGrant = z.strictObject({
  ...{ modId, cmdId, ip, port, incarnation },
  ttlMs: leaseTtlMs,
});
const LeaseNameShape = z.strictObject({ modId, cmdId, ip, port, incarnation });
export const LeaseBeatInput = z.strictObject({
  leases: z.array(LeaseNameShape).min(1).max(LEASE_BEATS_MAX),
});
export const LeaseBeatAnswer = z.strictObject({
  lost: z.array(LeaseNameShape).describe("registrations that are over: register these again"),
});
export const LeasePatch = z.strictObject({
  incarnation,
  weight: weight.optional(),
  zone: zone.optional(),
  note: leaseNote.optional(),
  isReady: z.boolean().optional(),
});
export const LeaseLeaveQuery = z.strictObject({
  incarnation: digits(1, Number.MAX_SAFE_INTEGER).describe("as it was answered"),
});

export const UserShape = z.strictObject({
  name: z.string(),
  role,
  login: z.enum(["password", "provider"]).describe("provider: by OpenID Connect, see [oidc]"),
  isDisabled: z.boolean(),
  mustChangePassword: z.boolean(),
  createdAtMs: instantMs,
  lastLoginAtMs: instantMs.nullable(),
});
export const UserList = z.strictObject({ users: z.array(UserShape) });
export const UserInput = z.strictObject({ name: userName, role });
export const UserPatch = z.strictObject({
  role: role.optional(),
  isDisabled: z.boolean().optional(),
});
export const OneTimePasswordShape = z.strictObject({
  user: UserShape,
  password: z.string().describe("shown this once; must be changed at the first login"),
});

export const TokenShape = z.strictObject({
  id: count,
  title: z.string(),
  owner: z.string(),
  role: tokenRole,
  createdAtMs: instantMs,
  expiresAtMs: instantMs.nullable(),
  lastUsedAtMs: instantMs.nullable().describe("to the minute"),
});
export const TokenList = z.strictObject({ tokens: z.array(TokenShape) });
export const TokenInput = z.strictObject({
  title,
  role: tokenRole.describe(
    "at most the role of its owner; registrar, of operators and admins: registers nodes alone",
  ),
  days: z.int().min(1).max(3650).nullable().describe("null: never expires"),
});
export const TokenCreated = z.strictObject({
  ...TokenShape.shape,
  secret: z.string().describe("shown this once; send it as Authorization: Bearer"),
});

export const LoginInput = z.strictObject({
  name: z.string().max(NAME_LENGTH_MAX),
  password: z.string().max(PASSWORD_LENGTH_MAX),
});
export const LinkInput = z.strictObject({ token: z.string().max(200) });
export const PasswordInput = z.strictObject({
  oldPassword: z.string().max(PASSWORD_LENGTH_MAX),
  newPassword: password,
});
/** Why the console only reads. */
const readOnly = z.string().nullable().describe(
  "why nothing can be written, as a newer program has migrated the database; null when it can",
);
/** What a login page says to those who cannot log in. */
export const LoginHelp = z.strictObject({
  provider: z.string().nullable().describe(
    "what to call a login by OpenID Connect, which begins at /oidc/login; null where there is none",
  ),
  storeOption: z.string().describe(
    "what `lars user reset NAME` needs besides to find the database; empty for those who ask from " +
      "another host",
  ),
  readOnly,
});
export const SessionShape = z.strictObject({
  name: z.string(),
  role: tokenRole,
  via: z.enum(["cookie", "token"]),
  /** Send it as X-CSRF-Token with every write; null for tokens, which need none. */
  csrfToken: z.string().nullable(),
  /** Until it is changed every other route answers 403. */
  mustChangePassword: z.boolean(),
  isByLink: z.boolean().describe("opened by a one-time link: a new password needs no old one"),
  isByProvider: z.boolean().describe("by OpenID Connect: there is no password here to change"),
  expiresAtMs: instantMs.nullable(),
  readOnly,
});

export const LiveQuery = z.strictObject({
  view: z.enum(["overview", "modules", "module", "alerts", "events"]).optional()
    .describe("what is sent; default overview"),
  ...ModuleFilter,
  ...ModuleListQuery.omit({ limit: true }).shape,
  limit: digits(1, 100).optional().describe("view modules: rows, default 50"),
});

/** The body of every error, RFC 9457. */
export const ProblemDetails = z.strictObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  /** Faults of single fields: a path such as `edits.3.weight`, and what would be right. */
  errors: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional(),
  /** With 412: the revision the module has now. */
  revision: z.string().optional(),
});

/** What a shape stands for, as services give it and clients get it. */
export type Shown<Shape extends z.ZodType> = Frozen<z.output<Shape>>;
type Frozen<T> = T extends object ? { readonly [Key in keyof T]: Frozen<T[Key]> } : T;

export type ModuleHealth = z.output<typeof moduleHealth>;
export type NodeHealth = z.output<typeof nodeHealth>;
export type ModuleSummary = Shown<typeof ModuleSummaryShape>;
export type NodeStatus = Shown<typeof NodeStatusShape>;
export type ModuleDetail = Shown<typeof ModuleDetail>;
export type ModuleList = Shown<typeof ModuleListShape>;
export type ModuleListWish = Shown<typeof ModuleListQuery>;
export type SearchResult = Shown<typeof SearchResult>;
export type Hit = SearchResult["hits"][number];
export type Explanation = Shown<typeof Explanation>;
export type ExplainedNode = Explanation["nodes"][number];
export type Told = Shown<typeof Told>;
export type ChangeResult = Shown<typeof ChangeResult>;
export type ClientEdit = Shown<typeof ClientEdit>;
export type NodeDifferenceView = Shown<typeof NodeDifferenceView>;
export type TrafficShift = Shown<typeof TrafficShift>;
export type ChangePreview = Shown<typeof ChangePreview>;
export type ChangeSummary = Shown<typeof ChangeSummaryShape>;
export type ChangeDetail = Shown<typeof ChangeDetailShape>;
export type ServiceView = Shown<typeof ServiceView>;
export type ServiceList = Shown<typeof ServiceListShape>;
export type ServiceListWish = Shown<typeof ServiceListQuery>;
export type AgentRow = Shown<typeof AgentRow>;
export type AgentState = AgentRow["state"];
export type AgentCounts = Shown<typeof AgentCountsShape>;
export type AgentList = Shown<typeof AgentListShape>;
export type FollowerRow = Shown<typeof FollowerRow>;
export type FollowerList = Shown<typeof FollowerListShape>;
export type RelayDrop = Shown<typeof RelayDropShape>;
export type RelayFacts = Shown<typeof RelayFactsShape>;
export type RelayRow = Shown<typeof RelayRowShape>;
export type RelayList = Shown<typeof RelayListShape>;
export type RelayClientList = Shown<typeof RelayClientListShape>;
export type RelayWorkerList = Shown<typeof RelayWorkerListShape>;
export type RelayQueueList = Shown<typeof RelayQueueListShape>;
export type RelayMail = Shown<typeof RelayMailShape>;
export type AgentListWish = Shown<typeof AgentListQuery>;
export type NodeUseAnswers = Shown<typeof NodeUseAnswers>;
export type DnsAnswer = NodeUseAnswers["answers"][number];
export type NodeUseByAgent = NonNullable<DnsAnswer["report"]>["agents"][number];
export type NodeCallers = Shown<typeof NodeCallers>;
export type LeaseView = Shown<typeof LeaseShape>;
export type HeldNodes = Shown<typeof HeldNodesShape>;
export type LeaseListing = Shown<typeof LeaseListShape>;
export type LeaseListWish = Shown<typeof LeaseListQuery>;
export type LeaseRequest = Shown<typeof LeaseInput>;
export type Problem = Shown<typeof ProblemShape>;
export type Overview = Shown<typeof Overview>;
export type Status = Shown<typeof StatusShape>;
export type StoreFacts = Shown<typeof StoreFacts>;
export type Report = Shown<typeof Report>;
export type AgentSummary = Report["agents"];
export type AgentLine = AgentSummary["agents"][number];
export type CallSummary = Report["calls"];
export type ModuleCallSummary = CallSummary["modules"][number];
export type OverloadedNode = CallSummary["overloaded"][number];
export type Counters = Shown<typeof Counters>;
export type ModuleCounters = Counters["modules"][number];
export type NodeCounters = ModuleCounters["nodes"][number];
export type RefusedCauses = ModuleCounters["refused"];
export type RecentCalls = NonNullable<ModuleCounters["recent"]>;
export type HistoryWish = Shown<typeof HistoryQuery>;
export type HistorySeries = Shown<typeof HistorySeries>;
export type History = Shown<typeof History>;
export type EventView = Shown<typeof EventView>;
export type EventWish = Shown<typeof EventListQuery>;
export type RuleKind = z.output<typeof ruleKind>;
export type Rule = Shown<typeof RuleShape>;
export type Alert = Shown<typeof AlertShape>;
export type SilenceWish = Shown<typeof SilenceInput>;
export type Silence = Shown<typeof Silence>;
export type WebhookFormat = (typeof WEBHOOK_FORMATS)[number];
export type WebhookWish = Shown<typeof WebhookInput>;
export type Webhook = Shown<typeof WebhookShape>;
export type ScaleFloor = Shown<typeof ScaleFloorShape>;
export type ScaleRule = Shown<typeof ScaleRuleShape>;
export type ScaleStatus = Shown<typeof ScaleStatusShape>;
export type ScaleTrack = Shown<typeof ScaleTrackShape>;
export type TrackedModule = Shown<typeof TrackedModuleShape>;
export type ScaledModule = Shown<typeof ScaledModuleShape>;
export type User = Shown<typeof UserShape>;
export type OneTimePassword = Shown<typeof OneTimePasswordShape>;
export type Token = Shown<typeof TokenShape>;
export type Session = Shown<typeof SessionShape>;
