import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { defaultBalanceSettings } from "../balancer/mod.ts";
import { readSettings } from "../daemon/settings/settings.ts";
import { frameGetRouteResponse } from "../proto/codec.ts";
import { ConfigFile } from "../reactor/config_file.ts";
import { ConfigError } from "../reactor/errors.ts";
import { chooseCallerIp } from "../feed/caller_ip.ts";
import { agentSettings, balanceSettingsOf } from "./config.ts";
import { mergeStatus, type ShardStats } from "./worker/messages.ts";
import { hostsThatFit } from "./worker/shard.ts";

test("hostsThatFit() never says too many, and wastes less than one node", () => {
  const hostArbitrary = fc.record({
    ip: fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 0, max: 0xffffffff })),
    port: fc.integer({ min: 1, max: 65535 }),
  });
  const largest = { modId: 0xffffffff, cmdId: 0xffffffff };
  fc.assert(
    fc.property(
      fc.array(hostArbitrary, { maxLength: 60 }),
      fc.integer({ min: 40, max: 800 }),
      (hosts, bytesMax) => {
        const fixedBytes = frameGetRouteResponse({ ...largest, hosts: [] }).length;
        const count = hostsThatFit(hosts, bytesMax - fixedBytes);
        const size = (length: number): number =>
          frameGetRouteResponse({ ...largest, hosts: hosts.slice(0, length) }).length;
        assert.ok(size(count) <= bytesMax);
        if (count < hosts.length) assert.ok(size(count + 1) > bytesMax);
      },
    ),
  );
});

test("chooseCallerIp() takes the best address there is", () => {
  const cases: [string, (string | undefined)[], string[], number][] = [
    ["10.0.0.1", ["10.0.0.2"], ["10.0.0.3"], 0x0a000001],
    ["", [undefined, "10.0.0.2"], ["10.0.0.3"], 0x0a000002],
    ["", ["127.0.0.1", "10.0.0.2"], ["10.0.0.3"], 0x0a000002],
    ["", ["127.0.0.1", "127.0.1.1"], ["10.0.0.3"], 0x0a000003],
    ["", ["0.0.0.0", "::1", "localhost"], [], 0x7f000001],
    ["", [], ["192.168.1.177"], 3232235953],
    ["", [], [], 0x7f000001],
  ];
  for (const [configured, locals, interfaces, expected] of cases) {
    assert.equal(chooseCallerIp({ configured, locals, interfaces }), expected);
  }
  assert.throws(
    () => chooseCallerIp({ configured: "host", locals: [], interfaces: [] }),
    RangeError,
  );
});

test("the settings without a file are those of the original", () => {
  const settings = readSettings(agentSettings, {});
  assert.deepEqual(balanceSettingsOf(settings), defaultBalanceSettings);
  assert.deepEqual(settings.dnsAddresses, [{ hostname: "127.0.0.1", port: 7778 }]);
  assert.deepEqual(settings.reporterAddresses, [{ hostname: "127.0.0.1", port: 7779 }]);
  assert.deepEqual([settings.listenIp, settings.listenPort], ["127.0.0.1", 8888]);
});

test("the original's file is read unchanged", () => {
  const original = `[reporter]
ip = 10.0.0.1
port = 7001

[dnsserver]
ip = 10.0.0.2
port = 7002

[loadbalance]
;经过若干次获取请求host节点后，试探选择一次overload过载节点
probe_num=5
init_succ_cnt=270
init_err_cnt=6
err_rate=0.2
succ_rate=0.92
contin_err_limit=10
contin_succ_limit=11
window_err_rate=0.6
idle_timeout=16
overload_timeout=17
update_timeout=18
`;
  const settings = readSettings(agentSettings, { file: ConfigFile.parse(original, "agent.conf") });
  assert.deepEqual(balanceSettingsOf(settings), {
    probeNum: 5,
    initSuccCnt: 270,
    initErrCnt: 6,
    errRate: 0.2,
    succRate: 0.92,
    continErrLimit: 10,
    continSuccLimit: 11,
    windowErrRate: 0.6,
    idleTimeoutMs: 16_000,
    overloadTimeoutMs: 17_000,
    updateTimeoutMs: 18_000,
  });
  assert.deepEqual(settings.reporterAddresses, [{ hostname: "10.0.0.1", port: 7001 }]);
  assert.deepEqual(settings.dnsAddresses, [{ hostname: "10.0.0.2", port: 7002 }]);
});

test("values out of range are refused before anything listens", () => {
  const wrongs = [
    ["loadbalance.probe_num", "1.5"],
    ["loadbalance.err_rate", "high"],
    ["loadbalance.idle_timeout", "15s"],
    ["agent.port", "65534"],
    ["agent.threads", "2"],
    ["agent.modules_max", "2"],
    ["dnsserver.ip", "a,b:99999"],
  ];
  for (const [key, value] of wrongs) {
    assert.throws(() => readSettings(agentSettings, { flags: { [key]: value } }), ConfigError, key);
  }
});

test("mergeStatus() adds up what the shards count", () => {
  const shard = (index: number): ShardStats => ({ shard: index, picks: 2 } as ShardStats);
  assert.deepEqual(mergeStatus({ zone: "a", picksBefore: 1 }, [shard(0), shard(1)]), {
    zone: "a",
    picksBefore: 1,
    picks: 4,
  });
});
