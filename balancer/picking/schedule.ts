// Core. A list of turns in which each node has its share: for callers that walk through it by themselves.

/** Entries of a schedule for modules of up to 256 nodes. */
export const SCHEDULE_ENTRIES_MAX = 1024;

/** Beyond that many nodes a schedule has four entries for each. */
const NODES_OF_ENTRIES_MAX = SCHEDULE_ENTRIES_MAX / 4;

/** How far a share may be off by rounding to whole entries, as a part of it. */
const SHARE_ERROR_MAX = 0.005;

/** The same of shares that need not be exact: those of probes and refusals. */
const LOOSE_ERROR_MAX = 0.1;

/** A share and how exactly it is to be met. */
export interface ScheduleShare {
  /** Part of all turns, above 0. */
  readonly share: number;
  /** A share near to it will do. */
  readonly isLoose: boolean;
}

/**
 * Turns in which each of `shares`, which sum to 1, comes as often as it should, well mixed: numbers
 * of shares, in order. As short as it can be with shares that are exact enough; where none is that,
 * the longest. Each share comes at least once.
 */
export function makeSchedule(shares: readonly ScheduleShare[]): Uint16Array {
  const { length } = shares;
  if (length === 0) return new Uint16Array();
  const first = shares[0].share;
  if (shares.every(({ share }) => share === first)) return Uint16Array.from(shares.keys());
  const entriesMax = Math.max(SCHEDULE_ENTRIES_MAX, 4 * length);
  // A search costs nodes times lengths.
  const exact = length <= NODES_OF_ENTRIES_MAX ? exactCounts(shares, entriesMax) : undefined;
  return interleave(exact ?? roundedCounts(shares, entriesMax));
}

/** Entries of each share in the shortest schedule that is exact enough. */
function exactCounts(shares: readonly ScheduleShare[], entriesMax: number): number[] | undefined {
  for (let entries = shares.length; entries <= entriesMax; entries++) {
    let sum = 0;
    for (const { share, isLoose } of shares) {
      const wanted = share * entries;
      const count = Math.max(1, Math.round(wanted));
      const off = Math.abs(count - wanted);
      if (off > wanted * (isLoose ? LOOSE_ERROR_MAX : SHARE_ERROR_MAX)) {
        sum = -1;
        break;
      }
      sum += count;
    }
    if (sum === entries) {
      return shares.map(({ share }) => Math.max(1, Math.round(share * entries)));
    }
  }
  return undefined;
}

/** One entry for each of the smallest shares, and for the others as many as come nearest. */
function roundedCounts(shares: readonly ScheduleShare[], entries: number): number[] {
  let small = 0;
  let rest = 0;
  for (const { share } of shares) {
    if (share * entries < 1) small++;
    else rest += share;
  }
  const exact = shares.map(({ share }) =>
    share * entries < 1 ? 1 : Math.max(1, share / rest * (entries - small))
  );
  const counts = exact.map(Math.floor);
  let left = entries - counts.reduce((all, count) => all + count, 0);
  const byRest = [...exact.keys()].sort((a, b) => exact[b] % 1 - exact[a] % 1 || a - b);
  for (let i = 0; left > 0; i = (i + 1) % byRest.length, left--) counts[byRest[i]]++;
  // Some were hardly more than 1: the largest gives what they lacked.
  for (; left < 0; left++) counts[counts.indexOf(Math.max(...counts))]--;
  return counts;
}

/** Puts the entries of each share at even distances, and all of them in one list. */
function interleave(counts: readonly number[]): Uint16Array {
  const sum = counts.reduce((all, count) => all + count, 0);
  const places = new Float64Array(sum);
  const owners = new Uint16Array(sum);
  let at = 0;
  counts.forEach((count, owner) => {
    // Owners of equal counts follow each other, and do not fall on one place.
    const shift = (owner + 0.5) / counts.length;
    for (let turn = 0; turn < count; turn++) {
      owners[at] = owner;
      places[at++] = (turn + shift) / count;
    }
  });
  const order = Uint32Array.from(places.keys());
  order.sort((a, b) => places[a] - places[b]);
  return Uint16Array.from(order, (index) => owners[index]);
}
