// Shell. Two zones and a place between them as network namespaces, of which each can be cut off. Needs root
// and ip, nft.

import { execFileSync, spawnSync } from "node:child_process";
import process from "node:process";
import { findProgram } from "./mariadb.ts";

/** The zones. */
export const ZONES = ["east", "west"] as const;
export type Zone = (typeof ZONES)[number];

/** Where something can be, and with that the third byte of the addresses there. */
const PLACES = [...ZONES, "mid"] as const;
export type Place = (typeof PLACES)[number];

/** What all ways between the places go through; it cannot be cut off. */
const GATEWAY = "gw";

/** Why there can be no zones here; undefined: there can. */
export function noNetworkReason(): string | undefined {
  if (process.getuid?.() !== 0) return "network namespaces need root";
  for (const program of ["ip", "nft"]) {
    if (findProgram(program) === undefined) return `${program} is not installed`;
  }
  const probe = `lars-probe-${process.pid}`;
  if (spawnSync("ip", ["netns", "add", probe]).status !== 0) {
    return "no network namespace can be made";
  }
  const rules = spawnSync("ip", ["netns", "exec", probe, "nft", "add", "table", "inet", "t"]);
  spawnSync("ip", ["netns", "del", probe]);
  return rules.status === 0 ? undefined : "nft does not work in a namespace";
}

/** The network; `close` takes the namespaces away, the processes in it end with the test. */
export class ZoneNetwork {
  readonly #tag = `lars${process.pid}`;
  #lasts: readonly number[] = [];

  /** @param lasts Last bytes of the addresses that each place has; 254 is the gateway's. */
  make(lasts: readonly number[]): void {
    this.#lasts = lasts;
    sh(`ip netns add ${this.#ns(GATEWAY)}`, `ip -n ${this.#ns(GATEWAY)} link set lo up`);
    this.#in(GATEWAY, "sysctl -qw net.ipv4.ip_forward=1");
    for (const place of PLACES) this.#link(place, lasts);
  }

  /** An address of a place, or its gateway's. */
  ip(place: Place, last: number): string {
    return `10.99.${PLACES.indexOf(place) + 1}.${last}`;
  }

  /** Lines of /etc/hosts that name all addresses: nobody here answers who asks a name server. */
  get hosts(): string {
    const lines = PLACES.flatMap((place) =>
      this.#lasts.map((last) => `${this.ip(place, last)} ${place}-${last}`)
    );
    return ["127.0.0.1 localhost", ...lines, ""].join("\n");
  }

  /** Words that run a program at a place, or at the gateway. */
  within(place: Place | "gw"): string[] {
    return ["ip", "netns", "exec", this.#ns(place)];
  }

  /** Loses what comes to a place from outside of it, and what goes there as well. */
  cut(place: Place, ways: "in" | "both"): void {
    const hook = (chain: string, hookName: string, match: string): string[] => [
      `nft add chain inet cut ${chain} '{ type filter hook ${hookName} priority 0; }'`,
      `nft add rule inet cut ${chain} ${match} drop`,
    ];
    this.#in(place, "nft add table inet cut");
    for (const line of hook("incoming", "input", "iifname eth0")) this.#in(place, line);
    if (ways === "in") return;
    for (const line of hook("outgoing", "output", "oifname eth0")) this.#in(place, line);
  }

  heal(place: Place): void {
    this.#in(place, "nft delete table inet cut");
  }

  close(): void {
    for (const name of [GATEWAY, ...PLACES]) spawnSync("ip", ["netns", "del", this.#ns(name)]);
  }

  #link(place: Place, lasts: readonly number[]): void {
    const [gw, ns, outer] = [this.#ns(GATEWAY), this.#ns(place), `to-${place}`];
    sh(
      `ip netns add ${ns}`,
      `ip link add eth0 netns ${ns} type veth peer name ${outer} netns ${gw}`,
      `ip -n ${gw} addr add ${this.ip(place, 254)}/24 dev ${outer}`,
      `ip -n ${gw} link set ${outer} up`,
      `ip -n ${ns} link set lo up`,
      ...lasts.map((last) => `ip -n ${ns} addr add ${this.ip(place, last)}/24 dev eth0`),
      `ip -n ${ns} link set eth0 up`,
      `ip -n ${ns} route add default via ${this.ip(place, 254)}`,
    );
  }

  #ns(name: string): string {
    return `${this.#tag}-${name}`;
  }

  #in(name: Place | "gw", line: string): void {
    const [program, ...words] = this.within(name);
    execFileSync(program, [...words, "sh", "-c", line], { stdio: "pipe" });
  }
}

function sh(...lines: readonly string[]): void {
  for (const line of lines) execFileSync("sh", ["-c", line], { stdio: "pipe" });
}
