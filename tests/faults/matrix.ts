// Core. The rows of `deno task faults`: what is promised, by which tests it is shown, and which faults
// these bring about.

/** The faults there are; each is brought about by one row at least. */
export const FAULT_KINDS = [
  "kill -9",
  "SIGTERM",
  "SIGSTOP",
  "cut one way",
  "cut both ways",
  "loss",
  "delay",
  "reorder",
  "duplicate",
  "corrupt",
  "RST",
  "no descriptors",
  "disk full",
  "slow fsync",
  "clock step",
  "CPU 20 %",
  "memory cap",
  "SQL down",
  "SQL hung",
  "SQL behind",
  "bad peer",
] as const;

export type FaultKind = (typeof FAULT_KINDS)[number];

/** What a test needs of the machine, beside the runtime. */
export type FaultNeed =
  | "mounts"
  | "mariadb"
  | "galera"
  | "faketime"
  | "network namespaces"
  | "prlimit"
  | "strace"
  | "C compiler"
  | "cgroups";

/** One test of a row. */
export interface FaultCheck {
  readonly file: string;
  /** The title of the test, or its beginning. */
  readonly title: string;
  /** Lines of its output that are figures, beside those that say so. */
  readonly figures?: readonly RegExp[];
  readonly needs?: readonly FaultNeed[];
  /** Takes more than half a minute: left out by `--short`. */
  readonly isLong?: boolean;
}

/** One promise. */
export interface FaultRow {
  readonly id: string;
  readonly promise: string;
  readonly faults: readonly FaultKind[];
  readonly checks: readonly FaultCheck[];
}

const FAULTS = "tests/faults_test.ts";
const BAD_INPUT = "tests/e2e_bad_input_test.ts";
const LEASES = "tests/e2e_discovery_faults_test.ts";
const OWN = "tests/faults/";

/** The kill of everything in turn shows several promises at once. */
const KILLED_IN_TURN: FaultCheck = {
  file: FAULTS,
  title: "kill -9 of dns, reporter and MariaDB during load: no get_host fails, nothing is lost",
  figures: [/: \d+ ms$/, /calls, \d+ failed, slowest/],
  needs: ["mariadb"],
};

const THOUSAND_AGENTS: readonly FaultCheck[] = ["as they are", "over mutual TLS"].flatMap((how) =>
  [
    `a thousand agents of three dns, of which one is killed, stopped and back, ${how}`,
    `a thousand agents of one dns are back after its restart, ${how}`,
  ].map((title) => ({ file: "tests/e2e_many_agents_test.ts", title, isLong: true }))
);

