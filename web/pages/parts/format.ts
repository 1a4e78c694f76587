// Core. How numbers, times and addresses are written for people.

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Clocks of two machines, and a page that looks at its own only now and then, differ by this. */
const CLOCK_SLACK_MS = 10 * SECOND_MS;

/** A value that is not known. */
export const UNKNOWN = "–";

/** Whole numbers with thin groups: `12 345`. */
export function formatCount(value: number): string {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");
}

/**
 * Rates and times with three significant digits at most: `0.25`, `7.0`, `120`, `12.3k`, `4.56M`.
 * Numbers of one size have the same digits after the point, so that columns of them line up.
 */
export function formatNumber(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 0.01) return "<0.01";
  if (size < 1) return value.toFixed(2);
  if (size < 99.95) return value.toFixed(1);
  if (size < 9999.5) return formatCount(value);
  const short = (unit: number): string =>
    (value / unit).toPrecision(3).replace(/\.0+$|(\.\d*[1-9])0+$/, "$1");
  if (size < 999_500) return `${short(1e3)}k`;
  return size < 999_500_000 ? `${short(1e6)}M` : `${short(1e9)}G`;
}

/** Sizes in powers of 1024: `512 B`, `1.5 KiB`, `12 MiB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${Math.round(bytes)} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[power - 1]}`;
}

/**
 * A number on the axis of a chart: as {@linkcode formatNumber}, without noughts at its end, and with
 * three digits where that one rounds, so that even steps look even.
 */
export function formatTick(value: number): string {
  if (Math.abs(value) < 99.95) return String(Number(value.toPrecision(3)));
  return formatNumber(value).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
}

/** Share of 0 to 1 as per cent; never says 100 % or 0 % of what is only nearly so. */
export function formatShare(share: number): string {
  const percent = share * 100;
  if (share <= 0) return "0 %";
  if (share >= 1) return "100 %";
  if (percent < 0.1) return "<0.1 %";
  if (percent > 99.9) return ">99.9 %";
  return `${percent < 10 || percent > 90 ? percent.toFixed(1) : Math.round(percent)} %`;
}

/** A span of time in its two largest units: `45 s`, `3 min`, `2 h 5 min`, `4 d 3 h`. */
export function formatSpan(spanMs: number): string {
  const ms = Math.max(0, spanMs);
  if (ms < MINUTE_MS) return `${Math.floor(ms / SECOND_MS)} s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min`;
  const [large, small, largeMs, smallMs] = ms < DAY_MS
    ? ["h", "min", HOUR_MS, MINUTE_MS] as const
    : ["d", "h", DAY_MS, HOUR_MS] as const;
  const rest = Math.floor((ms % largeMs) / smallMs);
  return `${Math.floor(ms / largeMs)} ${large}${rest === 0 ? "" : ` ${rest} ${small}`}`;
}

/** An instant as seen from now: `just now`, `3 min ago`, `in 2 h`. */
export function formatAgo(atMs: number, nowMs: number): string {
  const ms = nowMs - atMs;
  if (ms < 2 * SECOND_MS && ms > -CLOCK_SLACK_MS) return "just now";
  const largest = formatSpan(Math.abs(ms)).split(" ").slice(0, 2).join(" ");
  return ms > 0 ? `${largest} ago` : `in ${largest}`;
}

/** An instant in full, in the time of the reader: `2026-11-21 07:22:16`. */
export function formatInstant(atMs: number): string {
  const at = new Date(atMs);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ` +
    `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** `1 node`, `3 nodes`. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** What a module is called: its name, else its numbers. */
export function moduleTitle(module: { modId: number; cmdId: number; name?: string }): string {
  return module.name === undefined || module.name === ""
    ? `${module.modId} / ${module.cmdId}`
    : module.name;
}

/** Where the page of a module is. */
export function modulePath(module: { modId: number; cmdId: number }): string {
  return `/modules/${module.modId}/${module.cmdId}`;
}

/** `ip:port`, as nodes are named everywhere. */
export function nodeName(node: { ip: string; port: number }): string {
  return `${node.ip}:${node.port}`;
}

/** Splits `10.0.0.1:7000` or `10.0.0.1 7000`; undefined when it is no such thing. */
export function parseNodeText(text: string): { ip: string; port: number } | undefined {
  const match = /^\s*((?:\d{1,3}\.){3}\d{1,3})[:\s]+(\d{1,5})\s*$/.exec(text);
  if (match === null) return undefined;
  const port = Number(match[2]);
  if (match[1].split(".").some((part) => Number(part) > 255) || port < 1 || port > 65_535) {
    return undefined;
  }
  return { ip: match[1], port };
}

/** Compares addresses by their numbers: 10.0.0.2 comes before 10.0.0.10. */
export function compareNodes(
  left: { ip: string; port: number },
  right: { ip: string; port: number },
): number {
  const number = (ip: string): number =>
    ip.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  return number(left.ip) - number(right.ip) || left.port - right.port;
}
