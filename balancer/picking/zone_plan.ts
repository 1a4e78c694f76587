// Core. Which share of the calls of an agent goes to each zone.

/** Share of each of some weights in their sum; all 0 when there is no weight. */
export function sharesByWeight(weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => total > 0 ? weight / total : 0);
}

/** A zone as an agent sees it. */
export interface ZoneHealth {
  readonly zone: string;
  /** Sum of the weights of its usable nodes: capacity times health. */
  readonly health: number;
}

/** What a plan is made of beside the zones. */
export interface ZoneRules {
  /** Where the agent stands; undefined = no zone is nearer than another. */
  readonly ownZone: string | undefined;
  /** Share of all calls that come from each zone; those not named share the rest evenly. */
  readonly callers: Readonly<Record<string, number>>;
  readonly evacuated: readonly string[];
  /** How far above its fair load the own zone is loaded before calls go elsewhere. */
  readonly slack: number;
}

/** Share of all calls that come from each zone, and from the own one if it has no node. */
function callerShares(
  zones: readonly ZoneHealth[],
  ownZone: string,
  rules: ZoneRules,
): Map<string, number> {
  const names = new Set([...zones.map(({ zone }) => zone), ownZone]);
  const named = [...names].filter((zone) => Object.hasOwn(rules.callers, zone));
  const rest = 1 - Object.values(rules.callers).reduce((sum, part) => sum + part, 0);
  const each = Math.max(0, rest) / Math.max(1, names.size - named.length);
  return new Map([...names].map((zone) => [
    zone,
    Object.hasOwn(rules.callers, zone) ? rules.callers[zone] : each,
  ]));
}

/**
 * Share of its calls the agent sends to each zone; they sum to 1, or all are 0 without any health.
 *
 * The fair load of a zone is its share of the health of all zones. The own zone gets all calls
 * while its callers stay within its fair load (and the slack); the rest goes to zones in proportion
 * to the fair load that their own callers leave free. As what is free elsewhere is never less than
 * what is too much here, no zone gets more than its fair load times 1 + slack, if callers are where
 * `callers` says. The arithmetic is that of Envoy's zone-aware routing (`locality residual
 * capacity`), with call results as health and the slack of ours.
 *
 * An evacuated zone counts as one without health while another one has some.
 */
export function planZones(zones: readonly ZoneHealth[], rules: ZoneRules): number[] {
  const evacuated = new Set(rules.evacuated);
  const elsewhere = zones.some(({ zone, health }) => health > 0 && !evacuated.has(zone));
  const health = zones.map((zone) => elsewhere && evacuated.has(zone.zone) ? 0 : zone.health);
  const fair = sharesByWeight(health);
  const { ownZone } = rules;
  if (ownZone === undefined || fair.every((part) => part === 0)) return fair;
  const callers = callerShares(zones, ownZone, rules);
  const callersOf = (index: number): number => callers.get(zones[index].zone) ?? 0;
  const own = zones.findIndex(({ zone }) => zone === ownZone);
  const room = own < 0 ? 0 : fair[own] * (1 + rules.slack);
  const wanted = callers.get(ownZone) ?? 0;
  const local = own < 0 || fair[own] === 0 ? 0 : wanted <= room ? 1 : room / wanted;
  const free = fair.map((part, index) => index === own ? 0 : Math.max(0, part - callersOf(index)));
  const freeTotal = free.reduce((sum, part) => sum + part, 0);
  const others = freeTotal > 0 ? free : fair.map((part, index) => index === own ? 0 : part);
  const othersTotal = others.reduce((sum, part) => sum + part, 0);
  // Nowhere else to go: the own zone takes all.
  if (othersTotal === 0) return zones.map((_, index) => index === own ? 1 : 0);
  return zones.map((_, index) => index === own ? local : (1 - local) * others[index] / othersTotal);
}

/**
 * Keeps a plan from trembling: the share of the own zone falls at once, as its nodes are in
 * trouble, and rises only by steps of at least `hysteresis`, or to what it can be at most.
 */
export function steadied(now: number, wanted: number, hysteresis: number): number {
  return wanted < now || wanted >= now + hysteresis || wanted >= 1 ? wanted : now;
}
