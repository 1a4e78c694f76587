// Core. How the site is laid out: which page stands where in its side bar.

/** A group of the side bar: title, and pages with their names. */
type Group = readonly [string, readonly (readonly [string, string])[]];

const GROUPS: readonly Group[] = [
  ["Start", [
    ["Quick start", "README.md"],
    ["The five minutes, recorded", "docs/tour.md"],
    ["Words", "docs/glossary.md"],
  ]],
  ["Concepts", [
    ["Architecture", "ARCHITECTURE.md"],
    ["Flows", "docs/flows.md"],
    ["Decisions", "docs/decisions.md"],
    ["Limits", "docs/limits.md"],
  ]],
  ["Scheduling", [
    ["Which policy", "docs/scheduling.md"],
    ["The preset recommended", "docs/recommended.md"],
    ["Policies and settings", "balancer/README.md"],
    ["Simulator", "sim/README.md"],
    ["Fleets that follow their load", "docs/scaling.md"],
  ]],
  ["Operating", [
    ["One host, then three", "docs/hosts.md"],
    ["Packages and containers", "deploy/README.md"],
    ["Backup, upgrade, moving", "docs/operations.md"],
    ["Security", "SECURITY.md"],
    ["TLS", "docs/tls.md"],
    ["Two zones", "docs/zones.md"],
    ["Troubleshooting", "docs/troubleshooting.md"],
    ["Every key", "docs/keys.md"],
    ["Command line", "tools/README.md"],
    ["Console, REST, alerts", "web/README.md"],
    ["Settings, secrets, logs", "daemon/README.md"],
  ]],
  ["Services", [
    ["agent", "agent/README.md"],
    ["dns", "dns/README.md"],
    ["reporter", "reporter/README.md"],
    ["discovery", "discovery/README.md"],
    ["relay", "relay/README.md"],
    ["exports", "export/README.md"],
    ["Scaling", "docs/scaling.md"],
  ]],
  ["Languages", [
    ["TypeScript", "api/README.md"],
    ["Python", "api/python/README.md"],
    ["Go", "api/go/README.md"],
    ["Java", "api/java/README.md"],
    ["C", "api/c/README.md"],
    ["C++", "api/cpp/README.md"],
    ["A further one", "api/conformance/README.md"],
  ]],
  ["Wire and tables", [
    ["Messages", "proto/README.md"],
    ["Shared table", "proto/shared_table.md"],
    ["Batched reports", "proto/batched_reports.md"],
    ["Sessions", "session/README.md"],
    ["SQL", "sql/README.md"],
  ]],
  ["The original", [
    ["Moving from it", "docs/moving-from-the-original.md"],
    ["Differences", "docs/differences.md"],
  ]],
  ["Project", [
    ["Contributing", "CONTRIBUTING.md"],
    ["Changelog", "CHANGELOG.md"],
    ["Measurements", "bench/results/results.md"],
  ]],
];

/** On a phone tables scroll; without this their last column, which has the text, is a word wide. */
const NARROW_TABLES =
  "@media (max-width: 640px) { .vp-doc td:last-child { min-width: 16em; overflow-wrap: anywhere } }";

/** Pages that the side bar names; further ones are found by links and search. */
export function plannedPages(): string[] {
  return GROUPS.flatMap(([, pages]) => pages.map(([, path]) => path));
}

/** Where a page is on the site: READMEs are the pages of their folders. */
function routeOf(path: string): string {
  return `/${path.replace(/(^|\/)README\.md$/, "$1").replace(/\.md$/, "")}`;
}

/**
 * The configuration of the generator, as a module.
 *
 * @param paths All pages of the site.
 * @throws {Error} when the side bar names a page that is not there.
 */
export function siteConfig(paths: ReadonlySet<string>, version: string): string {
  const missing = plannedPages().filter((path) => !paths.has(path));
  if (missing.length > 0) throw new Error(`The side bar names ${missing.join(", ")}: not there`);
  const config = {
    title: "Lars",
    description: "Load balancing and service scheduling by how calls really end.",
    cleanUrls: false,
    lastUpdated: false,
    head: [
      ["link", { rel: "icon", href: "/favicon.svg", type: "image/svg+xml" }],
      ["style", {}, NARROW_TABLES],
    ],
    themeConfig: {
      search: { provider: "local" },
      outline: [2, 3],
      nav: [{ text: `version ${version}`, link: "/CHANGELOG" }],
      sidebar: GROUPS.map(([text, pages]) => ({
        text,
        collapsed: false,
        items: pages.map(([name, path]) => ({ text: name, link: routeOf(path) })),
      })),
    },
  };
  // Headings are named as where the pages are read otherwise, so that links hold in both places.
  return `const slugify = (text) => text.trim().toLowerCase()
  .replace(/[^\\p{L}\\p{N}\\s_-]/gu, "").replace(/\\s/g, "-");
// Code that is only indented is shown as fenced code is: in a box that scrolls, its braces as they are.
function fenceAll(md) {
  md.renderer.rules.code_block = (tokens, index, ...rest) => {
    tokens[index].info = "text";
    return md.renderer.rules.fence(tokens, index, ...rest);
  };
}
const markdown = { html: false, anchor: { slugify }, toc: { slugify }, config: fenceAll };
export default { ...${JSON.stringify(config, null, 2)}, markdown };
`;
}
