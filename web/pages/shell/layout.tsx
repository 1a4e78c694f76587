// Shell. What surrounds every page: navigation, head with search and freshness, notices.

import { signal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import type { Role } from "../../../control/access/actor.ts";
import { askSession, call, readOnly, session } from "./api.ts";
import { formatSpan } from "../parts/format.ts";
import { Icon, type IconName } from "../parts/icons.tsx";
import { useLoad } from "./live.ts";
import type { PageName } from "./places.ts";
import {
  dismiss,
  freshAtMs,
  freshness,
  isDark,
  may,
  navigate,
  nextTheme,
  notices,
  nowMs,
  place,
  setTheme,
} from "./state.ts";
import { IconButton } from "../parts/widgets.tsx";

/** How often the number of firing alerts is asked for. */
const ALERTS_MS = 15_000;
/** How often it is asked who is logged in, and whether anything can be written. */
const SESSION_MS = 10_000;

/** The name with its mark. */
export function Logo(): JSX.Element {
  return (
    <span class="logo">
      <svg viewBox="0 0 24 24" aria-hidden="true" focusable="false">
        <circle cx="4" cy="12" r="2.6" />
        <path d="M6.5 12h4M10.5 12 17.5 5M10.5 12h7M10.5 12l7 7" />
        <circle cx="19.5" cy="4.5" r="2.6" />
        <circle cx="20" cy="12" r="2.6" />
        <circle cx="19.5" cy="19.5" r="2.6" />
      </svg>
      Lars
    </span>
  );
}

/** A page in the navigation. */
export interface NavItem {
  readonly page: PageName;
  readonly href: string;
  readonly text: string;
  readonly icon: IconName;
  readonly role: Role;
  /** Second key after `g`. */
  readonly key: string;
}

/** All pages of the navigation, in order. */
export const NAV_ITEMS: readonly NavItem[] = [
  { page: "overview", href: "/", text: "Overview", icon: "overview", role: "viewer", key: "o" },
  { page: "modules", href: "/modules", text: "Modules", icon: "modules", role: "viewer", key: "m" },
  { page: "history", href: "/history", text: "History", icon: "history", role: "viewer", key: "h" },
  { page: "alerts", href: "/alerts", text: "Alerts", icon: "alerts", role: "viewer", key: "a" },
  { page: "events", href: "/events", text: "Events", icon: "events", role: "viewer", key: "e" },
  { page: "agents", href: "/agents", text: "Agents", icon: "agents", role: "viewer", key: "t" },
  { page: "leases", href: "/leases", text: "Leases", icon: "leases", role: "viewer", key: "r" },
  {
    page: "followers",
    href: "/followers",
    text: "Followers",
    icon: "followers",
    role: "viewer",
    key: "f",
  },
  { page: "relay", href: "/relay", text: "Relay", icon: "relay", role: "viewer", key: "w" },
  {
    page: "services",
    href: "/services",
    text: "Services",
    icon: "services",
    role: "viewer",
    key: "s",
  },
  { page: "changes", href: "/changes", text: "Changes", icon: "changes", role: "viewer", key: "c" },
  {
    page: "transfer",
    href: "/transfer",
    text: "Import, export",
    icon: "transfer",
    role: "viewer",
    key: "i",
  },
  { page: "audit", href: "/audit", text: "Audit", icon: "audit", role: "operator", key: "l" },
  { page: "users", href: "/users", text: "Users", icon: "users", role: "admin", key: "u" },
  {
    page: "account",
    href: "/account",
    text: "Account, tokens",
    icon: "account",
    role: "viewer",
    key: "y",
  },
];

/** Pages that start a new group in the navigation. */
const GROUP_STARTS: readonly PageName[] = ["changes", "audit"];

/** Navigation of narrow screens is open. */
export const isNavOpen = signal(false);
/** What lies over the page: search, or the list of keys. */
export const overlay = signal<"none" | "search" | "keys">("none");

function NavLink({ item, count }: { item: NavItem; count: number }): JSX.Element {
  const current = place.value.page;
  const isCurrent = current === item.page ||
    (current === "module" && item.page === "modules") ||
    (current === "change" && item.page === "changes");
  return (
    <li class={GROUP_STARTS.includes(item.page) ? "group" : ""}>
      <a
        href={item.href}
        aria-current={isCurrent ? "page" : undefined}
        onClick={() => isNavOpen.value = false}
      >
        <Icon name={item.icon} />
        {item.text}
        {count > 0 && (
          <span class="count" title={`${count} firing`}>
            {count}
            <span class="hidden">firing</span>
          </span>
        )}
      </a>
    </li>
  );
}

function Nav(): JSX.Element {
  const alerts = useLoad("nav-alerts", (signal) => call("listAlerts", { signal }), ALERTS_MS, true);
  const firing = alerts.value?.alerts
    .filter(({ state, isSilenced }) => state === "firing" && !isSilenced).length ?? 0;
  return (
    <nav id="nav" class={isNavOpen.value ? "open" : ""} aria-label="Pages">
      <a class="home" href="/" aria-label="Lars, overview">
        <Logo />
      </a>
      <ul>
        {NAV_ITEMS.filter(({ role }) => may(role)).map((item) => (
          <NavLink key={item.page} item={item} count={item.page === "alerts" ? firing : 0} />
        ))}
      </ul>
      <button type="button" class="link keys" onClick={() => overlay.value = "keys"}>
        <Icon name="keyboard" />Keys <kbd>?</kbd>
      </button>
    </nav>
  );
}

const FRESHNESS = {
  live: { text: "Live", title: "What you see is up to date" },
  reconnecting: { text: "Reconnecting", title: "The connection was lost; trying again" },
  stale: { text: "Stale", title: "What you see is old: the console or its database is away" },
} as const;

/** How fresh the page is, in a word. */
function FreshMark(): JSX.Element | null {
  const state = freshness.value;
  if (state === "off") return null;
  const { text, title } = FRESHNESS[state];
  const age = state === "live" ? "" : ` · ${formatSpan(nowMs.value - freshAtMs.value)}`;
  return (
    <span class={`fresh ${state}`} role="status" title={title}>
      <span class="dot" aria-hidden="true" />
      {text}
      {age}
    </span>
  );
}

async function logOut(): Promise<void> {
  try {
    await call("logout");
  } finally {
    session.value = null;
    navigate("/");
  }
}

function Head(): JSX.Element {
  const user = session.value;
  return (
    <header class="top">
      <button
        type="button"
        class="icon-button menu"
        aria-label="Pages"
        aria-expanded={isNavOpen.value}
        aria-controls="nav"
        onClick={() => isNavOpen.value = !isNavOpen.value}
      >
        <Icon name={isNavOpen.value ? "close" : "menu"} />
      </button>
      <button
        type="button"
        class="search-button"
        aria-label="Search modules, nodes, hosts"
        aria-keyshortcuts="/ Control+K"
        onClick={() => overlay.value = "search"}
      >
        <Icon name="search" />
        <span class="words">Search modules, nodes, hosts</span>
        <kbd>/</kbd>
      </button>
      <FreshMark />
      <button
        type="button"
        class="icon-button"
        aria-label={isDark.value ? "Use light colours" : "Use dark colours"}
        title={isDark.value ? "Light colours (t)" : "Dark colours (t)"}
        onClick={() => setTheme(nextTheme())}
      >
        <Icon name={isDark.value ? "sun" : "moon"} />
      </button>
      {user && (
        <span class="user">
          <a href="/account" title="Account and tokens">
            <Icon name="account" />
            <span class="words">{user.name}</span>
          </a>
          <span class="role">{user.role}</span>
          <button type="button" class="small" onClick={() => void logOut()}>Log out</button>
        </span>
      )}
    </header>
  );
}

/** Short messages about what was done. */
export function Notices(): JSX.Element {
  return (
    <div class="notices" role="status" aria-live="polite">
      {notices.value.map(({ id, tone, text, link }) => (
        <div key={id} class={`notice ${tone}`}>
          <Icon name={tone} />
          <p>
            {text}
            {link !== undefined && (
              <>
                {" "}
                <a href={link.href}>{link.text}</a>
              </>
            )}
          </p>
          <IconButton icon="close" label="Close message" onClick={() => dismiss(id)} />
        </div>
      ))}
    </div>
  );
}

/** Says that nothing can be written, and why; nothing while it can. */
export function ReadOnlyBanner(): JSX.Element | null {
  if (readOnly.value === undefined) return null;
  return (
    <div class="box warn" role="alert">
      <Icon name="warn" />
      <div>
        <p class="strong">This console only reads: the database is newer than it</p>
        <p>{readOnly.value}.</p>
      </div>
    </div>
  );
}

/** A page with everything around it. */
export function Frame({ children }: { children: ComponentChildren }): JSX.Element {
  useLoad("session", askSession, SESSION_MS, true);
  return (
    <div class="frame">
      <a class="skip" href="#page">Skip to content</a>
      <Nav />
      <Head />
      <main id="page" tabIndex={-1}>
        <ReadOnlyBanner />
        {children}
      </main>
    </div>
  );
}
