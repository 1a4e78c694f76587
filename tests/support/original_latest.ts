// Core. What the original's latest sources bring: configuration files with the keys that they have,
// their tables, and rows of the kinds that their console makes.

const REACTOR = "[reactor]\nmaxConn = 1024\nthreadNum = 5\nip = 127.0.0.1\n";
const MYSQL = "[mysql]\ndb_host = 127.0.0.1\ndb_port = 3306\ndb_user = root\n" +
  "db_passwd = 123456\ndb_name = lars_dns\n";

/** Files by the names under which the original's programs look for them in `./conf`. */
export const LATEST_CONF = {
  "lars_dns.conf": `${REACTOR}port = 7778\n\n${MYSQL}`,
  "lars_reporter.conf": `${REACTOR}port = 7779\n\n${MYSQL}\n[repoter]\ndb_thread_cnt = 3\n`,
  "lars_lb_agent.conf": "[reporter]\nip = 127.0.0.1\nport = 7779\n\n[dnsserver]\n" +
    "ip = 127.0.0.1\nport = 7778\n\n[loadbalance]\n;注释\nprobe_num=10\ninit_succ_cnt=180\n" +
    "init_err_cnt=5\nerr_rate=0.1\nsucc_rate=0.5\ncontin_err_limit=15\ncontin_succ_limit=15\n" +
    "window_err_rate=0.7\nidle_timeout=15\noverload_timeout=15\nupdate_timeout=15\n",
} as const;

/** Addresses in `ServerCallStatus`: the latest sources have them unsigned, the tutorial signed. */
export type StatusKind = "unsigned" | "signed";

const ID = "id int(10) unsigned NOT NULL AUTO_INCREMENT";
const KEYS = "modid int(10) unsigned NOT NULL, cmdid int(10) unsigned NOT NULL";

/** The tables, one statement each. */
export function latestTables(kind: StatusKind): string[] {
  const address = kind === "unsigned" ? "int(11) unsigned NOT NULL" : "int(11) NOT NULL";
  return [
    `CREATE TABLE RouteData (${ID}, ${KEYS}, serverip int(10) unsigned NOT NULL, ` +
    "serverport int(10) unsigned NOT NULL, PRIMARY KEY (id)) ENGINE=InnoDB CHARSET=utf8",
    `CREATE TABLE RouteVersion (${ID}, version int(10) unsigned NOT NULL, PRIMARY KEY (id))`,
    "INSERT INTO RouteVersion(version) VALUES(0)",
    `CREATE TABLE RouteChange (${ID}, ${KEYS}, version bigint(20) unsigned NOT NULL, ` +
    "PRIMARY KEY (id))",
    "CREATE TABLE ServerCallStatus (modid int(11) NOT NULL, cmdid int(11) NOT NULL, " +
    `ip ${address}, port ${address}, caller ${address}, succ_cnt int(11) NOT NULL, ` +
    "err_cnt int(11) NOT NULL, ts bigint(20) NOT NULL, overload char(1) NOT NULL, " +
    "PRIMARY KEY (modid, cmdid, ip, port, caller)) ENGINE=InnoDB CHARSET=utf8",
    ...["mod", "cmd"].map((word) =>
      `CREATE TABLE ${word === "mod" ? "ModIDConfig" : "CmdIDConfig"} (${ID}, ` +
      `${word}id int(10) unsigned NOT NULL, content char(255) NOT NULL, PRIMARY KEY (id)) ` +
      "ENGINE=InnoDB CHARSET=utf8"
    ),
  ];
}

/** Nodes of module (1,1) below and above 128.0.0.0, up to the last address there is. */
export const LATEST_NODES = ["10.0.0.7", "127.255.255.255", "128.0.0.0", "192.168.1.177"] as const;

/** Rows as the original's console makes them, with names of numbers. */
export function latestRows(numberOf: (ip: string) => number): string[] {
  const nodes = LATEST_NODES.map((ip) => `(1, 1, ${numberOf(ip)}, 7777)`);
  return [
    `INSERT INTO RouteData(modid, cmdid, serverip, serverport) VALUES${nodes.join(", ")}`,
    "INSERT INTO ModIDConfig(modid, content) VALUES(1, '支付')",
    "INSERT INTO CmdIDConfig(cmdid, content) VALUES(1, '查询')",
    "UPDATE RouteVersion SET version = UNIX_TIMESTAMP(NOW()) WHERE id = 1",
    "INSERT INTO RouteChange(modid, cmdid, version) VALUES(1, 1, UNIX_TIMESTAMP(NOW()))",
  ];
}
