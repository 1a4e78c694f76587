// Shell. What all pages share: the time, the place, the theme, notices, and who may do what.

import { computed, signal } from "@preact/signals";
import type { LoginFault } from "../../../control/access/login_faults.ts";
import type { Role } from "../../../control/access/actor.ts";
import { setRepeating } from "../../../reactor/time/clock.ts";
import { systemClock } from "../../../reactor/time/system_clock.ts";
import { clockAheadMs, session } from "./api.ts";
import { parsePlace } from "./places.ts";

/** How often relative times are written anew. */
const TICK_MS = 5000;
/** How long a notice stays. */
const NOTICE_MS = 12_000;
/** Notices shown at once; the oldest goes. */
const NOTICES_MAX = 4;

/** Time by the clock of the server, renewed every {@linkcode TICK_MS}. */
export const nowMs = signal(systemClock.wallMs());
setRepeating(systemClock, TICK_MS, () => {
  if (!document.hidden) nowMs.value = serverNowMs();
});

/** Time by the clock of the server, now. */
export function serverNowMs(): number {
  return systemClock.wallMs() + clockAheadMs.peek();
}

/** Path and query of the address bar. */
export const location = signal({
  path: globalThis.location.pathname,
  query: globalThis.location.search,
});
/** The page that is shown. */
export const place = computed(() => parsePlace(location.value.path));
/** Parts of the query. */
export const query = computed(() => new URLSearchParams(location.value.query));

function readAddress(): void {
  location.value = { path: globalThis.location.pathname, query: globalThis.location.search };
}
globalThis.addEventListener("popstate", readAddress);

/** Goes to an address of the console; `replace` leaves no step in the history of the browser. */
export function navigate(address: string, replace = false): void {
  const before = globalThis.location.pathname;
  history[replace ? "replaceState" : "pushState"](null, "", address);
  readAddress();
  if (globalThis.location.pathname === before) return;
  globalThis.scrollTo(0, 0);
  document.getElementById("page")?.focus({ preventScroll: true });
}

/** Changes parts of the query and stays on the page; undefined and "" remove a part. */
export function setQuery(parts: Readonly<Record<string, string | undefined>>): void {
  const next = new URLSearchParams(globalThis.location.search);
  for (const [name, value] of Object.entries(parts)) {
    if (value === undefined || value === "") next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  navigate(`${globalThis.location.pathname}${text === "" ? "" : `?${text}`}`, true);
}

/** Links within the console change the page without loading it anew. */
export function followLinks(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey) return;
  if (event.shiftKey || event.altKey || !(event.target instanceof Element)) return;
  const link = event.target.closest("a");
  const address = link?.getAttribute("href");
  if (!link || !address?.startsWith("/") || address.startsWith("/api/")) return;
  if (link.target !== "" || link.hasAttribute("download")) return;
  event.preventDefault();
  navigate(address);
}

const ROLE_RANKS: Readonly<Record<Role, number>> = {
  ...{ registrar: -1, viewer: 0, operator: 1, admin: 2 },
};

/** True when who is logged in may do what needs `role`. The server decides; this only hides. */
export function may(role: Role): boolean {
  const own = session.value?.role;
  if (role === "registrar") return own !== undefined && own !== "viewer";
  return own !== undefined && ROLE_RANKS[own] >= ROLE_RANKS[role];
}

/** Light, dark, or as the system says. */
export type Theme = "system" | "light" | "dark";
const THEMES: readonly Theme[] = ["system", "light", "dark"];
const THEME_KEY = "lars-theme";

function storedTheme(): Theme {
  try {
    return THEMES.find((theme) => theme === localStorage.getItem(THEME_KEY)) ?? "system";
  } catch {
    return "system"; // Storage may be forbidden; the choice then lasts as long as the page.
  }
}

/** The chosen theme. */
export const theme = signal<Theme>(storedTheme());
const systemDark = globalThis.matchMedia("(prefers-color-scheme: dark)");
const isSystemDark = signal(systemDark.matches);
systemDark.addEventListener("change", () => isSystemDark.value = systemDark.matches);
/** Whether dark colours are in use. */
export const isDark = computed(() =>
  theme.value === "dark" || (theme.value === "system" && isSystemDark.value)
);

/** Chooses a theme and remembers it in this browser. */
export function setTheme(next: Theme): void {
  theme.value = next;
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem(THEME_KEY, next);
  } catch {
    // See storedTheme.
  }
}
document.documentElement.dataset.theme = theme.peek();

/** The theme after this one, for the switch. */
export function nextTheme(): Theme {
  return isDark.peek() ? "light" : "dark";
}

/** A short message about something that was done. */
export interface Notice {
  readonly id: number;
  readonly tone: "ok" | "warn" | "crit";
  readonly text: string;
  /** Where to read more, or to undo. */
  readonly link?: { readonly href: string; readonly text: string };
}

/** Notices on the screen. */
export const notices = signal<readonly Notice[]>([]);
let noticeId = 0;

/** Removes a notice. */
export function dismiss(id: number): void {
  notices.value = notices.peek().filter((notice) => notice.id !== id);
}

/** Shows a notice for {@linkcode NOTICE_MS}; critical ones stay until they are closed. */
export function notify(tone: Notice["tone"], text: string, link?: Notice["link"]): void {
  const id = ++noticeId;
  const notice: Notice = link === undefined ? { id, tone, text } : { id, tone, text, link };
  // What is said again takes the place of what was said: a list of the same line tells no more.
  const others = notices.peek().filter((one) => one.text !== text || one.tone !== tone);
  notices.value = [...others, notice].slice(-NOTICES_MAX);
  if (tone !== "crit") systemClock.setTimer(NOTICE_MS, () => dismiss(id));
}

/** Why a one-time link did not log in. */
export const linkFault = signal<string | undefined>(undefined);
/** Why a login by a provider let nobody in. */
export const loginFault = signal<LoginFault | undefined>(undefined);

/** How fresh what is shown is. */
export type Freshness = "off" | "live" | "reconnecting" | "stale";
/** Freshness of the page's data; set by `live.ts`. */
export const freshness = signal<Freshness>("off");
/** When data last came, by the server's clock. */
export const freshAtMs = signal(0);
