// The example page of the relay in a real Chromium: two pages write to each other, and ask a worker.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import { test } from "node:test";
import type { Page } from "playwright-core";
import { RelayWorker } from "../../api/relay_worker.ts";
import { type TestRelay, withRelay } from "../../relay/testing/test_relay.ts";
import { PROJECT_ROOT, withProcesses } from "../support/processes.ts";
import { until } from "../support/until.ts";
import { Browser, skipReason } from "./chromium.ts";

const skip = skipReason();

/** Serves the page and what it loads. */
async function withSite(script: string, fn: (url: string) => Promise<void>): Promise<void> {
  const files: Record<string, [string, string]> = {
    "/relay/example/index.html": [
      "text/html",
      readFileSync(join(PROJECT_ROOT, "relay/example/index.html"), "utf8"),
    ],
    "/dist/lars_relay_web.js": ["text/javascript", script],
  };
  const server = createServer((request, response) => {
    const [type, text] = files[new URL(request.url ?? "/", "http://x").pathname] ?? ["", ""];
    response.writeHead(type === "" ? 404 : 200, { "content-type": `${type}; charset=utf-8` });
    response.end(text);
  });
  await new Promise<void>((done) => void server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as { port: number };
  try {
    await fn(`http://127.0.0.1:${port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function openPage(page: Page, site: string, relay: TestRelay, name: string): Promise<void> {
  const at = `127.0.0.1:${relay.webAddress.port}`;
  await page.goto(`${site}/relay/example/index.html?relay=${at}&name=${name}`);
  await page.getByRole("status").getByText(`here as ${name}`).waitFor();
}

async function write(page: Page, to: string, text: string): Promise<void> {
  await page.getByLabel("To").fill(to);
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

/** Two pages write to each other, ask a worker, and one of them goes. */
async function talk(browser: Browser, site: string, relay: TestRelay): Promise<void> {
  const ann = browser.page;
  const bob = await browser.context.newPage();
  await openPage(ann, site, relay, "ann");
  await openPage(bob, site, relay, "bob");
  await write(ann, "bob", "good morning ✓");
  await bob.getByText("ann: good morning ✓").waitFor();
  await write(bob, "ann", "and to you");
  await ann.getByText("bob: and to you").waitFor();
  const worker = new RelayWorker({ relays: [relay.name] }, ({ data }) => data);
  await until(() => relay.stats().workers === 1, { what: "the worker" });
  await ann.getByLabel("Message", { exact: true }).fill("what is this");
  await ann.getByRole("button", { name: "Ask a worker" }).click();
  await ann.getByText("Worker: what is this").waitFor();
  await worker.close();
  assert.equal(relay.stats().connections_web, 2);
  await bob.close();
  await until(() => relay.stats().connections_web === 1, { what: "the end of bob's connection" });
  await write(ann, "bob", "still there?");
  await ann.getByText("Not sent.").waitFor();
}

test(
  "a page talks to another one and to a worker through a relay",
  { skip, timeout: 300_000 },
  async () => {
    await withProcesses(async (processes) => {
      const words = ["--out", processes.directory];
      const made = await processes.spawn("api", "scripts/bundle_api.ts", words).untilEnded(180_000);
      assert.equal(made.code, 0, made.stderr);
      const script = readFileSync(join(processes.directory, "lars_relay_web.js"), "utf8");
      await withSite(script, async (site) => {
        const browser = await Browser.start();
        try {
          await withRelay({ web: { origins: [site] } }, async (relay) => {
            await talk(browser, site, relay);
            await browser.checkAccess("the page");
            await browser.screenshot("relay_chat");
            await browser.page.setViewportSize({ width: 390, height: 844 });
            await browser.page.emulateMedia({ colorScheme: "dark" });
            await browser.checkWidth("the page");
            await browser.screenshot("relay_chat_dark_390");
            browser.checkComplaints("the page");
            // A page at another origin is not let in, and goes on trying.
            browser.expected.push(/WebSocket connection to .* failed/);
            await browser.page.goto("about:blank");
            await until(() => relay.stats().clients === 0, { what: "the end of ann's connection" });
          });
          await withRelay({ web: { origins: ["https://chat.example"] } }, async (relay) => {
            const at = `127.0.0.1:${relay.webAddress.port}`;
            await browser.page.goto(`${site}/relay/example/index.html?relay=${at}&name=eve`);
            await until(() => relay.stats().web_foreign > 0, { what: "the refusal" });
            assert.equal(relay.stats().clients, 0);
            await browser.page.goto("about:blank");
          });
        } finally {
          await browser.close();
        }
      });
    });
  },
);
