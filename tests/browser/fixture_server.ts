// Shell. A server with the console's interface and made-up answers, each held to the contract.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { policyList } from "../../web/policy_list.ts";
import { findAsset } from "../../web/assets/mod.ts";
import {
  API_PREFIX,
  API_ROUTES,
  type ApiRoute,
  type ProblemName,
  PROBLEMS,
  type RouteName,
} from "../../web/contract.ts";
import { LEASE_PHASES } from "../../model/lease.ts";
import { type AnswerOf, FixtureWorld, type Scene, trackOf } from "./fixtures.ts";

/** Password of every user but `fresh`, whose one-time password is {@linkcode ONE_TIME}. */
export const PASSWORD = "a long enough password";
export const ONE_TIME = "one-time-only-1";

/** As strict as a page can be: nothing inline, nothing from elsewhere. */
const POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

/** How often a live view is looked at. */
const LIVE_MS = 250;

interface Login {
  name: string;
  csrf: string;
}

/** What a handler gets; parts are parsed by the contract. */
interface Request {
  // deno-lint-ignore no-explicit-any -- parsed by the contract, each route has its own
  readonly params: any;
  readonly query: Record<string, string>;
  // deno-lint-ignore no-explicit-any -- each handler knows what its route takes
  readonly body: any;
  readonly who: string;
  readonly login: Login;
  readonly ifMatch: string | undefined;
}

/** Ends a request with one of the contract's errors. */
class Refusal extends Error {
  readonly kind: ProblemName;
  readonly more: Record<string, unknown>;
  constructor(kind: ProblemName, detail: string, more: Record<string, unknown> = {}) {
    super(detail);
    this.kind = kind;
    this.more = more;
  }
}

/** What was looked for, unless it is not there. */
function found<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Refusal("not-found", `There is no such ${what}`);
  return value;
}

/** A running server; faults of the contract are kept for the test to look at. */
export interface FixtureServer {
  readonly url: string;
  readonly world: FixtureWorld;
  /** Answers that broke the contract; must stay empty. */
  readonly faults: string[];
  /** Routes that answer this problem instead. */
  readonly refuse: Map<RouteName, ProblemName>;
  /** Routes that never answer. */
  readonly hang: Set<RouteName>;
  /** Ends every stream, as a restart would. */
  dropStreams(): void;
  /** Bytes sent, by path. */
  readonly sent: Map<string, number>;
  close(): Promise<void>;
}

const ROUTES = Object.entries(API_ROUTES).map(([name, route]) => ({
  name: name as RouteName,
  route: route as ApiRoute,
  pattern: new RegExp(`^${API_PREFIX}${route.path.replace(/\{(\w+)\}/g, "(?<$1>[^/]+)")}$`),
}));

interface Handlers {
  readonly table: Partial<Record<RouteName, (request: Request) => unknown>>;
  readonly sessionOf: (login: Login) => unknown;
}

