// The console's pages in a real Chromium, on made-up answers that are held to the contract.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Browser, skipReason } from "./chromium.ts";
import { type FixtureServer, ONE_TIME, PASSWORD, startFixtureServer } from "./fixture_server.ts";
import { NAME_LENGTH_MAX } from "../../control/schemas.ts";
import { MODULE_NAME_LENGTH_MAX } from "../../model/module.ts";
import { LONG_NAME, type Scene } from "./fixtures.ts";

const skip = skipReason();

/** Every page with a name for its screenshot. */
const PAGES: readonly (readonly [string, string])[] = [
  ["overview", "/"],
  ["modules", "/modules"],
  ["module", "/modules/1/1"],
  ["module_history", "/modules/1/1?tab=history&by=node"],
  ["module_history_untimed", "/modules/4294967295/4294967295?tab=history"],
  ["module_explain", "/modules/1/1?tab=explain"],
  ["module_explain_unknown", "/modules/4294967295/4294967295?tab=explain"],
  ["module_changes", "/modules/1/1?tab=changes"],
  ["module_events", "/modules/1/1?tab=events"],
  ["module_scaling", "/modules/1/1?tab=scaling"],
  ["module_scaling_unset", "/modules/4294967295/4294967295?tab=scaling"],
  ["history", "/history"],
  ["history_callers", "/history?by=caller"],
  ["alerts", "/alerts"],
  ["alert_rules", "/alerts?tab=rules"],
  ["alert_silences", "/alerts?tab=silences"],
  ["alert_webhooks", "/alerts?tab=webhooks"],
  ["events", "/events"],
  ["agents", "/agents"],
  ["leases", "/leases"],
  ["followers", "/followers"],
  ["relay", "/relay"],
  ["relay_workers", "/relay?tab=workers"],
  ["relay_queues", "/relay?tab=queues"],
  ["relay_drops", "/relay?tab=drops"],
  ["relay_mail", "/relay?tab=mail"],
  ["relay_idle", "/relay?relay=10.0.3.2:2000&tab=mail"],
  ["services", "/services"],
  ["changes", "/changes"],
  ["change", "/changes/3"],
  ["transfer", "/transfer"],
  ["audit", "/audit"],
  ["users", "/users"],
  ["account", "/account"],
];

let usual: FixtureServer;
let crowded: FixtureServer;
let empty: FixtureServer;
/** As the usual one, with names as long as they may be. */
let long: FixtureServer;
/** One browser for all tests: they run one after the other, each with its own login. */
let browser: Browser;

before(async () => {
  if (skip !== false) return;
  [usual, crowded, empty, long] = await Promise.all([
    startFixtureServer("usual"),
    startFixtureServer("crowded"),
    startFixtureServer("empty"),
    startFixtureServer("usual"),
  ]);
  lengthenNames(long);
  browser = await Browser.start();
  // Who is not logged in yet is told so, and the browser says it.
  browser.expected.push(/401/);
});

after(async () => {
  await browser?.close();
  await Promise.all([usual, crowded, empty, long].map((server) => server?.close()));
});

/** Puts the browser into a state to start from, and logs in. */
async function begin(
  server: FixtureServer,
  name = "admin",
  look: { width?: number; isDark?: boolean } = {},
): Promise<void> {
  const { page, context } = browser;
  server.refuse.clear();
  server.hang.clear();
  await context.clearCookies();
  const width = look.width ?? 1360;
  await page.setViewportSize({ width, height: width < 500 ? 844 : 860 });
  await page.emulateMedia({ colorScheme: look.isDark === true ? "dark" : "light" });
  await page.goto(server.url);
  await page.evaluate(() => localStorage.clear());
  await page.goto(server.url);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
}

/** Waits until a page has drawn what it asked for. */
async function settle(): Promise<void> {
  const { page } = browser;
  await page.locator("h1").waitFor();
  await page.locator(".loading").first().waitFor({ state: "detached" });
}

/** Goes to an address as a click would, without loading the program anew. */
async function visit(path: string): Promise<void> {
  await browser.page.evaluate((address) => {
    const link = document.createElement("a");
    link.href = address;
    link.textContent = "test";
    document.body.append(link);
    link.click();
    link.remove();
  }, path);
  await browser.page.waitForFunction(
    (address) => location.pathname + location.search === address,
    path,
  );
  await settle();
}

function finish(server: FixtureServer, where: string): void {
  browser.checkComplaints(where);
  assert.deepEqual(server.faults, [], `${where}: answers of the fixtures broke the contract`);
}

/** A test of the pages of one server, logged in, that ends without a complaint. */
function pageTest(
  title: string,
  scene: Scene | "long",
  run: (page: Browser["page"]) => Promise<void>,
  user?: string,
): void {
  test(title, { skip }, async () => {
    const server = { usual, crowded, empty, long }[scene];
    await begin(server, user);
    await run(browser.page);
    finish(server, title);
  });
}

test(
  "login: a wrong password is said, a one-time password leads to a new one",
  { skip },
  async () => {
    const { page } = browser;
    await page.goto(usual.url);
    await browser.screenshot("login");
    await browser.checkAccess("login");
    await page.getByLabel("Name").fill("fresh");
    await page.getByLabel("Password").fill("wrong");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").getByText("Wrong name or password", { exact: true }).waitFor();
    browser.checkComplaints("wrong login");
    await page.getByLabel("Password").fill(ONE_TIME);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Choose your password" }).waitFor();
    await browser.screenshot("login_first_password");
    await browser.checkAccess("first password");
    await page.getByLabel("One-time password").fill(ONE_TIME);
    await page.getByLabel("New password", { exact: true }).fill("short");
    assert.equal(await page.getByRole("button", { name: "Change password" }).isDisabled(), true);
    await page.getByLabel("New password", { exact: true }).fill("a new long password");
    await page.getByLabel("New password again").fill("a new long password");
    await page.getByRole("button", { name: "Change password" }).click();
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    await page.getByRole("button", { name: "Log out" }).click();
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    finish(usual, "login");
  },
);

