// Core. Floors that hold at some hours of some days, by the clock of a place.

import type { ScaleFloor } from "../schemas.ts";

const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;

/** Minutes since midnight, and the day, 0 for Sunday. */
interface LocalTime {
  readonly day: number;
  readonly minute: number;
}

function dayOf(word: string): number {
  const day = DAYS.findIndex((one) => one === word);
  if (day >= 0) return day;
  throw new RangeError(`A day must be one of ${DAYS.join(", ")}: current value is "${word}"`);
}

/**
 * The days of a text such as `mon-fri`, `sat,sun` or `*`.
 *
 * @throws {RangeError} when it names no day.
 */
export function parseDays(text: string): ReadonlySet<number> {
  const days = new Set<number>();
  if (text === "*") return new Set(DAYS.keys());
  for (const part of text.split(",")) {
    const [from, to = from] = part.split("-").map(dayOf);
    for (let day = from;; day = (day + 1) % DAYS.length) {
      days.add(day);
      if (day === to) break;
    }
  }
  return days;
}

/** `08:30` as minutes since midnight; `24:00` is the end of a day. */
function minuteOf(text: string): number {
  const [hour, minute] = text.split(":").map(Number);
  return hour * 60 + minute;
}

/**
 * A floor as it is typed: `mon-fri 08:00-20:00 Europe/Berlin 6`.
 *
 * @throws {RangeError} when it is not of this form.
 */
export function parseFloor(text: string): ScaleFloor {
  const match = /^(\S+) (\d\d:\d\d)-(\d\d:\d\d) (\S+) (\d+)$/.exec(text.trim());
  if (match === null) {
    throw new RangeError(
      "A floor must be 'DAYS HH:MM-HH:MM ZONE N', as 'mon-fri 08:00-20:00 Europe/Berlin 6': " +
        `current value is "${text}"`,
    );
  }
  const [, days, from, to, zone, nodes] = match;
  return { days, from, to, zone, nodes: Number(nodes) };
}

/** The same back. */
export function floorText({ days, from, to, zone, nodes }: ScaleFloor): string {
  return `${days} ${from}-${to} ${zone} ${nodes}`;
}

/** One formatter for each place: they cost more to make than to use. */
const formats = new Map<string, Intl.DateTimeFormat>();
/** Places whose formatters are kept; of more all are forgotten. */
const FORMATS_MAX = 100;

/**
 * The time at a place, daylight saving with it.
 *
 * @throws {RangeError} when there is no such place.
 */
function localTime(wallMs: number, zone: string): LocalTime {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-US", {
      ...{ timeZone: zone, weekday: "short", hour: "2-digit", minute: "2-digit" },
      hourCycle: "h23",
    });
    if (formats.size >= FORMATS_MAX) formats.clear();
    formats.set(zone, format);
  }
  const parts = new Map(format.formatToParts(wallMs).map(({ type, value }) => [type, value]));
  return {
    day: dayOf((parts.get("weekday") ?? "").toLowerCase()),
    minute: Number(parts.get("hour")) * 60 + Number(parts.get("minute")),
  };
}

/** True while a floor holds; one that ends before it begins goes on past midnight. */
export function holdsFloor(floor: ScaleFloor, wallMs: number): boolean {
  const { day, minute } = localTime(wallMs, floor.zone);
  const days = parseDays(floor.days);
  const [from, to] = [minuteOf(floor.from), minuteOf(floor.to)];
  if (from < to) return days.has(day) && minute >= from && minute < to;
  const before = (day + DAYS.length - 1) % DAYS.length;
  return days.has(day) && minute >= from || days.has(before) && minute < to;
}

/** The highest floor that holds; 0 when none does. */
export function floorAt(floors: readonly ScaleFloor[], wallMs: number): number {
  return floors.reduce(
    (most, floor) => holdsFloor(floor, wallMs) ? Math.max(most, floor.nodes) : most,
    0,
  );
}

/** What is wrong with a floor; undefined when it can be kept to. */
export function floorFault(floor: ScaleFloor): string | undefined {
  try {
    parseDays(floor.days);
    localTime(0, floor.zone);
    return undefined;
  } catch (error) {
    return error instanceof RangeError ? error.message : String(error);
  }
}