function handlers(world: FixtureWorld): Handlers {
  const now = (): number => Date.now();
  const moduleOf = ({ params }: Request) => found(world.find(params.modId, params.cmdId), "module");
  const checkMatch = (request: Request): void => {
    const module = world.find(request.params.modId, request.params.cmdId);
    if (request.ifMatch === undefined || module === undefined) return;
    if (request.ifMatch !== `"${module.revision}"`) {
      throw new Refusal("changed-meanwhile", "The module has changed since you looked at it.", {
        revision: module.revision,
      });
    }
  };
  const checkExpect = (edits: Parameters<FixtureWorld["preview"]>[0], expect: string): void => {
    if (expect !== undefined && expect !== world.fingerprint(edits)) {
      throw new Refusal("changed-meanwhile", "What the preview showed is no longer true.");
    }
  };
  const nodeEdit = (request: Request, values: Record<string, unknown>) => {
    checkMatch(request);
    const { modId, cmdId, node } = request.params;
    const [ip, port] = node.split(":");
    const op = values.op as "set" ?? "set";
    const { why = "", ...rest } = values as { why?: string };
    return world.apply(
      [{ ...rest, op, modId, cmdId, ip, port: Number(port) }],
      request.who,
      why,
      now(),
    );
  };
  const moduleFilter = ({ query }: Request) => (row: { modId: number | null }) =>
    query.modId === undefined || row.modId === Number(query.modId);
  const back = <Row extends { id: number }>(rows: readonly Row[], { query }: Request): Row[] =>
    rows.filter(({ id }) => query.before === undefined || id < Number(query.before))
      .slice(0, Number(query.limit ?? 100));
  const changeOf = ({ params }: Request) =>
    found(world.changes.find(({ id }) => id === Number(params.id)), "change");
  const rowOf = <Row extends { id: number }>(rows: readonly Row[], { params }: Request): number =>
    rows.indexOf(found(rows.find(({ id }) => id === Number(params.id)), "row"));
  const remove = <Row extends { id: number }>(rows: Row[], request: Request): void =>
    void rows.splice(rowOf(rows, request), 1);
  const userOf = ({ params }: Request) =>
    found(world.users.find(({ name }) => name === params.name), "user");
  const importEdits = (body: { text: string; format: string }) => {
    const rows = body.format === "json"
      ? JSON.parse(body.text) as Record<string, string>[]
      : body.text.trim().split("\n").slice(1).map((line) => {
        const [modid, cmdid, ip, port, weight, zone, state] = line.split(",");
        return { modid, cmdid, ip, port, weight, zone, state };
      });
    return rows.map((row) => ({
      op: "add" as const,
      modId: Number(row.modid),
      cmdId: Number(row.cmdid),
      ip: row.ip,
      port: Number(row.port),
      weight: Number(row.weight ?? 100),
      zone: row.zone ?? "",
      state: (row.state ?? "on") as "on",
    }));
  };
  const sessionOf = (login: Login) => {
    const user = world.users.find(({ name }) => name === login.name);
    return {
      name: login.name,
      role: user?.role ?? "viewer",
      via: "cookie",
      csrfToken: login.csrf,
      mustChangePassword: user?.mustChangePassword ?? false,
      isByLink: false,
      isByProvider: user?.login === "provider",
      expiresAtMs: now() + 3_600_000,
      readOnly: world.readOnly,
    };
  };
  const table: Partial<Record<RouteName, (request: Request) => unknown>> = {
    getSession: (request) => sessionOf(request.login),
    changePassword: (request) => {
      if (![PASSWORD, ONE_TIME].includes(request.body.oldPassword)) {
        throw new Refusal("wrong-login", "The present password is wrong");
      }
      const user = world.users.find(({ name }) => name === request.who);
      if (user !== undefined) user.mustChangePassword = false;
      return sessionOf(request.login);
    },
    getOverview: () => world.overview(now()),
    listServices: ({ query }) => {
      const services = world.servers(now()).filter(({ kind }) =>
        [undefined, "server", kind].includes(query.kind)
      );
      return { total: services.length, services };
    },
    listAgents: ({ query }) => {
      const all = world.agents(now());
      const count = (state: string): number => all.filter((one) => one.state === state).length;
      const found = all.filter(({ state, address }) =>
        (query.state === undefined || state === query.state) &&
        address.startsWith(query.search ?? "")
      );
      const offset = Number(query.offset ?? 0);
      return {
        total: found.length,
        counts: {
          all: all.length,
          silent: count("silent"),
          holding: count("holding"),
          behind: count("behind"),
          ok: count("ok"),
        },
        plainConnections: all.length === 0 ? 0 : 2,
        agents: found.slice(offset, offset + Number(query.limit ?? 100)),
      };
    },
    listScaling: ({ query }) => ({
      modules: world.scaled.filter(({ modId, cmdId }) =>
        modId === Number(query.modId) && cmdId === Number(query.cmdId)
      ).map((one) => ({ ...one, track: trackOf(now()) })),
    }),
    getScaling: ({ params }) => {
      const scaled = world.scaled.find((one) =>
        one.modId === Number(params.modId) && one.cmdId === Number(params.cmdId)
      );
      return { ...found(scaled, "rule"), track: trackOf(now()) };
    },
    putScaling: ({ params, body }) => {
      const { modId, cmdId } = params;
      const scaled = { modId, cmdId, updatedAtMs: now(), rule: body.rule, status: null };
      world.scaled = [scaled];
      return scaled;
    },
    deleteScaling: () => void (world.scaled = []),
    listLeases: ({ query }) => {
      const { modId, cmdId, phase, search = "", offset = "0", limit = "100" } = query;
      const found = world.leases(now()).filter((lease) =>
        (modId === undefined || lease.modId === Number(modId)) &&
        (cmdId === undefined || lease.cmdId === Number(cmdId)) &&
        JSON.stringify(lease).includes(search)
      );
      const counts = Object.fromEntries(
        LEASE_PHASES.map((one) => [one, found.filter((lease) => lease.phase === one).length]),
      ) as AnswerOf<"listLeases">["counts"];
      const chosen = found.filter((lease) => phase === undefined || lease.phase === phase);
      const from = Number(offset);
      return {
        ...{ atMs: now(), total: chosen.length, counts, held: world.heldNodes },
        leases: chosen.slice(from, from + Number(limit)),
      };
    },
    endLease: ({ params }) => {
      world.ended.add(params.node);
      return { modId: params.modId, cmdId: params.cmdId };
    },
    freeLease: ({ params }) => ({ modId: params.modId, cmdId: params.cmdId }),
    confirmLosses: ({ params }) => {
      world.heldNodes = world.heldNodes.map((held) => ({ ...held, isConfirmed: true }));
      return { modId: params.modId, cmdId: params.cmdId };
    },
    listRelays: () => ({ relays: world.relays(now()) }),
    listRelayClients: ({ params }) => world.relayClients(params.relay),
    kickRelayClient: ({ params }) => void world.kicked.add(params.sid),
    listRelayWorkers: ({ params }) => world.relayWorkers(params.relay),
    listRelayQueues: ({ params }) => world.relayQueues(params.relay),
    getRelayMail: () => world.relayMail(now()),
    listFollowers: () => world.followers(now()),
    forgetAgent: ({ params }) => void world.forgotten.add(params.address),
    listModules: ({ query }) => {
      const all = world.list(query.search ?? "", query.health ?? "", query.sort ?? "trouble");
      const offset = Number(query.offset ?? 0);
      return { total: all.length, modules: all.slice(offset, offset + Number(query.limit ?? 100)) };
    },
    listModuleTexts: () => ({
      modules: world.modules.map(({ modId, cmdId, name }) => ({
        ...{ modId, cmdId, name },
        policy: "",
        updatedAtMs: now(),
      })),
    }),
    search: ({ query }) => {
      const wanted = query.q.toLowerCase();
      const modules = world.list(query.q, "", "id").slice(0, 5);
      return {
        hits: [
          ...modules.map(({ modId, cmdId, name }) => ({
            kind: "module",
            text: name === "" ? `${modId} / ${cmdId}` : name,
            modId,
            cmdId,
            node: null,
            moduleCount: 0,
          })),
          ...world.modules.flatMap(({ modId, cmdId, nodes }) =>
            nodes.filter(({ ip, port }) => `${ip}:${port}`.includes(wanted)).map((
              { ip, port },
            ) => ({
              kind: "node",
              text: `${ip}:${port}`,
              modId,
              cmdId,
              node: `${ip}:${port}`,
              moduleCount: 0,
            }))
          ).slice(0, 8),
        ],
      };
    },
    listPolicies: policyList,
    getModule: moduleOf,
    explainModule: (request) => ({
      ...world.explanation(moduleOf(request)),
      ...(request.query.agent === undefined ? {} : { agent: request.query.agent }),
    }),
    confirmModule: ({ params, body }) => {
      world.confirmed.push(`${params.modId}/${params.cmdId}: ${body.why ?? ""}`);
      world.heldBack = "";
      return {
        changeId: null,
        version: 1,
        changed: [{ modId: params.modId, cmdId: params.cmdId }],
        told: [{ address: "127.0.0.1:7778", told: true, fault: null, tookMs: 1.2 }],
        emptied: [],
        returned: [],
        revision: null,
      };
    },
    getHistory: ({ query }) => {
      const spans: Record<string, number> = {
        "5m": 5,
        "15m": 15,
        "1h": 60,
        "6h": 360,
        "24h": 1440,
        "7d": 10_080,
        "30d": 43_200,
      };
      const toMs = Number(query.toMs ?? now());
      const fromMs = Number(query.fromMs ?? toMs - spans[query.range ?? "1h"] * 60_000);
      const modId = query.modId === undefined ? undefined : Number(query.modId);
      return world.history(query.by ?? "total", fromMs, toMs, modId);
    },
    listEvents: (request) => ({
      events: back(
        world.events.filter(moduleFilter(request)).filter(({ kind }) =>
          request.query.kind === undefined || kind.startsWith(request.query.kind)
        ),
        request,
      ),
    }),
    putModule: (request) => {
      checkMatch(request);
      const { why = "", ...texts } = request.body;
      const { modId, cmdId } = request.params;
      return world.apply([{ op: "module", modId, cmdId, ...texts }], request.who, why, now());
    },
    deleteModule: (request) => {
      checkMatch(request);
      const { modId, cmdId, nodes } = moduleOf(request);
      const result = world.apply(
        nodes.map(({ ip, port }) => ({ op: "remove", modId, cmdId, ip, port })),
        request.who,
        request.query.why ?? "",
        now(),
      );
      world.modules.splice(world.modules.findIndex((one) => one === world.find(modId, cmdId)), 1);
      return result;
    },
    addNode: (request) => nodeEdit(request, { op: "add", ...request.body }),
    patchNode: (request) => nodeEdit(request, request.body),
    drainNode: (request) => nodeEdit(request, { ...request.body, state: "drain" }),
    restoreNode: (request) => nodeEdit(request, { ...request.body, state: "on" }),
    previewChange: ({ body }) => world.preview(body.edits),
    applyChange: ({ body, who }) => {
      checkExpect(body.edits, body.expect);
      return world.apply(body.edits, who, body.why ?? "", now());
    },
    listChanges: (request) => ({
      changes: back(
        world.changes.filter(({ modules }) => modules.some(moduleFilter(request))),
        request,
      ).map(({ nodes: _nodes, moduleTexts: _texts, ...row }) => row),
    }),
    getChange: changeOf,
    previewRollback: (request) => world.preview(world.undoing(changeOf(request))),
    rollbackChange: (request) => {
      const change = changeOf(request);
      const edits = world.undoing(change);
      checkExpect(edits, request.body.expect);
      const result = world.apply(
        edits,
        request.who,
        request.body.why ?? "",
        now(),
        "rollback",
        change.id,
      );
      change.undoneBy = result.changeId;
      return result;
    },
    exportRoutes: () => "modid,cmdid,ip,port,weight,zone,state\n",
    previewImport: ({ body }) => world.preview(importEdits(body)),
    importRoutes: ({ body, who }) => {
      checkExpect(importEdits(body), body.expect);
      return world.apply(importEdits(body), who, body.why ?? "", now(), "import");
    },
    listAlerts: () => ({ alerts: world.alerts() }),
    listRules: () => ({ rules: world.rules }),
    addRule: ({ body }) => {
      const rule = { id: 100 + world.id(), ...body };
      world.rules.push(rule);
      return rule;
    },
    putRule: (request) => {
      const at = rowOf(world.rules, request);
      return world.rules[at] = { id: world.rules[at].id, ...request.body };
    },
    deleteRule: (request) => remove(world.rules, request),
    listSilences: () => ({ silences: world.silences }),
    addSilence: ({ body: { minutes, ...body }, who }) => {
      const silence = {
        id: 100 + world.id(),
        ...body,
        who,
        createdAtMs: now(),
        endsAtMs: now() + minutes * 60_000,
      };
      world.silences.push(silence);
      return silence;
    },
    deleteSilence: (request) => remove(world.silences, request),
    listWebhooks: () => ({ webhooks: world.webhooks }),
    addWebhook: ({ body }) => {
      const webhook = {
        id: 100 + world.id(),
        title: body.title,
        url: body.url,
        isEnabled: true,
        last: null,
        format: body.format ?? "lars",
        timeoutS: body.timeoutS ?? 10,
        groupS: body.groupS ?? 0,
        waitingCount: 0,
      };
      world.webhooks.push(webhook);
      return { ...webhook, secret: "whsec_0123456789abcdef0123456789abcdef" };
    },
    patchWebhook: (request) => {
      const webhook = world.webhooks.find(({ id }) => id === Number(request.params.id));
      return Object.assign(webhook ?? {}, request.body);
    },
    deleteWebhook: (request) => remove(world.webhooks, request),
    testWebhook: () => ({ isDone: true, text: "200 OK in 41 ms" }),
    listAudit: (request) => ({ entries: back(world.audit, request) }),
    listUsers: () => ({ users: world.users }),
    addUser: ({ body }) => {
      const user = {
        ...body,
        login: "password",
        isDisabled: false,
        mustChangePassword: true,
        createdAtMs: now(),
        lastLoginAtMs: null,
      };
      world.users.push(user);
      return { user, password: "brisk-otter-lamp-42" };
    },
    patchUser: (request) => Object.assign(userOf(request), request.body),
    resetPassword: (request) => ({ user: userOf(request), password: "brisk-otter-lamp-42" }),
    deleteUser: (request) => void world.users.splice(world.users.indexOf(userOf(request)), 1),
    listTokens: () => ({ tokens: world.tokens }),
    addToken: ({ body, who }) => {
      const token = {
        id: 100 + world.id(),
        title: body.title,
        owner: who,
        role: body.role,
        createdAtMs: now(),
        expiresAtMs: body.days === null ? null : now() + body.days * 86_400_000,
        lastUsedAtMs: null,
      };
      world.tokens.push(token);
      return { ...token, secret: "lars_0123456789abcdef0123456789abcdef0123456789" };
    },
    deleteToken: (request) => remove(world.tokens, request),
  };
  return { table, sessionOf };
}