const LOOKS = [
  { name: "light", width: 1360, isDark: false },
  { name: "dark", width: 1360, isDark: true },
  { name: "phone", width: 390, isDark: false },
];
/** Pages of one test: few, so that none takes long on a busy machine. */
const PAGES_PER_TEST = 7;

for (const look of LOOKS) {
  for (let at = 0; at < PAGES.length; at += PAGES_PER_TEST) {
    const pages = PAGES.slice(at, at + PAGES_PER_TEST);
    const names = `${pages[0][0]} to ${pages.at(-1)?.[0]}`;
    test(`${look.name}, ${names}: no fault, no error, nothing too wide`, { skip }, async () => {
      await begin(usual, "admin", look);
      for (const [name, path] of pages) {
        await visit(path);
        await browser.checkWidth(`${name} ${look.name}`);
        if (look.name !== "phone") await browser.checkAccess(`${name} ${look.name}`);
        await browser.screenshot(`${name}_${look.name}`);
      }
      finish(usual, look.name);
    });
  }
}

/** Gives everything that has a name the longest one it may have, without a place to break it. */
function lengthenNames({ world }: FixtureServer): void {
  const name = "W".repeat(MODULE_NAME_LENGTH_MAX);
  const title = "W".repeat(NAME_LENGTH_MAX);
  for (const module of world.modules) {
    module.name = name;
    for (const node of module.nodes) node.zone = title;
  }
  for (const change of world.changes) Object.assign(change, { who: title, why: name });
  for (const event of world.events) event.text = `Module ${name}: ${event.text}`;
  for (const entry of world.audit) Object.assign(entry, { who: title, detail: name });
  for (const one of [...world.rules, ...world.webhooks]) one.title = title;
  for (const silence of world.silences) Object.assign(silence, { who: title, why: name });
  for (const token of world.tokens) Object.assign(token, { title, owner: title });
  world.users.push({ ...world.users[0], name: title });
}

/** Windows of a phone, of a tablet, of half a screen, of a laptop. */
const WIDTHS_OF_LONG_NAMES = [390, 770, 1024, 1360];

for (let at = 0; at < PAGES.length; at += PAGES_PER_TEST) {
  const pages = PAGES.slice(at, at + PAGES_PER_TEST);
  const title = `longest names, ${pages[0][0]} to ${pages.at(-1)?.[0]}: nothing is cut off`;
  pageTest(title, "long", async (page) => {
    for (const [name, path] of pages) {
      await page.setViewportSize({ width: 1360, height: 860 });
      await visit(path);
      for (const width of WIDTHS_OF_LONG_NAMES) {
        await page.setViewportSize({ width, height: 860 });
        await browser.checkWidth(`${name} at ${width}`);
      }
    }
  });
}

pageTest(
  "500 nodes and 300 modules with long names: readable, nothing too wide",
  "crowded",
  async (page) => {
    await visit("/modules/9/9");
    assert.equal(await page.locator("table.nodes tbody tr").count(), 500);
    await browser.checkWidth("500 nodes");
    await page.mouse.wheel(0, 9000);
    await page.waitForFunction(() => scrollY > 8000);
    // Drawn twice: the first picture after so long a way may still be empty.
    await page.evaluate(() =>
      new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))
    );
    await browser.screenshot("crowded_nodes_scrolled", true);
    await page.getByRole("searchbox").fill("overload");
    await page.waitForFunction(() =>
      document.querySelectorAll("table.nodes tbody tr").length === 2
    );
    await visit("/modules?sort=name");
    await browser.checkWidth("300 modules");
    await browser.screenshot("crowded_modules", true);
    await page.getByRole("button", { name: "Later" }).click();
    await page.getByText("101 to 200 of").waitFor();
    await visit("/agents");
    assert.equal(await page.locator("tbody tr").count(), 100);
    await browser.checkWidth("1,000 agents");
    await browser.screenshot("crowded_agents", true);
    await page.getByRole("button", { name: "Later" }).click();
    await page.getByText("101 to 200 of").waitFor();
    await page.evaluate(() => {
      const seen = globalThis as unknown as { blinks: number };
      seen.blinks = 0;
      new MutationObserver(() => {
        if (document.querySelector(".loading") !== null) seen.blinks++;
      }).observe(document.body, { childList: true, subtree: true });
    });
    await page.getByRole("searchbox").fill("10.0.11.");
    await page.getByText("1 to 100 of 256").waitFor();
    const blinks = await page.evaluate(() => (globalThis as unknown as { blinks: number }).blinks);
    assert.equal(blinks, 0, "a list does not blink while it is searched");
    await page.setViewportSize({ width: 390, height: 844 });
    await visit("/modules/9/9");
    await browser.checkWidth("500 nodes on a phone");
    await browser.screenshot("crowded_nodes_phone", true);
  },
);

pageTest(
  "leases: found by phase, ended with a question, and losses that are held back are confirmed",
  "usual",
  async (page) => {
    usual.world.heldNodes = [
      ...[{
        modId: 2,
        cmdId: 1,
        heldCount: 8,
        liveCount: 12,
        sinceMs: Date.now(),
        isConfirmed: false,
      }],
    ];
    await visit("/leases");
    const all = await page.locator("tbody tr").count();
    await page.getByText("held since").waitFor();
    await browser.checkAccess("held nodes");
    await browser.screenshot("leases_held", true);
    await page.getByRole("button", { name: /^doubt/ }).click();
    await page.waitForFunction((most) => document.querySelectorAll("tbody tr").length < most, all);
    await page.getByText("its connection was lost").first().waitFor();
    await visit("/leases");
    await page.getByRole("button", { name: "Free 10.20.4.7:7000" }).click();
    await page.getByRole("dialog").getByText("drain, weight 3").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "End 10.20.4.1:7000" }).first().click();
    await page.getByRole("dialog").getByText("registers again").waitFor();
    await browser.screenshot("dialog_lease_end", true);
    await page.getByRole("dialog").getByRole("button", { name: "End" }).click();
    await page.getByRole("status").getByText("is out").waitFor();
    await visit("/modules/2/1");
    await page.getByRole("button", { name: /^They are lost: search/ }).click();
    await browser.checkAccess("losses");
    await page.getByRole("dialog").getByRole("button", { name: "They are lost" }).click();
    await page.getByText("(confirmed)").waitFor();
    usual.world.heldNodes = [];
    usual.world.ended.clear();
  },
);

