// The configuration files of the original's latest sources, where they differ from the tutorial's.

import assert from "node:assert/strict";
import { test } from "node:test";
import { agentSettings, balanceSettingsOf } from "../agent/config.ts";
import { storeUrl } from "../daemon/settings/common_settings.ts";
import { readSettings } from "../daemon/settings/settings.ts";
import { dnsSettings } from "../dns/config.ts";
import { ConfigFile } from "../reactor/config_file.ts";
import { reporterSettings } from "../reporter/config.ts";

const REACTOR = "[reactor]\nmaxConn = 1024\nthreadNum = 5\nip = 127.0.0.1\n";
const MYSQL = "[mysql]\ndb_host = 127.0.0.1\ndb_port = 3306\ndb_user = root\n" +
  "db_passwd = 123456\ndb_name = lars_dns\n";

test("dns and reporter take their database from [mysql] of one and the same kind of file", () => {
  const dns = ConfigFile.parse(`${REACTOR}port = 7778\n\n${MYSQL}`, "lars_dns.conf");
  const reporter = ConfigFile.parse(
    `${REACTOR}port = 7779\n\n${MYSQL}\n[repoter]\ndb_thread_cnt = 3\n`,
    "lars_reporter.conf",
  );
  const urls = [
    storeUrl(readSettings(dnsSettings, { file: dns })),
    storeUrl(readSettings(reporterSettings, { file: reporter })),
  ];
  assert.deepEqual(urls, new Array(2).fill("mysql://root:123456@127.0.0.1:3306/lars_dns"));
  assert.equal(readSettings(reporterSettings, { file: reporter }).queueCount, 3);
});

test("the agent takes succ_rate 0.5 and init_err_cnt", () => {
  const text = "[reporter]\nip = 127.0.0.1\nport = 7779\n\n[dnsserver]\nip = 127.0.0.1\n" +
    "port = 7778\n\n[loadbalance]\n;注释\nprobe_num=10\ninit_succ_cnt=180\ninit_err_cnt=5\n" +
    "err_rate=0.1\nsucc_rate=0.5\ncontin_err_limit=15\ncontin_succ_limit=15\n" +
    "window_err_rate=0.7\nidle_timeout=15\noverload_timeout=15\nupdate_timeout=15\n";
  const file = ConfigFile.parse(text, "lars_lb_agent.conf");
  const rules = balanceSettingsOf(readSettings(agentSettings, { file }));
  assert.deepEqual([rules.succRate, rules.initErrCnt, rules.probeNum], [0.5, 5, 10]);
});
