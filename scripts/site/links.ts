// Core. The links of Markdown pages: found, checked, and made to fit the pages of a site.

/** A page: where it is, from the root of the repository, and its text. */
export interface SitePage {
  readonly path: string;
  readonly text: string;
}

/** A link that leads nowhere. */
export interface DeadLink {
  readonly path: string;
  readonly line: number;
  readonly target: string;
}

/** What a link leads to inside of the repository. */
interface Place {
  /** From the root; a folder without a slash at its end. */
  readonly path: string;
  readonly anchor: string;
}

const LINK = /(!?)\[([^\]]*)\]\(([^)\s]+)\)/g;

/** The name that a heading is found by, as GitHub makes it. */
export function slugOf(heading: string): string {
  return heading.trim().toLowerCase()
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replace(/\s/g, "-");
}

/** The lines of a page, each with whether it is prose: code keeps its brackets. */
function proseLines(text: string): { line: string; isProse: boolean }[] {
  let isCode = false;
  return text.split("\n").map((line) => {
    const isFence = /^\s*```/.test(line);
    if (isFence) isCode = !isCode;
    return { line, isProse: !isFence && !isCode && !line.startsWith("    ") };
  });
}

/** Names of all headings of a page; of equal ones the second has `-1` at its end. */
export function anchorsOf(text: string): Set<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const { line, isProse } of proseLines(text)) {
    const heading = isProse ? /^#{1,6} (.*)$/.exec(line)?.[1] : undefined;
    if (heading === undefined) continue;
    const slug = slugOf(heading);
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    anchors.add(count === 0 ? slug : `${slug}-${count}`);
  }
  return anchors;
}

function isOutside(target: string): boolean {
  return /^[a-z]+:/i.test(target) || target.startsWith("//");
}

/** Where a link of a page leads; undefined above the root. */
function placeOf(from: string, target: string): Place | undefined {
  const [path, anchor = ""] = target.split("#");
  if (path === "") return { path: from, anchor };
  const parts = from.split("/").slice(0, -1);
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return { path: parts.join("/"), anchor };
}

/**
 * Links of all pages that lead to no file, or to no heading of a page.
 *
 * @param exists Whether there is such a file or folder, from the root.
 */
export function deadLinks(
  pages: readonly SitePage[],
  exists: (path: string) => boolean,
): DeadLink[] {
  const anchors = new Map(pages.map(({ path, text }) => [path, anchorsOf(text)]));
  const dead: DeadLink[] = [];
  for (const { path, text } of pages) {
    proseLines(text).forEach(({ line, isProse }, index) => {
      if (!isProse) return;
      for (const [, , , target] of line.replace(/`[^`]*`/g, "").matchAll(LINK)) {
        if (isOutside(target)) continue;
        const place = placeOf(path, target);
        const known = place === undefined ? undefined : anchors.get(place.path) ??
          anchors.get(`${place.path}/README.md`);
        const isFound = place !== undefined && (known !== undefined || exists(place.path)) &&
          (place.anchor === "" || known?.has(place.anchor) === true);
        if (!isFound) dead.push({ path, line: index + 1, target });
      }
    });
  }
  return dead;
}

/** The file of a page on the site: a README is what its folder shows. */
export function siteFileOf(path: string): string {
  return path.replace(/(^|\/)README\.md$/, "$1index.md");
}

/** What leads to a page of the site: the folder of a README, the file of any other. */
function linkTo(path: string, hash: string): string {
  return `/${siteFileOf(path).replace(/(^|\/)index\.md$/, "$1")}${hash}`;
}

/**
 * The text of a page with its links as a site needs them: folders and READMEs are the pages of their
 * folders, and of a file that is no page only its name is left. Links to pictures stay.
 *
 * @param isPage Whether the site has a page of this path.
 */
export function siteText({ path, text }: SitePage, isPage: (path: string) => boolean): string {
  return proseLines(text).map(({ line, isProse }) => {
    if (!isProse) return line;
    return line.replace(LINK, (whole, picture: string, label: string, target: string) => {
      if (picture !== "" || isOutside(target) || target.startsWith("#")) return whole;
      const place = placeOf(path, target);
      if (place === undefined) return label;
      const hash = place.anchor === "" ? "" : `#${place.anchor}`;
      if (isPage(place.path)) return `[${label}](${linkTo(place.path, hash)})`;
      const readme = place.path === "" ? "README.md" : `${place.path}/README.md`;
      if (isPage(readme)) return `[${label}](${linkTo(readme, hash)})`;
      return label.includes("`") ? label : `\`${label}\``;
    });
  }).join("\n");
}
