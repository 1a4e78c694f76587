// Shell. A real Chromium for tests: found, started with a profile of its own, watched for errors.

import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { readFileSync } from "node:fs";
import process from "node:process";
import { type BrowserContext, chromium, type Locator, type Page } from "playwright-core";
import { makeTempDir, type TempDir } from "../support/temp_dir.ts";
import { until } from "../support/until.ts";

/** Longest wait for something to show: machines that run tests may be very busy. */
export const PATIENCE_MS = 60_000;

const ARGUMENTS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Where Debian, and others, put it. */
const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Path of a Chromium on this machine; undefined when there is none or tests shall do without. */
export function findChromium(): string | undefined {
  if ((process.env.LARS_TEST_SKIP_BROWSER ?? "") !== "") return undefined;
  return [process.env.LARS_TEST_CHROMIUM ?? "", ...PATHS].find((path) =>
    path !== "" && existsSync(path)
  );
}

/** Why tests of pages are skipped, or false. */
export function skipReason(): string | false {
  if ((process.env.LARS_TEST_SKIP_BROWSER ?? "") !== "") return "skipped on request";
  return findChromium() === undefined ? "no chromium on this machine" : false;
}

let screenshots: string | undefined;

/** Folder that screenshots are written to: `LARS_TEST_SCREENSHOTS`, else a new temporary one. */
export function screenshotFolder(): string {
  if (screenshots === undefined) {
    screenshots = process.env.LARS_TEST_SCREENSHOTS ?? makeTempDir("lars-screenshots-").path;
    mkdirSync(screenshots, { recursive: true });
    console.log(`Screenshots are written to ${screenshots}`);
  }
  return screenshots;
}

/** A rectangle of the window, in pixels. */
type Place = NonNullable<Awaited<ReturnType<Locator["boundingBox"]>>>;

/** A browser with one page; everything it complains about is kept. */
export class Browser {
  readonly context: BrowserContext;
  readonly page: Page;
  /** Errors of the console, exceptions of the page, and requests to other hosts. */
  readonly complaints: string[] = [];
  /** Complaints that a test brings about on purpose. */
  readonly expected: RegExp[] = [];
  readonly #profile: TempDir;

  private constructor(context: BrowserContext, page: Page, profile: TempDir) {
    this.context = context;
    this.page = page;
    this.#profile = profile;
    page.on("console", (message) => {
      if (message.type() === "error" || message.type() === "warning") {
        this.complaints.push(`${message.type()}: ${message.text()} ${message.location().url}`);
      }
    });
    page.on("pageerror", (error) => this.complaints.push(`exception: ${error.message}`));
    context.on("request", (request) => {
      const { hostname, protocol } = new URL(request.url());
      if (protocol.startsWith("http") && hostname !== "127.0.0.1") {
        this.complaints.push(`request to another host: ${request.url()}`);
      }
    });
  }

  /** Starts one; the size is that of a laptop unless given. */
  static async start(
    options: { width?: number; height?: number; isDark?: boolean } = {},
  ): Promise<Browser> {
    const path = findChromium();
    if (path === undefined) throw new Error("There is no Chromium on this machine");
    const profile = makeTempDir("lars-chromium-");
    const context = await chromium.launchPersistentContext(profile.path, {
      executablePath: path,
      args: ARGUMENTS,
      viewport: { width: options.width ?? 1360, height: options.height ?? 860 },
      colorScheme: options.isDark === true ? "dark" : "light",
      reducedMotion: "reduce",
      locale: "en-GB",
      timezoneId: "UTC",
      timeout: PATIENCE_MS,
    });
    context.setDefaultTimeout(PATIENCE_MS);
    const page = context.pages()[0] ?? await context.newPage();
    return new Browser(context, page, profile);
  }

  /** Where something is in the window, once it is there: a chart that is drawn anew is gone for a moment. */
  async placeOf(locator: Locator): Promise<Place> {
    let place: Place | null = null;
    await until(async () => (place = await locator.boundingBox()) !== null, {
      what: "its place in the window",
    });
    assert.ok(place);
    return place;
  }

  /** Writes what is seen, the whole length of the page unless `isView`. */
  async screenshot(name: string, isView = false): Promise<void> {
    const path = join(screenshotFolder(), `${name}.png`);
    await this.page.screenshot({ path, fullPage: !isView, animations: "disabled" });
  }

  /** Fails when the page is wider than its window, or a panel cuts off what nobody can scroll to. */
  async checkWidth(where: string): Promise<void> {
    const wide = await this.page.evaluate(() => {
      const width = document.documentElement.clientWidth;
      const isWide = document.documentElement.scrollWidth > width;
      return [...document.querySelectorAll("body *")].filter((element) => {
        const { right, width: own } = element.getBoundingClientRect();
        // What is cut on purpose, or scrolled, or drawn anew a moment later.
        if (own === 0 || element.closest(".hidden, .cut, .tabs, .choice, .outcomes, .uplot")) {
          return false;
        }
        if (isWide && right > width + 1) return true;
        const panel = element.closest(".panel.flush");
        if (panel === null || getComputedStyle(panel).overflowX === "auto") return false;
        return right > panel.getBoundingClientRect().right + 1;
      }).slice(0, 5).map((element) =>
        `${element.tagName}.${element.className} ${element.textContent?.slice(0, 40)}`
      );
    });
    assert.deepEqual(wide, [], `${where} is wider than its window, or cut off`);
  }

  /** Fails on a serious or critical fault that axe finds. */
  async checkAccess(where: string): Promise<void> {
    await this.page.evaluate(axeSource());
    const faults = await this.page.evaluate(async () => {
      // deno-lint-ignore no-explicit-any -- axe puts itself into the page
      const { violations } = await (globalThis as any).axe.run(document, {
        resultTypes: ["violations"],
      });
      return (violations as {
        id: string;
        impact: string;
        nodes: { html: string; failureSummary: string }[];
      }[]).filter(({ impact }) => impact === "serious" || impact === "critical").map((
        { id, nodes },
      ) =>
        `${id}: ${
          nodes.slice(0, 4).map(({ html, failureSummary }) =>
            `${html.slice(0, 160)} ${failureSummary}`
          ).join("\n   ")
        }`
      );
    });
    assert.deepEqual(faults, [], `${where}: faults found by axe`);
  }

  /** Fails when the browser complained about something nobody brought about. */
  checkComplaints(where: string): void {
    const unexpected = this.complaints.filter((complaint) =>
      !this.expected.some((pattern) => pattern.test(complaint))
    );
    assert.deepEqual(unexpected, [], `${where}: the browser complained`);
  }

  /** Ends it. */
  async close(): Promise<void> {
    await this.context.close();
    this.#profile.remove();
  }
}

let axe: string | undefined;

function axeSource(): string {
  axe ??= readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  return axe;
}