pageTest(
  "scaling: charts of the last hour, floors in the form, and a question before a rule is removed",
  "usual",
  async (page) => {
    await visit("/modules/1/1?tab=scaling");
    await page.getByRole("slider", { name: "Nodes over time" }).focus();
    await page.keyboard.press("Home");
    await page.getByText("wanted").first().waitFor();
    await page.getByRole("button", { name: "Change the rule" }).click();
    const floors = page.getByLabel("Scheduled floors");
    assert.equal(await floors.inputValue(), "mon-fri 08:00-20:00 Europe/Berlin 3");
    await floors.fill("always");
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("button", { name: "Save" }).click();
    await dialog.getByText("A floor must be").first().waitFor();
    await browser.checkAccess("rule of scaling");
    await browser.screenshot("dialog_scaling", true);
    await floors.fill("sat,sun 10:00-18:00 Europe/Berlin 2\n\n* 00:00-06:00 UTC 4\n");
    await page.getByLabel("Rule", { exact: true }).selectOption("paused");
    await dialog.getByRole("button", { name: "Save" }).click();
    await page.getByText("* 00:00-06:00 UTC 4").waitFor();
    assert.deepEqual(usual.world.scaled[0].rule.floors.map(({ days }) => days), ["sat,sun", "*"]);
    assert.equal(usual.world.scaled[0].rule.isEnabled, false);
    await page.getByRole("button", { name: "Switch off" }).click();
    await dialog.getByText("The rule is removed with its values").waitFor();
    await browser.screenshot("dialog_scaling_off", true);
    await page.keyboard.press("Escape");
    assert.equal(usual.world.scaled.length, 1, "nothing was done");
    await page.getByRole("button", { name: "Switch off" }).click();
    await dialog.getByRole("button", { name: "Switch off" }).click();
    await page.getByText("Its nodes do not follow its load").waitFor();
  },
);

pageTest(
  "relay: one of several is chosen, a client is put out with a question, viewers cannot",
  "usual",
  async (page) => {
    await visit("/relay");
    await page.getByText("The first 50 of 10\u202f312 clients").waitFor();
    await page.getByRole("button", { name: "Show 250" }).click();
    await page.getByText("The first 250 of 10\u202f312 clients").waitFor();
    await page.getByRole("button", { name: "Kick phone-5", exact: true }).click();
    await page.getByRole("dialog").getByText("comes back by itself").waitFor();
    await browser.checkAccess("kick");
    await browser.screenshot("dialog_relay_kick", true);
    await page.getByRole("dialog").getByRole("button", { name: "End connection" }).click();
    await page.getByRole("status").getByText("phone-5 is out").waitFor();
    await page.getByRole("button", { name: "Kick phone-5", exact: true }).waitFor({
      state: "detached",
    });
    await page.getByRole("link", { name: "Drops" }).click();
    await page.getByText("a queue was full").waitFor();
    await page.getByRole("link", { name: "10.0.3.2:2000" }).click();
    await page.getByText("Everything has arrived").waitFor();
    await page.getByRole("link", { name: /^relay\.east/ }).click();
    await page.getByText("Everything has arrived").waitFor({ state: "detached" });
    usual.world.kicked.clear();
    await begin(usual, "vera");
    await visit("/relay");
    await page.getByText("phone-5", { exact: true }).waitFor();
    assert.equal(await page.getByRole("button", { name: /^Kick/ }).count(), 0);
  },
);

pageTest("with nothing in it, every page says what to do", "empty", async (page) => {
  for (const [name, path] of PAGES.filter(([, path]) => !path.startsWith("/modules/"))) {
    if (path === "/changes/3") continue;
    await visit(path);
    await browser.screenshot(`empty_${name}`, true);
  }
  await visit("/");
  await page.getByRole("link", { name: "Add the first module" }).click();
  await page.getByRole("dialog", { name: "Add module" }).waitFor();
  await browser.checkAccess("add module");
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Module number").fill("5");
  await dialog.getByLabel("Command number").fill("6");
  await dialog.getByLabel("Name").fill(LONG_NAME);
  await dialog.getByLabel("Nodes").fill("10.9.8.7:7000 10.9.8.8:7000");
  await page.getByRole("button", { name: "Preview" }).click();
  await page.getByText("10.9.8.8:7000").first().waitFor();
  await browser.screenshot("dialog_add_module", true);
  await page.getByLabel("Why").fill("first of all");
  await page.getByRole("button", { name: "Add module" }).last().click();
  await page.getByRole("heading", { level: 1, name: LONG_NAME }).waitFor();
  await page.getByText("10.9.8.7:7000").first().waitFor();
});

pageTest(
  "keyboard alone: search, open a module, drain a node, and see it drained",
  "usual",
  async (page) => {
    await page.keyboard.press("/");
    await page.getByRole("combobox").waitFor();
    await page.keyboard.type("search");
    await page.getByRole("option", { name: "search" }).first().waitFor();
    await browser.screenshot("search", true);
    await browser.checkAccess("search");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "search" }).waitFor();
    await page.getByText("10.20.4.1:7000").first().waitFor();
    await page.keyboard.press("j");
    for (let at = 0; at < 3; at++) {
      const label = await page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
      if (label?.startsWith("Drain") === true) break;
      await page.keyboard.press("Tab");
    }
    const label = await page.evaluate(() => document.activeElement?.getAttribute("aria-label"));
    assert.match(label ?? "", /^Drain 10\./);
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByText("Traffic that shifts").waitFor();
    await browser.screenshot("dialog_drain", true);
    await browser.checkAccess("drain");
    await page.keyboard.type("kernel update");
    await page.keyboard.press("Enter");
    await page.getByRole("status").getByText("1 dns told").waitFor();
    const node = (label ?? "").replace("Drain ", "");
    await page.getByRole("button", { name: `Restore ${node}` }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("c");
    await page.getByText("“kernel update”").waitFor();
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await browser.screenshot("keys", true);
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
  },
);

