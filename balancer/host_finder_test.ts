import assert from "node:assert/strict";
import { test } from "node:test";
import { addressId } from "../model/node.ts";
import { seededRng } from "../reactor/time/rng.ts";
import type { Host } from "./host.ts";
import { HostFinder } from "./host_finder.ts";

/** A host as far as it is looked for. */
function hostOf(ip: number, port: number): Host {
  return { signedIp: ip | 0, port } as Host;
}

test("every node is found at its address, signed or not, and nothing at others", () => {
  const rng = seededRng(9);
  const hosts = new Map<number, Host>();
  const finder = new HostFinder(hosts);
  for (let round = 0; round < 300; round++) {
    const ip = rng.next() < 0.5 ? 0xc0a8_0000 + Math.floor(rng.next() * 300) : 0xffff_ffff;
    const port = 1 + Math.floor(rng.next() * (rng.next() < 0.5 ? 3 : 65_535));
    const key = addressId(ip, port);
    if (rng.next() < 0.7) hosts.set(key, hostOf(ip, port));
    else hosts.delete(key);
    finder.forget();
    for (let look = 0; look < 2; look++) {
      for (const host of hosts.values()) {
        assert.equal(finder.find(host.signedIp, host.port), host);
        assert.equal(finder.find(host.signedIp >>> 0, host.port), host);
      }
      assert.equal(finder.find(ip, port), hosts.get(key));
      assert.equal(finder.find(1, 1), undefined);
      assert.equal(finder.find(ip, 0), undefined);
    }
  }
});

test("more nodes than there are places are all found", () => {
  const hosts = new Map<number, Host>();
  for (let ip = 1; ip <= 10_000; ip++) hosts.set(addressId(ip, 80), hostOf(ip, 80));
  const finder = new HostFinder(hosts);
  for (let look = 0; look < 3; look++) {
    for (let ip = 1; ip <= 10_000; ip++) assert.equal(finder.find(ip, 80)?.signedIp, ip);
  }
});
