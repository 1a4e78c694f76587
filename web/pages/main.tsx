// Shell. Starts the console: asks who is logged in, then shows the page of the address.

import { type JSX, render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { call, callProblemOf, maybeLoggedIn, session } from "./shell/api.ts";
import { Frame, NAV_ITEMS, Notices } from "./shell/layout.tsx";
import { AccountPage } from "./users/page_account.tsx";
import { AgentsPage } from "./agents/page_agents.tsx";
import { FollowersPage } from "./followers/page_followers.tsx";
import { AlertsPage } from "./alerts/page_alerts.tsx";
import { AuditPage } from "./users/page_audit.tsx";
import { ChangePage, ChangesPage } from "./changes/page_changes.tsx";
import { EventsPage } from "./events/page_events.tsx";
import { HistoryPanel } from "./history/history_panel.tsx";
import { FirstPasswordPage, LoginPage, UnreachablePage, WaitingPage } from "./users/page_login.tsx";
import { LeasesPage } from "./leases/page_leases.tsx";
import { ModulePage } from "./modules/page_module.tsx";
import { ModulesPage } from "./modules/page_modules.tsx";
import { OverviewPage } from "./shell/page_overview.tsx";
import { RelayPage } from "./relay/page_relay.tsx";
import { ServicesPage } from "./services/page_services.tsx";
import { TransferPage } from "./changes/page_transfer.tsx";
import { UsersPage } from "./users/page_users.tsx";
import type { PageName } from "./shell/places.ts";
import { listenToKeys, Overlay } from "./shell/search.tsx";
import {
  followLinks,
  freshness,
  linkFault,
  loginFault,
  may,
  navigate,
  notify,
  place,
} from "./shell/state.ts";
import { isLoginFault, LOGIN_DONE } from "../../control/access/login_faults.ts";
import { Empty, PageHead } from "./parts/widgets.tsx";

function HistoryPage(): JSX.Element {
  return (
    <>
      <PageHead title="History" about="Calls of all modules; a module's page has its own" />
      <HistoryPanel />
    </>
  );
}

function MissingPage(): JSX.Element {
  return (
    <>
      <PageHead title="Nothing here" />
      <Empty title="There is no such page">
        <p>
          The address may be mistyped. <a href="/">Overview</a>, or press / to search.
        </p>
      </Empty>
    </>
  );
}

const PAGES: Readonly<Record<PageName, () => JSX.Element>> = {
  overview: OverviewPage,
  modules: ModulesPage,
  history: HistoryPage,
  changes: ChangesPage,
  alerts: AlertsPage,
  events: EventsPage,
  agents: AgentsPage,
  leases: LeasesPage,
  followers: FollowersPage,
  relay: RelayPage,
  services: ServicesPage,
  transfer: TransferPage,
  audit: AuditPage,
  users: UsersPage,
  account: AccountPage,
  missing: MissingPage,
};

/** The page of the address; one that the role may not see is missing. */
function Page(): JSX.Element {
  const current = place.value;
  if (current.page === "module") {
    return (
      <ModulePage
        key={`${current.modId}/${current.cmdId}`}
        modId={current.modId}
        cmdId={current.cmdId}
      />
    );
  }
  if (current.page === "change") return <ChangePage key={current.id} id={current.id} />;
  const item = NAV_ITEMS.find(({ page }) => page === current.page);
  const Shown = item !== undefined && !may(item.role) ? MissingPage : PAGES[current.page];
  return <Shown key={current.page} />;
}

function titleOf(): string {
  const current = place.value;
  if (current.page === "module") return `${current.modId} / ${current.cmdId}`;
  if (current.page === "change") return `Change ${current.id}`;
  return NAV_ITEMS.find(({ page }) => page === current.page)?.text ?? "Nothing here";
}

/** Takes the token of a one-time link from the address, so that it stays in no history. */
function takeLinkToken(): string | undefined {
  const token = /^#once=(.+)$/.exec(globalThis.location.hash)?.[1];
  if (token !== undefined) history.replaceState(null, "", globalThis.location.pathname);
  return token === undefined ? undefined : decodeURIComponent(token);
}

/**
 * Takes what the login by a provider came to from the address.
 *
 * @returns true when it let somebody in.
 */
function takeProviderLogin(): boolean {
  const word = /^#login=([\w-]+)$/.exec(globalThis.location.hash)?.[1];
  if (word === undefined) return false;
  history.replaceState(null, "", globalThis.location.pathname + globalThis.location.search);
  if (isLoginFault(word)) loginFault.value = word;
  return word === LOGIN_DONE;
}

async function enter(): Promise<void> {
  const token = takeLinkToken();
  const isLetIn = takeProviderLogin();
  if (token !== undefined) {
    try {
      session.value = await call("loginByLink", { body: { token } });
      return;
    } catch (error) {
      linkFault.value = callProblemOf(error).message;
    }
  }
  try {
    session.value = isLetIn || maybeLoggedIn() ? await call("getSession") : null;
  } catch (error) {
    if (callProblemOf(error).kind !== "not-logged-in") throw error;
    session.value = null;
  }
  // Who is logged in all the same needs no login page to say so.
  if (session.value !== null && linkFault.value !== undefined) {
    notify("warn", `The link does not work: ${linkFault.value}`);
    linkFault.value = undefined;
  }
}

function App(): JSX.Element {
  const [fault, setFault] = useState<unknown>();
  const start = (): void => {
    setFault(undefined);
    enter().catch(setFault);
  };
  useEffect(start, []);
  const user = session.value;
  const current = JSON.stringify(place.value);
  useEffect(() => {
    freshness.value = "off";
    document.title = user ? `${titleOf()} · Lars` : "Lars";
  }, [current, user?.name]);
  if (fault !== undefined) return <UnreachablePage error={fault} onRetry={start} />;
  if (user === undefined) return <WaitingPage />;
  if (user === null) return <LoginPage />;
  if (user.mustChangePassword) return <FirstPasswordPage />;
  return (
    <Frame>
      <Page />
    </Frame>
  );
}

document.addEventListener("click", followLinks);
listenToKeys();
globalThis.addEventListener("hashchange", () => {
  if (globalThis.location.hash.startsWith("#once=")) void enter().then(() => navigate("/"));
});
const root = document.getElementById("app");
if (root !== null) {
  render(
    <>
      <App />
      <Overlay />
      <Notices />
    </>,
    root,
  );
}