/** The browser went on to another page before it had sent its request: nobody waits for an answer. */
class Gone extends Error {}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Uint8Array);
  } catch (error) {
    throw new Gone(String(error));
  }
  const text = new TextDecoder().decode(Buffer.concat(chunks));
  return text === "" ? undefined : JSON.parse(text);
}

/** Starts a server on a free port of 127.0.0.1. */
export async function startFixtureServer(scene: Scene): Promise<FixtureServer> {
  const world = new FixtureWorld(scene, Date.now());
  const logins = new Map<string, Login>();
  const { table, sessionOf } = handlers(world);
  const faults: string[] = [];
  const refuse = new Map<RouteName, ProblemName>();
  const hang = new Set<RouteName>();
  const streams = new Set<ServerResponse>();
  const sent = new Map<string, number>();
  let logins_made = 0;

  const answer = (
    response: ServerResponse,
    status: number,
    headers: Record<string, string>,
    body: string | Uint8Array,
    path: string,
  ): void => {
    sent.set(path, (sent.get(path) ?? 0) + body.length);
    response.writeHead(status, { "Content-Security-Policy": POLICY, ...headers });
    response.end(body);
  };
  const refuseWith = (response: ServerResponse, refusal: Refusal, path: string): void => {
    const { status, title } = PROBLEMS[refusal.kind];
    const body = {
      type: `urn:lars:${refusal.kind}`,
      title,
      status,
      detail: refusal.message,
      ...refusal.more,
    };
    const headers = { "Content-Type": "application/problem+json" };
    answer(response, status, headers, JSON.stringify(body), path);
  };

  const stream = (response: ServerResponse, query: Record<string, string>): void => {
    const view = query.view ?? "overview";
    const names: Record<string, RouteName> = {
      overview: "getOverview",
      modules: "listModules",
      module: "getModule",
      alerts: "listAlerts",
    };
    response.writeHead(200, {
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-store",
      "Content-Security-Policy": POLICY,
    });
    streams.add(response);
    let last = "";
    const turn = (): void => {
      const name = names[view];
      if (name === undefined) return;
      const params = { modId: Number(query.modId), cmdId: Number(query.cmdId) };
      const request = { params, query, body: undefined, who: "", ifMatch: undefined };
      const isGone = view === "module" && world.find(params.modId, params.cmdId) === undefined;
      const value = (isGone ? params : table[name]?.(request as unknown as Request)) as {
        atMs?: number;
      };
      const text = JSON.stringify(value);
      const compared = JSON.stringify({ ...value, atMs: 0 });
      if (compared === last) return;
      last = compared;
      response.write(`event: ${isGone ? "gone" : view}\ndata: ${text}\n\n`);
    };
    response.write(": hello\n\n");
    turn();
    const timer = setInterval(turn, LIVE_MS);
    response.on("close", () => {
      clearInterval(timer);
      streams.delete(response);
    });
  };

  const serveApi = async (
    request: IncomingMessage,
    response: ServerResponse,
    url: URL,
  ): Promise<void> => {
    const called = ROUTES.find(({ route, pattern }) =>
      route.method === request.method && pattern.test(url.pathname)
    );
    const { name, route, pattern } = found(called, "route");
    if (hang.has(name)) return;
    const kind = refuse.get(name);
    if (kind !== undefined) throw new Refusal(kind, `${name} is refused on purpose`);
    const cookie = /lars_session=(\w+)/.exec(request.headers.cookie ?? "")?.[1] ?? "";
    const login = logins.get(cookie);
    const query = Object.fromEntries(url.searchParams);
    const body = await readBody(request);
    if (name === "login" || name === "loginByLink") {
      const given = body as { name: string; password: string };
      const user = world.users.find((one) => one.name === given.name);
      const wanted = user?.mustChangePassword === true ? ONE_TIME : PASSWORD;
      if (user === undefined || given.password !== wanted || user.isDisabled) {
        throw new Refusal("wrong-login", "Name or password is wrong.");
      }
      const token = `s${++logins_made}`;
      const made = { name: given.name, csrf: `csrf-${token}` };
      logins.set(token, made);
      const headers = {
        "Content-Type": "application/json",
        "Set-Cookie": `lars_session=${token}; HttpOnly; SameSite=Strict; Path=/`,
      };
      return answer(response, 200, headers, JSON.stringify(sessionOf(made)), url.pathname);
    }
    if (name === "getLoginHelp") {
      const help = {
        provider: null,
        storeOption: "--store sqlite:/srv/lars/data/lars.db",
        readOnly: world.readOnly,
      };
      const headers = { "Content-Type": "application/json" };
      return answer(response, 200, headers, JSON.stringify(help), url.pathname);
    }
    if (login === undefined) throw new Refusal("not-logged-in", "Log in first.");
    if (route.method !== "GET" && request.headers["x-csrf-token"] !== login.csrf) {
      throw new Refusal("csrf", "The token is missing.");
    }
    if (name === "logout") {
      logins.delete(cookie);
      return answer(response, 204, {}, "", url.pathname);
    }
    const groups = { ...pattern.exec(url.pathname)?.groups };
    for (const key of Object.keys(groups)) groups[key] = decodeURIComponent(groups[key]);
    const parsed = {
      params: route.params?.safeParse(groups),
      query: route.query?.safeParse(query),
      body: route.body?.safeParse(body),
    };
    for (const part of Object.values(parsed)) {
      if (part?.success !== false) continue;
      throw new Refusal("invalid", "A value is wrong.", {
        errors: part.error.issues.map(({ path, message }) => ({ path: path.join("."), message })),
      });
    }
    if (name === "live") return stream(response, query);
    const result = table[name]?.({
      params: (parsed.params?.data ?? {}) as Request["params"],
      query,
      body: parsed.body?.data,
      who: login.name,
      login,
      ifMatch: request.headers["if-match"],
    });
    if (route.response === null) return answer(response, 204, {}, "", url.pathname);
    if (typeof route.response === "string") {
      const headers = { "Content-Type": route.response };
      return answer(response, 200, headers, String(result), url.pathname);
    }
    const checked = route.response.safeParse(result);
    if (!checked.success) faults.push(`${name}: ${checked.error.message.slice(0, 400)}`);
    const headers = { "Content-Type": "application/json" };
    answer(response, route.status ?? 200, headers, JSON.stringify(result), url.pathname);
  };

  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    const fail = (error: unknown): void => {
      if (error instanceof Gone) return;
      if (!(error instanceof Refusal)) faults.push(String(error));
      const refusal = error instanceof Refusal ? error : new Refusal("internal", String(error));
      refuseWith(response, refusal, url.pathname);
    };
    if (url.pathname.startsWith("/api/")) {
      serveApi(request, response, url).catch(fail);
      return;
    }
    const asset = findAsset(url.pathname, {
      acceptEncoding: String(request.headers["accept-encoding"] ?? ""),
      ifNoneMatch: request.headers["if-none-match"],
    });
    if (asset === undefined) return fail(new Refusal("not-found", "There is no such page"));
    answer(response, asset.status, { ...asset.headers }, asset.body, url.pathname);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const dropStreams = (): void => streams.forEach((response) => response.destroy());
  return {
    url: `http://127.0.0.1:${port}`,
    world,
    faults,
    refuse,
    hang,
    sent,
    dropStreams,
    close: () => {
      dropStreams();
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
