// Core. The addresses of the console's pages: from a path to a page and its parts.

/** A page and what its address says. */
export type Place =
  | { readonly page: "module"; readonly modId: number; readonly cmdId: number }
  | { readonly page: "change"; readonly id: number }
  | { readonly page: PageName };

/** Pages without parts in their address; the overview is `/`. */
export const PAGE_NAMES = [
  "overview",
  "modules",
  "history",
  "changes",
  "alerts",
  "events",
  "agents",
  "leases",
  "followers",
  "relay",
  "services",
  "transfer",
  "audit",
  "users",
  "account",
  "missing",
] as const;
export type PageName = (typeof PAGE_NAMES)[number];

/** Largest module or command number. */
const UNSIGNED_MAX = 4_294_967_295;

/** What stands at a path; `missing` for what is no page. */
export function parsePlace(path: string): Place {
  const parts = path.split("/").filter((part) => part !== "");
  if (parts.length === 0) return { page: "overview" };
  const [first, ...rest] = parts;
  if (rest.length === 0) {
    const page = PAGE_NAMES.find((name) => name === first && name !== "overview");
    return { page: page ?? "missing" };
  }
  const numbers = rest.map((part) => /^\d{1,15}$/.test(part) ? Number(part) : -1);
  if (first === "modules" && rest.length === 2) {
    const [modId, cmdId] = numbers;
    if (Math.min(modId, cmdId) >= 0 && Math.max(modId, cmdId) <= UNSIGNED_MAX) {
      return { page: "module", modId, cmdId };
    }
  }
  if (first === "changes" && rest.length === 1 && numbers[0] > 0) {
    return { page: "change", id: numbers[0] };
  }
  return { page: "missing" };
}

/** An address with a query; parts that are undefined or empty are left out. */
export function withQuery(
  path: string,
  query: Readonly<Record<string, string | number | undefined>>,
): string {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") parts.set(name, String(value));
  }
  const text = parts.toString();
  return text === "" ? path : `${path}?${text}`;
}