pageTest(
  "two editors: the later one is told what changed, and may go on",
  "usual",
  async (page) => {
    await visit("/modules/1/2");
    await page.getByRole("button", { name: "Edit 10.20.4.1:7000" }).click();
    await page.getByLabel("Weight").fill("70");
    usual.world.apply(
      [{ op: "set", modId: 1, cmdId: 2, ip: "10.20.4.1", port: 7000, weight: 20 }],
      "olga",
      "",
      Date.now(),
    );
    browser.expected.push(/412/);
    await page.getByRole("button", { name: "Preview" }).click();
    await page.getByRole("button", { name: "Change node" }).click();
    await page.getByText("Somebody else changed this meanwhile").waitFor();
    await page.getByRole("dialog").locator("del", { hasText: "20" }).waitFor();
    await browser.screenshot("dialog_conflict", true);
    await browser.checkAccess("conflict");
    await page.getByRole("button", { name: "Change node" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assert.equal(usual.world.find(1, 2)?.nodes[0].weight, 70);
  },
);

pageTest(
  "policy, roll-back, rule, webhook, user, token and import, each by its form",
  "usual",
  async (page) => {
    const dialog = page.getByRole("dialog");
    await visit("/modules/2/1");
    await page.keyboard.press("e");
    await dialog.getByLabel("How the next node is chosen").selectOption("p2c_ewma");
    await dialog.getByText("one node of six refuses every call").waitFor();
    await browser.screenshot("dialog_policy_outcomes", true);
    await browser.checkAccess("policy");
    await page.setViewportSize({ width: 390, height: 844 });
    await browser.checkWidth("policy on a phone");
    await browser.screenshot("dialog_policy_phone", true);
    await page.setViewportSize({ width: 1360, height: 860 });
    await dialog.getByText("What puts a node out").click();
    await dialog.getByText("Judge and tell, but leave every node in use").waitFor();
    await dialog.getByText("The original's numbers").click();
    await dialog.getByText("Share of failures above which a node goes out").waitFor();
    await dialog.getByLabel("err rate", { exact: true }).fill("7");
    await dialog.getByText("Must be a number from 0 to 1.").waitFor();
    await browser.screenshot("dialog_policy", true);
    await dialog.getByLabel("err rate", { exact: true }).fill("0.2");
    await dialog.getByRole("button", { name: "Preview" }).click();
    await dialog.getByRole("button", { name: "Change module" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.deepEqual(JSON.parse(usual.world.find(2, 1)?.policyText ?? ""), {
      policy: "p2c_ewma",
      errRate: 0.2,
    });
    await visit("/changes");
    await page.getByRole("button", { name: /^Roll back change/ }).first().click();
    await dialog.getByText("is put back as it was").waitFor();
    await browser.screenshot("dialog_rollback", true);
    await dialog.getByRole("button", { name: "Roll back" }).click();
    await page.getByText("undoes").waitFor();
    assert.equal(usual.world.find(2, 1)?.policyText, "");
    await visit("/alerts?tab=rules");
    await page.keyboard.press("n");
    await dialog.getByLabel("Title").fill("Search fails");
    await dialog.getByLabel("Fires over").fill("2.5");
    await dialog.getByLabel("Module").fill("2/1");
    await browser.screenshot("dialog_rule", true);
    await dialog.getByRole("button", { name: "Add rule" }).click();
    await page.getByText("Search fails").first().waitFor();
    assert.equal(usual.world.rules.at(-1)?.threshold, 0.025);
    await visit("/alerts?tab=webhooks");
    await page.getByRole("button", { name: "Send test" }).click();
    await page.getByText("200 OK in 41 ms").waitFor();
    await visit("/users");
    await page.keyboard.press("n");
    await dialog.getByLabel("Name").fill("new.person");
    await dialog.getByRole("button", { name: "Add user" }).click();
    await dialog.getByLabel("One-time password").waitFor();
    await browser.screenshot("dialog_one_time_password", true);
    await browser.checkAccess("one-time password");
    await dialog.getByRole("button", { name: "Done" }).click();
    await page.getByText("new.person").first().waitFor();
    await visit("/account");
    await page.keyboard.press("n");
    await dialog.getByLabel("Title").fill("backup script");
    await dialog.getByRole("button", { name: "Make token" }).click();
    await dialog.getByLabel("Token", { exact: true }).waitFor();
    await dialog.getByRole("button", { name: "Done" }).click();
    await page.getByText("backup script").first().waitFor();
    await visit("/transfer");
    await page.getByLabel("CSV or JSON").fill(
      "modid,cmdid,ip,port,weight,zone,state\n8,1,10.1.1.1,7000,100,a,on\n",
    );
    await page.getByRole("button", { name: "Preview" }).click();
    await dialog.getByText("10.1.1.1:7000").first().waitFor();
    await dialog.getByRole("button", { name: "Import" }).click();
    await dialog.waitFor({ state: "detached" });
    assert.equal(usual.world.find(8, 1)?.nodes.length, 1);
  },
);

pageTest(
  "explain: what the agent says, and a change that it holds back is said to be meant",
  "usual",
  async (page) => {
    const dialog = page.getByRole("dialog");
    const agent = page.getByRole("region", { name: "What the agent of the console's host says" });
    await visit("/modules/1/1?tab=explain");
    await agent.getByText(/^Picks are shares of the last 1.000/).waitFor();
    const [first] = await agent.locator("tbody tr").allInnerTexts();
    assert.match(first, /10\.20\.4\.3:7002[^]*out[^]*4.211[^]*share 0\.75/);
    await agent.getByText("3 of 8 nodes are usable again").waitFor();
    const cards = page.getByRole("table", { name: "Why each node gets the calls it gets" })
      .getByRole("row");
    await page.setViewportSize({ width: 390, height: 844 });
    const before = await cards.count();
    const more = page.getByRole("button", { name: /more in order/ });
    await more.first().click();
    assert.ok(await cards.count() > before, "nodes in order are folded on a phone until asked for");
    await page.setViewportSize({ width: 1360, height: 900 });
    assert.equal(await more.count(), 0, "and nowhere else");
    await visit("/modules/7/7?tab=explain");
    await agent.getByText("its route is empty").waitFor();
    await visit("/modules/3/1?tab=explain");
    await agent.getByText("Now: probe, because no node is usable").waitFor();
    await visit("/modules/4294967295/4294967295?tab=explain");
    await agent.getByText("No caller on that host has asked for this module").waitFor();
    browser.expected.push(/404|502/);
    usual.refuse.set("explainModule", "agent-away");
    await visit("/modules/2/1?tab=explain");
    await agent.getByText("No agent answers on this host").waitFor();
    await browser.screenshot("module_explain_no_agent", true);
    usual.refuse.clear();
    usual.world.heldBack = "2,1: 2 of 12 nodes, 42 s; 66,6: 0 of 3 nodes, 9 s";
    const box = page.getByRole("alert").filter({ hasText: "held back" });
    await box.getByText("the route stored now would leave it 2").waitFor();
    await browser.checkAccess("held back");
    await browser.screenshot("module_held_back", true);
    // A module that lost its last node is no module any more, and held back all the same.
    await visit("/modules/66/6");
    await page.getByText("There is no such module").waitFor();
    await page.getByRole("status").getByText("Live").waitFor();
    await box.getByText("would leave it none").waitFor();
    await visit("/modules/2/1");
    await box.getByRole("button", { name: "It is meant" }).click();
    await dialog.getByLabel("Why").fill("half of the rack is gone");
    await browser.checkAccess("it is meant");
    await browser.screenshot("dialog_meant", true);
    await dialog.getByRole("button", { name: "It is meant" }).click();
    await page.getByRole("status").getByText("Stored as meant, 1 dns told").waitFor();
    await box.waitFor({ state: "detached" });
    assert.deepEqual(usual.world.confirmed, ["2/1: half of the rack is gone"]);
    await visit("/modules/2/1?tab=explain");
    await page.getByRole("button", { name: "The route is meant" }).click();
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await dialog.waitFor({ state: "detached" });
  },
);

pageTest(
  "agents: by state, what they hold back, and one that is gone is forgotten",
  "usual",
  async (page) => {
    usual.world.heldBack = "2,1: 2 of 12 nodes, 42 s; 66,6: 0 of 3 nodes, 9 s";
    await visit("/agents");
    const table = page.getByRole("table", { name: "Agents" });
    await table.getByText("3 min behind").or(table.getByText("42 s behind")).first().waitFor();
    await table.getByRole("link", { name: "66 / 6 held back" }).waitFor();
    await page.getByText("2 more connections to dns are of programs").waitFor();
    await browser.screenshot("agents_states", true);
    await browser.checkAccess("agents");
    await page.getByRole("button", { name: "Holding 1" }).click();
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
    assert.match(page.url(), /state=holding/);
    await page.getByRole("searchbox").fill("10.9.");
    await page.getByText("No agent matches").waitFor();
    await page.getByRole("button", { name: "Show all" }).click();
    await page.getByRole("button", { name: "Forget 10.0.9.0:8888" }).click();
    await browser.checkAccess("forget");
    await browser.screenshot("dialog_forget", true);
    await page.getByRole("dialog").getByRole("button", { name: "Forget" }).click();
    await page.getByRole("status").getByText("10.0.9.0:8888 is forgotten").waitFor();
    await page.getByRole("button", { name: "All 5" }).waitFor();
    assert.equal(await page.getByRole("button", { name: /^Forget/ }).count(), 0);
    usual.world.heldBack = "";
    usual.world.forgotten.clear();
  },
);

pageTest("roles: a viewer sees no button that changes anything", "usual", async (page) => {
  await visit("/modules/1/1");
  await page.getByText("10.20.4.1:7000").first().waitFor();
  assert.equal(await page.getByRole("button", { name: /Drain|Add nodes|Remove|Edit/ }).count(), 0);
  assert.equal(await page.getByRole("link", { name: /Users|Audit/ }).count(), 0);
  usual.world.heldBack = "1,1: 2 of 8 nodes, 42 s";
  await visit("/modules/1/1?tab=explain");
  await page.getByText("An operator can say that it is meant").waitFor();
  assert.equal(await page.getByRole("button", { name: /meant/ }).count(), 0);
  usual.world.heldBack = "";
  await visit("/agents");
  await page.getByText("10.0.9.0:8888").waitFor();
  assert.equal(await page.getByRole("button", { name: /Forget/ }).count(), 0);
  await visit("/users");
  await page.getByText("There is no such page").waitFor();
  await browser.screenshot("viewer_module");
}, "vera");

pageTest(
  "live: a node that fails turns red, and a lost server is said and found again",
  "usual",
  async (page) => {
    await visit("/modules/2/2");
    await page.locator(".fresh.live").waitFor();
    usual.world.setNode(2, 2, 0, { health: "overload", errorShare: 0.9, overloadCallerCount: 6 });
    await page.locator("tr.out", { hasText: "10.20.4.1:7000" }).getByText("kept out").waitFor();
    browser.expected.push(/503|ERR_|status of 5/);
    usual.refuse.set("live", "store-away");
    usual.dropStreams();
    await page.locator(".fresh.reconnecting, .fresh.stale").waitFor();
    await page.getByText("Agents go on with the routes they have").waitFor();
    assert.equal(await page.locator("table.nodes tbody tr").count(), 3, "the last values stay");
    await browser.screenshot("server_away");
    usual.refuse.clear();
    await page.locator(".fresh.live").waitFor();
    usual.world.isStale = true;
    await visit("/");
    await page.locator(".fresh.stale").waitFor();
    await page.getByText("You see what was known").waitFor();
    await browser.screenshot("database_away");
    usual.world.isStale = false;
  },
);

pageTest(
  "errors: what is refused is said with a way on; a missing module too",
  "usual",
  async (page) => {
    browser.expected.push(/404|500/);
    usual.refuse.set("listChanges", "internal");
    await visit("/changes");
    await page.getByText("Fault of the console").waitFor();
    await browser.screenshot("error", true);
    usual.refuse.clear();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("“slow disk”").waitFor();
    const complaintsBefore = browser.complaints.length;
    await visit("/modules/404/404");
    await page.getByText("There is no such module").waitFor();
    await page.waitForTimeout(3000); // Longer than a lost stream waits before it is opened again.
    assert.match(await page.getByRole("status").first().innerText(), /^Live$/);
    assert.deepEqual(browser.complaints.slice(complaintsBefore), [], "it is no fault");
    await browser.screenshot("module_missing", true);
    // One that comes is shown, one that goes is no more.
    const edit = (op: "add" | "remove"): void =>
      void usual.world.apply(
        [{ op, modId: 404, cmdId: 404, ip: "10.0.0.1", port: 80 }],
        "x",
        "",
        Date.now(),
      );
    edit("add");
    await page.getByText("10.0.0.1:80").first().waitFor();
    usual.world.modules.splice(usual.world.modules.findIndex(({ modId }) => modId === 404), 1);
    await page.getByText("There is no such module").waitFor();
    usual.hang.add("getChange");
    await page.evaluate(() => history.pushState(null, "", "/changes/1"));
    await page.reload();
    await page.getByText("Loading").first().waitFor({ state: "attached" });
    await browser.screenshot("loading", true);
    usual.hang.clear();
  },
);

pageTest("charts: a drag zooms in, a double click goes back", "usual", async (page) => {
  await visit("/history?range=24h&by=module");
  const area = await browser.placeOf(page.locator(".u-over").first());
  await page.mouse.move(area.x + 200, area.y + 60);
  await page.mouse.down();
  await page.mouse.move(area.x + 420, area.y + 60, { steps: 5 });
  await page.mouse.up();
  await page.waitForFunction(() => location.search.includes("from="));
  await page.getByRole("button", { name: "Zoom out" }).waitFor();
  await settle();
  await browser.screenshot("history_zoomed");
  await page.locator(".chart .canvas").first().dblclick();
  await page.waitForFunction(() => !location.search.includes("from="));
  await page.getByRole("button", { name: "30 d" }).click();
  await page.waitForFunction(() => location.search.includes("range=30d"));
});

/** What stands above a chart: time, and each line with its value. */
async function readout(chart: number): Promise<{ when: string; values: string[] }> {
  const head = browser.page.locator(".chart figcaption").nth(chart);
  return {
    when: await head.locator("time").innerText(),
    values: (await head.locator(".values li").allInnerTexts()).map((text) =>
      text.replace(/\s+/g, " ")
    ),
  };
}

pageTest(
  "refused callers stand beside calls: overview, modules, module, history",
  "usual",
  async (page) => {
    await visit("/");
    await page.locator(".stat", { hasText: "Refused" }).getByText("25.2").waitFor();
    await page.locator('tr:has-text("thumbnails")').first().getByText("25.2 refused").waitFor();
    await page.getByRole("slider", { name: "Refused over time" }).waitFor();
    await visit("/modules/3/1");
    await page.locator(".stat", { hasText: "Refused" }).getByText("too few nodes are well")
      .waitFor();
    await browser.screenshot("module_refused", true);
    await page.setViewportSize({ width: 390, height: 844 });
    await browser.checkWidth("refused on a phone");
    await visit("/history");
    await page.getByRole("slider", { name: "Refused over time" }).waitFor();
    await browser.checkWidth("history with refused on a phone");
    await page.setViewportSize({ width: 1360, height: 860 });
    assert.match(await page.locator(".legend tbody tr td:nth-child(7)").innerText(), /^[1-9]/);
    await visit("/modules/2/1");
    assert.equal(await page.locator(".stat", { hasText: "Refused" }).count(), 0, "nobody is");
    await visit("/modules/2/1?tab=history&by=node");
    await page.getByRole("slider", { name: "Calls over time" }).waitFor();
    assert.equal(await page.getByRole("slider", { name: "Refused over time" }).count(), 0);
  },
);

pageTest("explain: any agent of the fleet can be chosen, and asked", "usual", async (page) => {
  await visit("/modules/1/1?tab=explain");
  await page.getByText("What the agent of the console's host says").waitFor();
  const agent = usual.world.agents(Date.now())[1].address;
  const field = page.getByRole("combobox", { name: "Agent" });
  await page.waitForFunction(() => document.querySelectorAll("datalist option").length > 1);
  await field.fill(agent);
  await page.getByRole("button", { name: "Ask" }).click();
  await page.getByRole("heading", { name: `What ${agent} says` }).waitFor();
  await page.locator("#page").getByText(`The agent at ${agent}`).waitFor();
  assert.match(page.url(), /agent=/);
  await browser.screenshot("module_explain_agent");
  await browser.checkAccess("explain of an agent");
  await page.reload();
  await page.getByRole("heading", { name: `What ${agent} says` }).waitFor();
  await page.getByRole("button", { name: "That of the console's host" }).click();
  await page.getByText("What the agent of the console's host says").waitFor();
});

pageTest(
  "words: one line is one line, no call goes to another node when none is left, no message twice",
  "usual",
  async (page) => {
    await visit("/transfer");
    await page.getByLabel("CSV or JSON").fill("modid,cmdid,ip,port\n");
    await page.getByText("CSV, 1 line", { exact: true }).waitFor();
    await visit("/modules/3/1");
    await page.getByRole("checkbox", { name: "Choose all that are shown" }).check();
    await page.locator(".bulk").getByRole("button", { name: "Drain" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByText("none of its 2.8 calls/s finds a node").waitFor();
    assert.equal(await dialog.getByText("go to another node").count(), 0);
    await page.keyboard.press("Escape");
    await visit("/alerts?tab=webhooks");
    // What is wrong with an address is said at its field, in words of the server.
    await page.getByRole("button", { name: "Add webhook" }).click();
    await dialog.getByRole("textbox", { name: "Title" }).fill("pager");
    await dialog.getByRole("textbox", { name: "URL" }).fill("nonsense");
    browser.expected.push(/422/);
    await dialog.getByRole("button", { name: "Add webhook" }).click();
    await dialog.locator(".field .fault").filter({ hasText: "http" }).waitFor();
    await browser.screenshot("dialog_webhook_fault", true);
    await page.keyboard.press("Escape");
    for (let time = 0; time < 3; time++) {
      await page.getByRole("button", { name: "Send test" }).first().click();
      await page.locator(".notice", { hasText: "200 OK" }).waitFor();
    }
    assert.equal(await page.locator(".notice", { hasText: "200 OK" }).count(), 1);
  },
);

/** The classes of the badge of a row that say how bad it is. */
function toneIn(row: string): Promise<string | null> {
  return browser.page.locator(row).first().locator(".badge").first().getAttribute("class");
}

pageTest(
  "how bad something is looks the same on every page: a node, its module, the overview, events",
  "usual",
  async (page) => {
    const failing = usual.world.find(2, 2)?.nodes[1];
    assert.ok(failing);
    const name = `${failing.ip}:${failing.port}`;
    await visit("/");
    assert.equal(await toneIn(`.problems li:has-text("${name}")`), "badge crit");
    assert.equal(await toneIn(`tr:has-text("2 / 2")`), "badge crit");
    await visit("/modules/2/2");
    assert.equal(await toneIn(".page-head"), "badge crit");
    const row = `table.nodes tr:has-text("${name}")`;
    assert.equal(await toneIn(row), "badge crit");
    await page.locator(row).getByText("failing").waitFor();
    await browser.screenshot("module_failing");
    await visit("/modules/1/1");
    const out = usual.world.find(1, 1)?.nodes[2];
    const outRow = `table.nodes tr:has-text("${out?.ip}:${out?.port}")`;
    assert.equal(await toneIn(outRow), "badge warn", "the others take its calls");
    await visit("/");
    assert.equal(await toneIn(`.problems li:has-text("${out?.ip}:${out?.port}")`), "badge warn");
    await visit("/events?kind=node.");
    assert.equal(await toneIn('tbody tr:has-text("is kept out by 6 of 6")'), "badge warn");
  },
);

pageTest("events: what one node does again and again is one row", "usual", async (page) => {
  const { events } = usual.world;
  const before = events.length;
  const nowMs = Date.now();
  for (let at = 0; at < 12; at++) {
    events.unshift({
      id: 1000 + at,
      atMs: nowMs - (12 - at) * 9000,
      kind: at % 2 === 0 ? "node.overload" : "node.idle",
      severity: at % 2 === 0 ? "warning" : "info",
      ...{ modId: 2, cmdId: 2, node: "10.20.4.2:7001", host: "10.0.9.3" },
      text: `10.20.4.2:7001 ${at % 2 === 0 ? "is kept out" : "is used again"}`,
    });
  }
  await visit("/events");
  const story = page.locator("tbody tr", { hasText: "kept out 6 times and came back 6 times" });
  await story.waitFor();
  assert.equal(await story.count(), 1);
  const rows = await page.locator("tbody tr").count();
  await browser.screenshot("events_story", true);
  await story.getByRole("button", { name: "Show all 12" }).click();
  assert.equal(await page.locator("tbody tr").count(), rows + 12);
  await browser.checkAccess("a story");
  await browser.checkWidth("a story");
  events.splice(0, events.length - before);
});

pageTest(
  "charts: the values of all lines under the pointer and the keys, the same in every chart",
  "usual",
  async (page) => {
    await visit("/modules/1/1?tab=history&by=node");
    const area = await browser.placeOf(page.locator(".u-over").first());
    const lines = await page.locator(".legend tbody input:checked").count();
    const last = await readout(0);
    assert.equal(last.when, "latest");
    assert.equal(last.values.length, lines, "a value for each line that is drawn");
    assert.match(last.values[0], /^10\.20\.4\.\d:7000 [\d.]+\/s$/);
    await page.mouse.move(area.x + area.width / 4, area.y + 60);
    await page.waitForFunction(() =>
      document.querySelector(".chart figcaption time")?.textContent !== "latest"
    );
    const [first, second] = [await readout(0), await readout(1)];
    assert.equal(first.when, second.when, "all charts tell of one instant");
    assert.notDeepEqual(first.values, last.values);
    assert.match(second.values[0], /%$/);
    await browser.screenshot("history_pointer");
    await page.mouse.move(0, 0);
    const slider = page.getByRole("slider", { name: "Calls over time" });
    await slider.focus();
    await page.keyboard.press("Home");
    const home = await readout(0);
    await page.keyboard.press("ArrowRight");
    const next = await readout(0);
    assert.ok(next.when > home.when, `${home.when} then ${next.when}`);
    assert.match(await slider.getAttribute("aria-valuetext") ?? "", new RegExp(next.when));
    await page.keyboard.press("ArrowLeft");
    assert.deepEqual(await readout(0), home);
    await page.keyboard.press("End");
    assert.deepEqual((await readout(0)).values, last.values);
  },
);

pageTest(
  "charts: no label is cut off, of small and of large numbers, and a gap is a gap",
  "usual",
  async (page) => {
    for (const path of ["/history?range=24h", "/history?range=24h&by=module", "/history"]) {
      for (const width of [1280, 390]) {
        await page.setViewportSize({ width, height: 844 });
        await visit(path);
        await page.locator(".u-over").first().waitFor();
        // Ink at the very edge of a canvas is the rest of a label that did not fit.
        const cut = await page.evaluate(() =>
          [...document.querySelectorAll<HTMLCanvasElement>(".chart canvas")].filter((canvas) => {
            const pen = new OffscreenCanvas(canvas.width, canvas.height)
              .getContext("2d", { willReadFrequently: true });
            pen?.drawImage(canvas, 0, 0);
            const edges = [[0, 0, 1, canvas.height], [canvas.width - 1, 0, 1, canvas.height]];
            return edges.some(([x, y, width, height]) =>
              pen?.getImageData(x, y, width, height).data.some((value) => value !== 0)
            );
          }).length
        );
        assert.equal(cut, 0, `${path} at ${width}`);
        await browser.screenshot(`charts_${path.replace(/\W+/g, "_")}_${width}`);
      }
    }
    await visit("/history?range=24h");
    await page.getByText("Where a line is broken").waitFor();
    await page.getByRole("slider", { name: "Calls over time" }).focus();
    await page.keyboard.press("Home");
    for (let at = 0; at < 4; at++) await page.keyboard.press("PageDown");
    assert.match((await readout(0)).values[0], /–$/, "of a gap nothing is told");
  },
);

pageTest(
  "the overview draws the last hour and names the busiest and the worst modules",
  "usual",
  async (page) => {
    await visit("/");
    await page.getByRole("slider").first().waitFor();
    assert.equal(await page.getByRole("slider").count(), 4);
    for (const name of ["Modules in trouble", "Busiest modules"]) {
      assert.ok(await page.getByRole("region", { name }).locator("tbody tr").count() > 0, name);
    }
    const plot = await browser.placeOf(page.locator(".u-over").first());
    await page.mouse.move(plot.x + 40, plot.y + 40);
    await page.mouse.down();
    await page.mouse.move(plot.x + 120, plot.y + 40, { steps: 4 });
    await page.mouse.up();
    await page.waitForFunction(() => /^\/history\?from=/.test(location.pathname + location.search));
  },
);

pageTest(
  "charts: latency is drawn where callers tell times, and says so where not",
  "usual",
  async (page) => {
    const canvases = page.locator(".chart .canvas canvas");
    await visit("/history?by=caller");
    await settle();
    assert.equal(await canvases.count(), 5);
    const cells = page.locator(".legend tbody tr td:nth-child(5)");
    assert.deepEqual(await cells.allInnerTexts(), [
      ...["17.3 ms", "20.3 ms", "–"],
      ...["26.3 ms", "29.3 ms", "–"],
    ]);
    await visit("/modules/4294967295/4294967295?tab=history");
    await page.getByText("not known in this range").waitFor();
    assert.equal(await canvases.count(), 4);
  },
);

pageTest(
  "a database newer than the console: every page says so, and buttons that write say why not",
  "usual",
  async (page) => {
    const reason = "sqlite:data/lars.db has schema version 99, and this program knows 17";
    const banner = page.getByRole("alert").filter({ hasText: "This console only reads" });
    assert.equal(await banner.count(), 0);
    await visit("/modules/1/1");
    await page.getByRole("button", { name: "Add nodes" }).first().click();
    await page.getByRole("dialog").waitFor();
    usual.world.readOnly = reason;
    try {
      await banner.waitFor({ timeout: 60_000 });
      await page.getByRole("textbox", { name: "Nodes" }).fill("10.0.0.77:80");
      await page.getByRole("button", { name: "Preview" }).click({ force: true });
      const notice = page.locator(".notice").filter({ hasText: `Nothing can be changed now` });
      await notice.filter({ hasText: reason }).waitFor();
      await page.keyboard.press("Escape");
      for (const [, path] of PAGES) {
        await visit(path);
        assert.equal(await banner.filter({ hasText: reason }).count(), 1, path);
        const open = page.locator("#page button:not([aria-disabled])").filter({
          hasText: /^(Add|Make|Drain|Restore|Remove|Edit|Silence|Forget|Lock|Roll|Switch|New pass)/,
        });
        assert.deepEqual(await open.allInnerTexts(), [], path);
      }
      await visit("/modules/1/1");
      for (const name of ["Add nodes", "Edit, policy", "Silence"]) {
        await page.getByRole("button", { name }).first().click({ force: true });
        await notice.first().waitFor();
        assert.equal(await page.getByRole("dialog").count(), 0, name);
      }
      await browser.screenshot("read_only");
      await browser.checkAccess("read only");
      await page.getByRole("button", { name: "Log out" }).click();
      await page.getByRole("heading", { name: "Log in" }).waitFor();
      await banner.filter({ hasText: reason }).waitFor();
    } finally {
      usual.world.readOnly = null;
    }
  },
);

pageTest(
  "what a change leaves without nodes to call is said until it is read",
  "usual",
  async (page) => {
    await visit("/modules/4294967295/4294967295");
    await page.getByRole("checkbox", { name: "Choose all" }).check();
    await page.getByRole("button", { name: "Switch off" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByRole("checkbox", { name: "I know that" }).check();
    usual.world.returned = [{ modId: 2, cmdId: 1, name: "search", zones: ["eu-1a"] }];
    try {
      await dialog.getByRole("button", { name: /^Switch off/ }).click();
      const notice = page.locator(".notice.crit");
      await notice.getByText(
        "Module legacy (4294967295/4294967295) has no node that takes calls now. " +
          "Calls of module search (2/1) go to zone eu-1a again, although evacuated: " +
          "no other node takes calls.",
      ).waitFor();
      await browser.screenshot("notice_left", true);
      await notice.getByRole("button", { name: "Close message" }).click();
      await notice.waitFor({ state: "detached" });
    } finally {
      usual.world.returned = [];
    }
  },
);

test("a module page costs at most 150 kB in all", { skip }, async () => {
  await begin(usual);
  usual.sent.clear();
  await browser.page.goto(`${usual.url}/modules/2/1`);
  await settle();
  // Files may come from the browser's cache, which knows what they cost on their way here.
  const files = await browser.page.evaluate(() =>
    performance.getEntries().filter((entry) => entry instanceof PerformanceResourceTiming)
      .filter(({ name }) => !name.includes("/api/"))
      .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)
  );
  const answers = [...usual.sent].filter(([path]) => path.startsWith("/api/"))
    .reduce((sum, [, size]) => sum + size, 0);
  console.log(`module page: files ${files} bytes, answers ${answers} bytes`);
  assert.ok(files > 30_000, "the files were counted");
  assert.ok(files + 2 * answers <= 150_000, `${files} + 2 * ${answers} bytes`);
  finish(usual, "size");
});