/** Every promise, in order. */
export const FAULT_ROWS: readonly FaultRow[] = [
  {
    id: "G1",
    promise: "callers are answered while every dns is away: 0 failed get_host, the age is shown",
    faults: ["kill -9"],
    checks: [{ file: `${OWN}away_test.ts`, title: "every dns away" }],
  },
  {
    id: "G2",
    promise: "an agent that was killed answers from its file within 1 s, with dns away",
    faults: ["kill -9"],
    checks: [{
      file: FAULTS,
      title: "an agent that was killed serves at once from its cache, with dns down",
      figures: [/^agent ready/],
    }],
  },
  {
    id: "G3",
    promise: "a change in SQL reaches 1,000 subscribers: median under 0.7 s, p99 under 1.5 s",
    faults: [],
    checks: [{ file: `${OWN}push_test.ts`, title: "changes reach 1,000 subscribers" }],
  },
  {
    id: "G4",
    promise: "no change is lost, and nobody goes back to an older one",
    faults: ["kill -9", "SQL behind"],
    checks: [
      {
        file: "tests/e2e_edits_test.ts",
        title: "no edit is lost, by several writers and with two dns of which one is killed",
        figures: [/edits in \d+ ms/],
      },
      {
        file: "tests/never_older_test.ts",
        title: "no schedule takes an agent back to an older route, and all end with the newest",
      },
      {
        file: "sql/drivers/mysql_faults_test.ts",
        title: "mysql store leaves a host that lags behind what was read before",
        needs: ["mariadb"],
      },
    ],
  },
  {
    id: "G5",
    promise: "the dns in use dies: the next one within 1 s; it falls silent: within 3 s",
    faults: ["kill -9", "SIGSTOP"],
    checks: [{
      file: FAULTS,
      title: "a dns that falls silent is left for the next one within 3 s",
      figures: [/^a (module|change).*: \d+ ms$/],
    }],
  },
  {
    id: "G6",
    promise:
      "a dns of three comes back: 1,000 agents return within 5 s, at most 200 connects a second; " +
      "to one alone evenly, 200 a second: within 5.5 s",
    faults: ["kill -9", "SIGSTOP", "SIGTERM"],
    checks: [
      ...THOUSAND_AGENTS,
      {
        file: FAULTS,
        title: "a dns that accepts and closes at once is not hammered",
        figures: [/connections of one agent in 2 s/],
      },
    ],
  },
  {
    id: "G7",
    promise: "a dead node is out after 3 failed calls that were refused, or 1 s of calls given up",
    faults: ["kill -9"],
    checks: [{ file: `${OWN}nodes_test.ts`, title: "a node dies" }],
  },
  {
    id: "G8",
    promise:
      "a node that is back has 80 % of its share within 5 s where agents check it; by calls alone " +
      "it rests first, at most 10 s, twice as long each time it is tried in vain",
    faults: ["kill -9"],
    checks: [{ file: `${OWN}nodes_test.ts`, title: "a node is back" }],
  },
  {
    id: "G9",
    promise: "nobody is refused while every node fails, nor when they are back",
    faults: ["kill -9"],
    checks: [{ file: `${OWN}nodes_test.ts`, title: "every node fails" }],
  },
  {
    id: "G10",
    promise: "a module that loses most of its nodes at once is held back until it is confirmed",
    faults: ["bad peer"],
    checks: [
      { file: "tests/e2e_guard_test.ts", title: "a bare DELETE is held back where our editors" },
      {
        file: "discovery/lease_table_test.ts",
        title: "guard: too many at once are held, and go when their hosts refuse",
      },
    ],
  },
  {
    id: "G11",
    promise: "the database is down or hangs: dns serves, and catches up within 2 s of its return",
    faults: ["SQL down", "SQL hung"],
    checks: [
      KILLED_IN_TURN,
      { file: `${OWN}away_test.ts`, title: "the database away", needs: ["mariadb"] },
      {
        file: "tests/e2e_dns_file_test.ts",
        title: "a dns serves the routes of its last run while the database is away, and says so",
      },
    ],
  },
  {
    id: "G12",
    promise: "a Galera cluster loses a node: writes stall at most 8 s, what was acknowledged stays",
    faults: ["SQL down", "SQL behind"],
    checks: [
      {
        file: "sql/drivers/galera_test.ts",
        title: "a real Galera cluster: conflicts, limits, a node that lags",
        needs: ["galera"],
        isLong: true,
      },
      {
        file: `${OWN}galera_test.ts`,
        title: "edits through a Galera cluster",
        needs: ["galera"],
        isLong: true,
      },
    ],
  },
  {
    id: "G13",
    promise: "a zone is cut off, one way or both: 0 failed get_host in either zone; writes stall " +
      "at most 8 s where each has a Galera node, and what was acknowledged stays",
    faults: ["cut one way", "cut both ways"],
    checks: [
      {
        file: "tests/e2e_zones_test.ts",
        title: "two zones: cut one way and both ways, healed; nodes away, and back",
        figures: [/, (east|west): \d+ asked/],
        needs: ["network namespaces", "mariadb"],
        isLong: true,
      },
      {
        file: `${OWN}zones_test.ts`,
        title: "two zones with a Galera node in each",
        needs: ["network namespaces", "galera"],
        isLong: true,
      },
    ],
  },
  {
    id: "G14",
    promise: "results are counted once, over a reporter that is killed and a database that hangs",
    faults: ["kill -9", "SQL hung"],
    checks: [
      {
        file: "tests/durable_results_test.ts",
        title: "a reporter killed while the database hangs takes no call with it: one loop",
        needs: ["mariadb"],
        isLong: true,
      },
      {
        file: "tests/counted_once_test.ts",
        title: "each call counts once, over shards, slow and broken connections and killed",
      },
    ],
  },
  {
    id: "G15",
    promise:
      "leases: nobody that lives expires, of 15 s also at 20 % loss; a killed node is out within 1 s",
    faults: ["SIGSTOP", "loss", "SQL hung", "kill -9"],
    checks: [
      {
        file: LEASES,
        title: "a registration is pushed at once, and a node that is killed with it is out at once",
        figures: [/^registration until push/],
      },
      { file: LEASES, title: "a discovery that is stopped for longer than a ttl", isLong: true },
      {
        file: LEASES,
        title: "while the database is away nobody expires, and afterwards the dead go",
        needs: ["mariadb"],
      },
      {
        file: `${OWN}lossy_test.ts`,
        title: "leases at 20 % loss",
        needs: ["network namespaces"],
      },
    ],
  },
  {
    id: "G16",
    promise: "10 million hostile frames and datagrams: no crash, memory growth at most 5 MB, " +
      "p99 of valid callers at most doubled",
    faults: ["bad peer", "corrupt", "RST"],
    checks: [
      { file: `${OWN}hostile_test.ts`, title: "hostile datagrams" },
      { file: `${OWN}hostile_test.ts`, title: "hostile frames" },
      {
        file: BAD_INPUT,
        title: "dns outlives what hostile peers send, and serves the others meanwhile",
        figures: [/half-open frame/],
      },
      { file: BAD_INPUT, title: "the agent outlives datagrams of every size and kind" },
    ],
  },
  {
    id: "G17",
    promise: "no stranger is answered with more than three times what he sent",
    faults: ["bad peer"],
    checks: [{
      file: "agent/worker/strangers_test.ts",
      title: "no stranger is answered with more than three times what he sent, by any message",
    }],
  },
  {
    id: "G18",
    promise:
      "30,000 modules that nobody has cost an agent at most 30 MB, and push out none that exist",
    faults: ["bad peer"],
    checks: [{
      file: BAD_INPUT,
      title: "unknown modules neither fill the agent nor push out the known ones",
    }],
  },
  {
    id: "G19",
    promise: "peers that never read cost dns a bounded amount of memory, and the others nothing",
    faults: ["bad peer"],
    checks: [{
      file: BAD_INPUT,
      title: "a peer that never reads costs dns a bounded amount of memory",
      figures: [/dns grew by/],
    }],
  },
  {
    id: "G20",
    promise: "1,000 silent connections at each port of each service keep nobody out for 1 s",
    faults: ["bad peer"],
    checks: [{
      file: "tests/e2e_silent_peers_test.ts",
      title: "1,000 silent connections at each port of each service keep nobody out",
      figures: [/^\w+ beside silent ones at its port/],
      needs: ["prlimit"],
      isLong: true,
    }],
  },
  {
    id: "G21",
    promise: "no descriptors left: nothing ends, others are served, newcomers afterwards",
    faults: ["no descriptors"],
    checks: [
      {
        file: FAULTS,
        title: "running out of file descriptors neither kills dns nor keeps it busy",
        figures: [/without descriptors used/, /newcomer is served/],
        needs: ["prlimit"],
      },
      { file: BAD_INPUT, title: "connections beyond maxConn are closed at once" },
    ],
  },
  {
    id: "G22",
    promise: "the wall clock steps by an hour and a day: no choice, refresh or lease changes",
    faults: ["clock step"],
    checks: [
      {
        file: "tests/clock_steps_test.ts",
        title: "steps of the wall clock by an hour and a day change no choice",
        needs: ["faketime"],
      },
      {
        file: LEASES,
        title: "steps of the wall clock by an hour and a day expire nobody",
        needs: ["faketime"],
      },
    ],
  },
  {
    id: "G23",
    promise: "20 % loss, 50 ± 20 ms, reorder, duplicates, damage: 0 wrong answers, no change lost",
    faults: ["loss", "delay", "reorder", "duplicate", "corrupt", "RST"],
    checks: [
      { file: `${OWN}noise_test.ts`, title: "a noisy path between caller and agent" },
      { file: `${OWN}noise_test.ts`, title: "a noisy path between agent and dns" },
    ],
  },
  {
    id: "G24",
    promise: "a stopped agent costs a caller its deadline of 50 ms and 10 more, and it has a node",
    faults: ["SIGSTOP"],
    checks: [{ file: `${OWN}away_test.ts`, title: "a stopped agent" }],
  },
  {
    id: "G25",
    promise: "disk full or read-only: services go on, with at most one alarm a minute",
    faults: ["disk full"],
    checks: [{ file: `${OWN}scarce_test.ts`, title: "a full disk", needs: ["mounts"] }],
  },
  {
    id: "G26",
    promise:
      "a fifth of a processor, stalls of 200 ms, little memory: nobody that lives expires, " +
      "no call fails, nothing ends",
    faults: ["CPU 20 %", "memory cap"],
    checks: [{ file: `${OWN}scarce_test.ts`, title: "a fifth of a processor" }, {
      file: `${OWN}scarce_test.ts`,
      title: "little memory",
      needs: ["cgroups"],
    }],
  },
  {
    id: "G27",
    promise: "rolling upgrades of every service: 0 failed get_host",
    faults: ["SIGTERM"],
    checks: [
      {
        file: "tests/e2e_rolling_test.ts",
        title: "a rolling restart of dns, reporters and agent fails no call",
        figures: [/calls, \d+ failed/],
      },
      {
        file: "tests/e2e_hand_over_test.ts",
        title: "rolling upgrades of the agent lose no question of callers that never ask again",
      },
    ],
  },
  {
    id: "G28",
    promise: "what a relay has acknowledged is on disk: 0 lost over kill -9, also at slow fsync",
    faults: ["kill -9", "slow fsync"],
    checks: [
      {
        file: "tests/e2e_relay_mail_test.ts",
        title: "e2e: of a relay that is killed in mid-load every acknowledged message arrives",
        isLong: true,
      },
      { file: `${OWN}scarce_test.ts`, title: "slow fsync", needs: ["strace"] },
    ],
  },
  {
    id: "G29",
    promise: "programs of the original and of other versions work with ours, unknown fields pass",
    faults: [],
    checks: [
      {
        file: "tests/e2e_wire_test.ts",
        title: "our agent works with an original dns and an original reporter",
      },
      {
        file: "tests/e2e_wire_test.ts",
        title: "a peer that never says Hello sees the original protocol, to the byte",
      },
      {
        file: "tests/clients_old_callers_test.ts",
        title: "a caller written for the original runs against the agent",
        needs: ["C compiler"],
      },
    ],
  },
  {
    id: "G30",
    promise:
      "a soak of the whole with a fault every 20 s: no wrong answer, memory and handles flat",
    faults: ["kill -9", "SIGTERM", "SIGSTOP", "cut one way", "cut both ways", "delay", "RST"],
    checks: [{
      file: `${OWN}soak_test.ts`,
      title: "a minute of soak",
      needs: ["C compiler", "mariadb"],
      isLong: true,
    }],
  },
  {
    id: "G31",
    promise: "guessing passwords: an address is stopped after ten failures in 15 minutes",
    faults: ["bad peer"],
    checks: [{
      file: "web/access_test.ts",
      title: "LoginRateLimiter: stops an address after too many failures, for a while",
    }],
  },
  {
    id: "G32",
    promise: "every edit is in the history, with who, before and after: 0 gaps",
    faults: ["kill -9"],
    checks: [{ file: `${OWN}history_test.ts`, title: "every edit is in the history" }],
  },
  {
    id: "G33",
    promise: "forged reports put out one node of a module at most, from elsewhere none",
    faults: ["bad peer"],
    checks: [
      {
        file: "balancer/detection/lone_callers_test.ts",
        title: "160 reports of calls that were never made put one node out",
      },
      {
        file: "tests/e2e_strangers_test.ts",
        title: "a datagram from another host counts with a good seal, and once",
      },
    ],
  },
];

/** Rows by their ids, in the order of the matrix. @throws {RangeError} that names an unknown one. */
export function chooseRows(ids: readonly string[]): FaultRow[] {
  const known = FAULT_ROWS.map(({ id }) => id);
  const unknown = ids.find((id) => !known.includes(id.toUpperCase()));
  if (unknown !== undefined) {
    throw new RangeError(
      `Rows are ${known[0]} to ${known.at(-1)}: current value is "${unknown}"`,
    );
  }
  const wanted = ids.map((id) => id.toUpperCase());
  return FAULT_ROWS.filter(({ id }) => wanted.length === 0 || wanted.includes(id));
}

/** A row without the tests that take long; undefined when none is left. */
export function shortRow(row: FaultRow): FaultRow | undefined {
  const checks = row.checks.filter(({ isLong }) => isLong !== true);
  return checks.length === 0 ? undefined : { ...row, checks };
}
