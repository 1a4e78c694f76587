// The whole way through the console in a real Chromium, with the real services behind it.

import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { sqliteTestStore, startFleet } from "../support/fleet.ts";
import { assertInTime } from "../support/in_time.ts";
import { Processes, type TestProcess } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { ipNumber, monotonicMs, WireCaller } from "../support/wire_client.ts";
import { Browser, PATIENCE_MS, skipReason } from "./chromium.ts";

const MODULE = { modId: 11, cmdId: 3 };
const NODES = ["10.8.0.1:7000", "10.8.0.2:7000", "10.8.0.3:7000"];
const NEW_PASSWORD = "four plain words here";
const LINK_PASSWORD = "another four plain words";
/** Pause of the caller between two calls: some 100 calls a second. */
const PAUSE_MS = 8;

/** A caller whose calls to some nodes fail. */
class Calls {
  /** Nodes whose calls fail, as `ip:port`. */
  readonly failing = new Set<string>();
  /** Calls by node. */
  readonly counts = new Map<string, number>();
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(caller: WireCaller) {
    this.#done = this.#run(caller);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #run(caller: WireCaller): Promise<void> {
    const { modId, cmdId } = MODULE;
    const names = new Map(NODES.map((name) => [ipNumber(name.split(":")[0]), name]));
    while (!this.#stopped) {
      const answer = await caller.getHost(modId, cmdId).catch(() => undefined);
      if (answer?.host !== undefined) {
        const name = names.get(answer.host.ip) ?? "";
        this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
        caller.report(modId, cmdId, answer.host, this.failing.has(name) ? 1 : 0);
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

/** A webhook of somebody else: keeps what it gets. */
class Receiver {
  readonly bodies: string[] = [];
  readonly signatures: string[] = [];
  readonly #server: Server;

  constructor() {
    this.#server = createServer((request, response) => {
      let body = "";
      request.setEncoding("utf8");
      request.on("data", (chunk: string) => body += chunk);
      request.on("end", () => {
        this.bodies.push(body);
        this.signatures.push(JSON.stringify(request.headers));
        response.end("thanks");
      });
    });
  }

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/alerts`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** What the steps share. */
interface Tour {
  readonly browser: Browser;
  readonly web: TestProcess;
  readonly url: string;
  readonly calls: Calls;
  readonly receiver: Receiver;
}

async function startConsole(processes: Processes, storeUrl: string): Promise<TestProcess> {
  const flags = ["--json", "--web-port=0", `--store=${storeUrl}`];
  return await processes.spawn("web", "web/main.ts", flags).untilReady();
}

async function firstLogin({ browser, url, web }: Tour): Promise<void> {
  const { page } = browser;
  await until(() => /one-time password \S+/.test(web.stdout), {
    timeoutMs: PATIENCE_MS,
    what: () => `the first password: ${web.stdout} ${web.stderr}`,
  });
  const password = /one-time password (\S+)/.exec(web.stdout)?.[1] ?? "";
  await page.goto(url);
  await page.getByLabel("Name").fill("admin");
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
  await page.getByLabel("One-time password").fill(password);
  await page.getByLabel("New password", { exact: true }).fill(NEW_PASSWORD);
  await page.getByLabel("New password again").fill(NEW_PASSWORD);
  await page.keyboard.press("Enter");
  await page.getByText("There are no modules yet").waitFor();
  await browser.screenshot("tour_1_first_login");
}

async function addModule({ browser, url }: Tour): Promise<void> {
  const { page } = browser;
  await page.goto(url);
  const dialog = page.getByRole("dialog");
  await page.getByRole("link", { name: "Add the first module" }).click();
  await dialog.getByLabel("Module number").fill(String(MODULE.modId));
  await dialog.getByLabel("Command number").fill(String(MODULE.cmdId));
  await dialog.getByLabel("Name").fill("orders");
  await dialog.getByLabel("Nodes").fill(NODES.slice(0, 2).join("\n"));
  await dialog.getByRole("button", { name: "Preview" }).click();
  await dialog.getByLabel("Why").fill("tour");
  await dialog.getByRole("button", { name: "Add module" }).click();
  await page.getByRole("heading", { level: 1, name: "orders" }).waitFor();
  await page.getByText(NODES[1]).first().waitFor();
  await page.keyboard.press("n");
  await dialog.getByLabel("Nodes").fill(NODES[2]);
  await dialog.getByLabel("Zone").fill("b");
  await dialog.getByRole("button", { name: "Preview" }).click();
  await dialog.getByRole("button", { name: "Add node" }).click();
  await page.locator("table.nodes").getByText(NODES[2]).waitFor();
}

async function callsShow({ browser, calls }: Tour): Promise<void> {
  await until(() => NODES.every((name) => (calls.counts.get(name) ?? 0) > 20), {
    timeoutMs: PATIENCE_MS,
    what: "calls to all three nodes",
  });
  const rows = browser.page.locator("table.nodes tbody tr");
  for (const name of NODES) {
    await rows.filter({ hasText: name }).getByText("100 %").waitFor();
  }
  await browser.screenshot("tour_2_calls");
}

async function nodeFails({ browser, calls }: Tour): Promise<void> {
  const startMs = monotonicMs();
  calls.failing.add(NODES[0]);
  await browser.page.locator("tr.out", { hasText: NODES[0] }).getByText("kept out").waitFor();
  assertInTime("a failing node turns red", monotonicMs() - startMs, 2000);
  await browser.screenshot("tour_3_node_fails");
}

async function alertFires(tour: Tour): Promise<void> {
  const { browser, receiver } = tour;
  const { page } = browser;
  await until(() => receiver.bodies.some((body) => body.includes(NODES[0])), {
    timeoutMs: PATIENCE_MS,
    what: () => `an alert about ${NODES[0]} at the webhook: ${receiver.bodies.join("\n")}`,
  });
  assert.match(receiver.signatures.join("\n"), /signature/i);
  await page.getByRole("link", { name: /^Alerts/ }).click();
  await page.getByText("A node is out").first().waitFor();
  await browser.screenshot("tour_4_alert");
  await browser.checkAccess("firing alert");
}

/** A rule that fires at once, and a webhook that hears of it. */
async function addAlerting({ browser, url, receiver }: Tour): Promise<void> {
  const { page } = browser;
  const dialog = page.getByRole("dialog");
  const address = await receiver.listen();
  await page.goto(`${url}/alerts?tab=rules`);
  await page.getByRole("button", { name: "Add rule" }).click();
  await dialog.getByLabel("Looks at").selectOption("node_out");
  await dialog.getByLabel("Title").fill("A node is out");
  await dialog.getByLabel("Fires after, seconds").fill("0");
  await dialog.getByLabel("Ends after, seconds").fill("0");
  await dialog.getByRole("button", { name: "Add rule" }).click();
  await page.getByText("A node is out").first().waitFor();
  await page.getByRole("link", { name: "Webhooks" }).click();
  await page.getByRole("button", { name: "Add webhook" }).click();
  await dialog.getByLabel("Title").fill("receiver");
  await dialog.getByLabel("URL").fill(address);
  await dialog.getByRole("button", { name: "Add webhook" }).click();
  await dialog.getByLabel("Secret").waitFor();
  await dialog.getByRole("button", { name: "Done" }).click();
  await page.getByRole("button", { name: "Send test" }).click();
  await until(() => receiver.bodies.length > 0, { timeoutMs: PATIENCE_MS, what: "a test message" });
}

async function drainAndRollBack({ browser, url, calls }: Tour): Promise<void> {
  const { page } = browser;
  const dialog = page.getByRole("dialog");
  await page.goto(`${url}/modules/${MODULE.modId}/${MODULE.cmdId}`);
  await page.getByRole("button", { name: `Drain ${NODES[1]}` }).click();
  await dialog.getByLabel("Why").fill("kernel update");
  await dialog.getByRole("button", { name: "Drain" }).click();
  await page.getByRole("button", { name: `Restore ${NODES[1]}` }).waitFor();
  let before = -1;
  await until(() => {
    const now = calls.counts.get(NODES[1]) ?? 0;
    const isQuiet = now === before;
    before = now;
    return isQuiet;
  }, { timeoutMs: PATIENCE_MS, intervalMs: 500, what: "no more calls to the drained node" });
  await browser.screenshot("tour_5_drained");
  await page.getByRole("link", { name: "Changes", exact: true }).last().click();
  await page.getByRole("button", { name: /^Roll back change/ }).first().click();
  await dialog.getByLabel("Why").fill("update is done");
  await dialog.getByRole("button", { name: "Roll back" }).click();
  await page.getByText("undoes").waitFor();
  await browser.screenshot("tour_6_rolled_back");
  await until(() => (calls.counts.get(NODES[1]) ?? 0) > before, {
    timeoutMs: PATIENCE_MS,
    what: "calls to the restored node",
  });
}

/** Every page once more with real data: no fault, no error, nothing too wide. */
async function lookAround({ browser, url }: Tour): Promise<void> {
  const { page } = browser;
  const module = `/modules/${MODULE.modId}/${MODULE.cmdId}`;
  const paths = ["/", "/modules", module, `${module}?tab=history&by=node&range=5m`];
  paths.push("/history?range=5m", "/alerts", "/alerts?tab=webhooks", "/events", "/services");
  paths.push("/agents", "/followers", "/changes", "/audit", "/users", "/account", "/transfer");
  for (const path of paths) {
    await page.goto(url + path);
    await page.locator("h1").waitFor();
    await page.locator(".loading").first().waitFor({ state: "detached" });
    await browser.checkWidth(path);
    const name = path.replace(/[^a-z]+/g, "_").replace(/^_|_$/g, "") || "overview";
    await browser.screenshot(`tour_page_${name}`);
    assert.equal(await page.locator(".box.crit").count(), 0, `${path} shows an error`);
  }
  await page.getByRole("link", { name: "Overview", exact: true }).click();
  await page.keyboard.press("/");
  await page.getByRole("combobox").waitFor();
  await page.keyboard.type("10.8.0.2");
  await page.getByRole("option", { name: /10\.8\.0\.2:7000/ }).first().waitFor();
  await page.keyboard.press("Escape");
}

const skip = skipReason();
const processes = new Processes();
let tour: Tour | undefined;
/** The step that failed; those after it would only repeat its failure. */
let failed: string | undefined;

before(async () => {
  if (skip !== false) return;
  const { url: storeUrl } = await sqliteTestStore(processes);
  const [fleet, web] = await Promise.all([
    startFleet(processes, storeUrl),
    startConsole(processes, storeUrl),
  ]);
  tour = {
    browser: await Browser.start(),
    web,
    url: `http://127.0.0.1:${web.port()}`,
    calls: new Calls(await WireCaller.open(fleet.agent.port())),
    receiver: new Receiver(),
  };
});

