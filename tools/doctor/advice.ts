// Core. What goes wrong with a system, how one sees it, and what to do: for `lars doctor` and its page in docs.

/** One thing that can be wrong. */
export interface Advice {
  /** How it shows, as somebody would say it who has it; the heading in docs. */
  readonly symptom: string;
  /** Why that is so. */
  readonly cause: string;
  /** What to do, with the commands. */
  readonly remedy: string;
}

/**
 * Everything that `lars doctor` can find, and what it cannot find but people ask for: those stand in
 * docs/troubleshooting.md only. In the order of that page.
 */
export const ADVICE = {
  database_away: {
    symptom: "The database does not answer",
    cause:
      "It is down, cannot be reached from here, or does not take this account. Agents and dns " +
      "go on with the routes they have; edits and results wait.",
    remedy: "Try the same URL with the database's own client from this host. " +
      "`lars sql status --store URL` says what is refused.",
  },
  schema_missing: {
    symptom: "The database has no tables of ours, or not all",
    cause:
      "It is new, or the URL names another one than is meant, or it hides a table from an account " +
      "that has no right on it.",
    remedy:
      "`lars sql migrate --store URL` makes them, when the URL is right. A hidden one takes " +
      "the rights of the service: `sql/grants/`, or `lars sql grants`; the console's are `web`.",
  },
  rights_missing: {
    symptom: "The database refuses an account a right",
    cause:
      "`lars` and the console need the rights of `web`, each service those of its own name. They " +
      "are given table by table: before the migration that made a table, or to another user, host " +
      "or database, they were not given.",
    remedy: "`lars sql grants web --user U --host H --database D | mariadb` as an account that " +
      "may give rights, with the name of a service in place of `web` for its own.",
  },
  schema_original: {
    symptom: "The database has the original's tables only",
    cause:
      "Nobody has run the migrations. Names, policies, drains, history, alerts and the list of " +
      "services need our columns and tables.",
    remedy: "`lars sql migrate`. The original's programs go on working with the same database.",
  },
  schema_old: {
    symptom: "The database's schema is older than this program",
    cause: "The programs were upgraded and the database was not.",
    remedy: "`lars sql migrate`: it can run while everything serves.",
  },
  schema_newer: {
    symptom: "The database's schema is newer than this program",
    cause:
      "Another host has migrated it with a newer version. This program reads and refuses to write.",
    remedy: "Install the newer version here too.",
  },
  clock_differs: {
    symptom: "The clock of this host and the database's differ",
    cause: "A clock runs by itself. Ages and charts are shown by the database's clock, but logs, " +
      "certificates and secrets with a time in them go by the host's.",
    remedy:
      "Run a time service (chrony, systemd-timesyncd) on both; `timedatectl` shows whether it is in step.",
  },
  service_missing: {
    symptom: "No dns, or no reporter, has signed in",
    cause:
      "It does not run, or with another database, or its account may not write `ServiceInstance`.",
    remedy:
      "Look at its log. `lars dns --help` and `lars reporter --help` list the keys; `[store] url` " +
      "must be that of the console.",
  },
  service_silent: {
    symptom: "A service gives no sign of life",
    cause: "It ended without saying so, hangs, or is cut off from the database.",
    remedy:
      "Look at its log and at its process. When it was taken down for good its row goes by itself after a day.",
  },
  service_single: {
    symptom: "There is only one dns, or one reporter",
    cause: "While it restarts, agents serve what they have and keep results; new modules wait.",
    remedy:
      "Run a second one beside another database node, and list both to the agents: `[dnsserver] " +
      "ip = HOST1, HOST2`, or `[reporter] ip`.",
  },
  service_unreachable: {
    symptom: "A service has signed in and cannot be reached from here",
    cause:
      "A firewall, a wrong address (a service that listens on 0.0.0.0 signs in with the address " +
      "that it believes to be its own), or it has just ended.",
    remedy: "Try the address by hand (`nc -vz HOST PORT`). Agents on this host need it too.",
  },
  versions_differ: {
    symptom: "Programs of different versions are at work",
    cause:
      "An upgrade is under way, or stopped half-way. The wire is the same, features are those of the older side.",
    remedy:
      "Bring the rest up: database first, then consoles and commands, dns and reporters, agents last.",
  },
  secret_refused: {
    symptom: "Peers refuse each other's secret",
    cause: "The files behind `[auth] token_file` differ, or a new secret was not read yet.",
    remedy:
      "Put both secrets, one a line, into every file, send SIGHUP, and take the old one out when " +
      "all have read it.",
  },
  agent_away: {
    symptom: "No agent answers on this host",
    cause: "It does not run, or on other ports (`[agent] port`, three in a row).",
    remedy:
      "Start `lars-agent -c FILE`, or name its first port: `lars doctor --agent HOST:PORT`. " +
      "Callers on this host get no nodes until then, but for in-process clients that know their dns.",
  },
  agent_unlinked: {
    symptom: "The agent has no dns",
    cause:
      "None of `[dnsserver]` answers. It serves the routes that it has; changes do not arrive.",
    remedy:
      "Check the addresses, that a dns runs there, and the secret. The agent comes back by itself.",
  },
  agent_unreported: {
    symptom: "The agent has no reporter",
    cause: "None of `[reporter]` answers. It keeps results of each node until one does.",
    remedy: "Check the addresses, that a reporter runs there, and the secret.",
  },
  agent_behind: {
    symptom: "Agents lack the newest routes, or are silent",
    cause: "They are cut off from every dns, overloaded, or their host is gone.",
    remedy: "`lars status` names them. On the host: `lars doctor`.",
  },
  routes_held: {
    symptom: "A change of routes does not arrive: it is held back",
    cause: "A module lost more than half of its nodes at once, and nobody said that it is meant.",
    remedy:
      "Look at it with `lars route ls MODID CMDID`; if it is right, `lars route confirm MODID CMDID`.",
  },
  policies_refused: {
    symptom: "An agent refuses the policy of a module",
    cause: "The text in `Module.policy` was not written by our tools, or by a newer version.",
    remedy:
      "`lars module show MODID CMDID` says what is wrong with it; the agent goes on with the policy before.",
  },
  results_dropped: {
    symptom: "Results of calls were dropped",
    cause:
      "More nodes than an agent keeps while its reporter is away, or a reporter whose database was away for long.",
    remedy:
      "See the limits in docs/limits.md; charts have a gap, routes and picks are not affected.",
  },
  table_off: {
    symptom: "Callers cannot pick from shared memory",
    cause: "The agent could not make its table (no /dev/shm, no permission, unknown group), runs " +
      "on the portable path, or has it switched off. Callers ask by UDP, which is right, and slower.",
    remedy: "The agent's log says why at its start. `[agent] shared_table` names the file, " +
      "`[agent] shared_table_group` who may read it.",
  },
  table_full: {
    symptom: "Some modules are not in the shared table",
    cause: "The table holds 64 MiB at most.",
    remedy: "Callers ask for those by UDP. Nothing has to be done unless they are the busy ones.",
  },
  config_wrong: {
    symptom: "A configuration file is wrong",
    cause: "A service would refuse to start with it.",
    remedy:
      "Mend the line that is named. `lars config example` prints every key with meaning and range.",
  },
  export_target: {
    symptom: "An export cannot write its file",
    cause:
      "The folder is not there, or this account may not write in it: the file is written beside " +
      "and renamed. The old file stays, and the export tries again every few seconds.",
    remedy: "Make the folder, or give it to the account of the export (the unit has " +
      "`ReadWritePaths=`); ask again as that account: `sudo -u ACCOUNT lars doctor -c FILE`.",
  },
  export_command: {
    symptom: "A command of an export is not there",
    cause:
      "Its first word is neither a path of a program nor in PATH. Files are not written while " +
      "their check cannot be run, and their readers are not told.",
    remedy: "Name the program with its whole path; commands are not given to a shell.",
  },
  export_port: {
    symptom: "A port of an export is taken",
    cause:
      "Another program listens there, such as systemd-resolved on port 53, or the account may " +
      "not: ports below 1024 need a right. Or the export runs and has it itself, which only its " +
      "`[metrics]` can tell.",
    remedy: "`ss -lntup` says who it is. Choose another port, or give the unit " +
      "`AmbientCapabilities=CAP_NET_BIND_SERVICE`.",
  },
  export_dns_away: {
    symptom: "An export reaches no dns",
    cause: "None is at this address, or a firewall is between. It goes on with what it knew, and " +
      "with `[export] cache_dir` also after a restart.",
    remedy: "Try the address by hand (`nc -vz HOST PORT`), and `[dnsserver] ip` for all there are.",
  },
  export_unready: {
    symptom: "An export runs, and cannot do its work",
    cause: "It says itself what is missing. Whoever it feeds keeps what it was told last.",
    remedy: "Mend what is named: the export tries again by itself. Its log has the first time.",
  },
  haproxy_away: {
    symptom: "HAProxy does not answer an export",
    cause: "It does not run, its runtime socket is elsewhere, or this account may not open it. " +
      "HAProxy keeps the servers that it has.",
    remedy:
      "`stats socket PATH mode 660 level admin` in its section `global`, with the group of the " +
      "export; the same PATH as `[haproxy] socket`.",
  },
  haproxy_refuses: {
    symptom: "HAProxy does not take servers from an export",
    cause: "Its socket has a lower level than admin, a backend is not there, or HAProxy is older " +
      "than 2.6.",
    remedy: "`level admin` at its `stats socket`; the names of `backend` sections in " +
      "`[haproxy] backends`; for an older HAProxy agent checks or a file by a template.",
  },
  secret_readable: {
    symptom: "A file with a secret can be read by everybody on the host",
    cause: "Its mode lets others read it.",
    remedy: "`chmod 640 FILE` and give it the group of the services.",
  },
  open_everywhere: {
    symptom: "A service listens beyond this host without a secret",
    cause: "`[auth] allow_insecure = 1`: whoever reaches the port reads routes and writes results.",
    remedy:
      "Set `[auth] token_file` or `[tls] cert` on all sides, or keep strangers away with a firewall.",
  },
  files_few: {
    symptom: "The limit on open files is low",
    cause:
      "Each agent and each console page is a connection. At the limit further ones are refused; " +
      "those that are there stay.",
    remedy:
      "`LimitNOFILE=65536` in the unit, or `ulimit -n 65536` in the shell that starts the service.",
  },
  disk_full: {
    symptom: "The disk of the data folder is nearly full",
    cause: "The embedded database, snapshots and caches are written there.",
    remedy: "Make room. Shorten the history: `[reporter] history_keep` and its like.",
  },
  node_wrongly_out: {
    symptom: "A node gets no calls, and it is well",
    cause:
      "It is drained or off, out of zone, resting after an outage, or its callers fail with it.",
    remedy:
      "`lars explain MODID CMDID` says of each node why it is picked or not; `--agent HOST` asks " +
      "another host's agent.",
  },
  node_never_out: {
    symptom: "A node fails, and is not taken out",
    cause:
      "Callers do not report failures (a status of 500 that is not thrown), the module has policy " +
      "`lars` and fails as a whole, or too many nodes are out already: then it is held.",
    remedy:
      "`lars explain MODID CMDID`, and `lars module show MODID CMDID` for the rules in force.",
  },
  weights_ignored: {
    symptom: "Calls do not go by weight",
    cause:
      "Weight counts among nodes that can be picked: of the nearest zone, not drained, not out. " +
      "Keyed picks and `p2c_ewma` go by key and by latency first.",
    remedy: "`lars explain MODID CMDID` prints the expected share of each node.",
  },
  edit_slow: {
    symptom: "An edit takes seconds to arrive",
    cause:
      "SQL by hand tells no dns: it is found within a second by version or change row, and within " +
      "ten seconds without either. Or no dns could be told.",
    remedy:
      "Use `lars route`, the console or REST. The answer of the command names a dns that was not reached.",
  },
} as const satisfies Record<string, Advice>;

/** Name of one of {@linkcode ADVICE}. */
export type AdviceKey = keyof typeof ADVICE;

/** The page of docs that is made of the table. */
export function troubleshootingPage(): string {
  const parts = Object.values(ADVICE).map(({ symptom, cause, remedy }) =>
    `## ${symptom}\n\n${paragraph(cause)}\n\n${paragraph(`**Do:** ${remedy}`)}\n`
  );
  const head = "# Troubleshooting by symptom\n\n" + paragraph(
    "`lars doctor` looks for most of these and prints the same advice; add `-c FILE` for the " +
      "configuration files of this host. This page is made by `deno task files` from " +
      "`tools/doctor/advice.ts`.",
  );
  return `${head}\n\n${parts.join("\n")}`;
}

/** Width of a line of Markdown in this project. */
const LINE_WIDTH = 100;

function paragraph(text: string): string {
  return wrapped(text).join("\n");
}

/** The words of a text in lines of at most so many characters; code is not broken. */
export function wrapped(text: string, width = LINE_WIDTH): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.match(/(?:`[^`]*`|[^\s`])+/g) ?? []) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