after(async () => {
  await tour?.calls.stop();
  tour?.receiver.close();
  await tour?.browser.close();
  await processes.endAll();
});

/** One step of the tour: they build on each other. */
function step(name: string, walk: (tour: Tour) => Promise<void>): void {
  test(`the tour: ${name}`, { skip }, async () => {
    assert.ok(tour, "the services run");
    assert.equal(failed, undefined, "an earlier step failed");
    failed = name;
    try {
      await walk(tour);
      tour.browser.checkComplaints(name);
    } catch (error) {
      await tour.browser.screenshot("tour_failed").catch(() => undefined);
      const message = error instanceof Error ? error.message : String(error);
      throw new Error(`${message}\n${processes.report}`, { cause: error });
    }
    failed = undefined;
  });
}

step("the first login changes the one-time password", firstLogin);
step("a rule, and a webhook that takes a test message", addAlerting);
step("a module with two nodes, and a third one", addModule);
step("calls show on every node", callsShow);
step("a node that fails turns red", nodeFails);
step("the alert arrives at the webhook, signed", alertFires);
step("a drained node gets no calls, until the change is rolled back", drainAndRollBack);
step("every page holds with real data", lookAround);

test("lars up prints a link that logs in once", { skip }, async () => {
  const up = processes.spawn("lars up", "tools/lars.ts", [
    ...["up", "--json", "--data", join(processes.directory, "up")],
    ...["--dns", "127.0.0.1:0", "--reporter", "127.0.0.1:0", "--agent", "127.0.0.1:0"],
    ...["--console", "127.0.0.1:0"],
  ]);
  const link = (): string | undefined => /"(http:[^"]+#once=[^"]+)"/.exec(up.stdout)?.[1];
  await until(() => link() !== undefined, {
    timeoutMs: PATIENCE_MS,
    what: () => `the link of lars up: ${up.stdout} ${up.stderr}`,
  });
  const browser = await Browser.start({ isDark: true });
  const { page } = browser;
  try {
    await page.goto(link() ?? "");
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    assert.doesNotMatch(page.url(), /once/, "the token stays in no history");
    await page.locator(".fresh.live").waitFor();
    await browser.screenshot("tour_lars_up");
    browser.expected.push(/401/);
    // Who came by the link may set a password for a second browser without knowing an old one.
    await page.goto(new URL("/account", link()).href);
    await page.getByText("no old password is needed").waitFor();
    await page.getByLabel("New password", { exact: true }).fill(LINK_PASSWORD);
    await page.getByLabel("New password again").fill(LINK_PASSWORD);
    await page.getByRole("button", { name: "Change password" }).click();
    await page.getByText("Password changed").waitFor();
    await page.context().clearCookies();
    await page.goto(new URL("/", link()).href);
    await page.getByLabel("Name").fill("admin");
    await page.getByLabel("Password", { exact: true }).fill(LINK_PASSWORD);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
    browser.checkComplaints("lars up");
    await page.context().clearCookies();
    await page.goto("about:blank");
    await page.goto(link() ?? "");
    await page.getByText("The link does not work").waitFor();
    browser.checkComplaints("a used link");
    await page.getByRole("button", { name: "Copy" }).waitFor();
    await browser.screenshot("tour_used_link");
    // The command that the page names, typed as it stands there, lets somebody in.
    const command = await page.getByLabel("Command that lets you in").inputValue();
    const [name, ...words] = command.split(" ");
    assert.equal(name, "lars", command);
    const { code, stdout } = await processes.spawn("lars user reset", "tools/lars.ts", words)
      .untilEnded(PATIENCE_MS);
    assert.equal(code, 0, command);
    const password = /: (\S+)\n/.exec(stdout)?.[1] ?? "";
    await page.getByLabel("Name").fill("admin");
    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.keyboard.press("Enter");
    await page.getByLabel("One-time password").fill(password);
    await page.getByLabel("New password", { exact: true }).fill(NEW_PASSWORD);
    await page.getByLabel("New password again").fill(NEW_PASSWORD);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { level: 1, name: "Overview" }).waitFor();
  } finally {
    await browser.close();
    await up.stop();
  }
});
