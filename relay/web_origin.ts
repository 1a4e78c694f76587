// Core. Which pages may talk to a relay: a browser says of each WebSocket whose page it is.

/** Origins of a list, separated by commas or spaces. @throws {RangeError} that names what is none. */
export function parseOrigins(text: string): string[] {
  const parts = text.split(/[\s,]+/).filter((part) => part !== "");
  return parts.map((part) => {
    const origin = URL.canParse(part) ? new URL(part).origin : "null";
    if (/^https?:\/\//.test(origin) && origin === part.toLowerCase()) return origin;
    throw new RangeError(`must be origins such as https://chat.example: one is ${part}`);
  });
}

/**
 * Whether a page may talk to the relay. Who says no origin is no page and may. With an empty list a
 * page may that comes from the host the relay is asked as, where that is an address or localhost:
 * a name could be anybody's, pointed here to deceive the browser.
 */
export function mayTalk(
  origin: string | undefined,
  host: string | undefined,
  origins: readonly string[],
): boolean {
  if (origin === undefined) return true;
  if (origins.length > 0) return origins.includes(origin.toLowerCase());
  if (host === undefined || !URL.canParse(origin)) return false;
  const url = new URL(origin);
  const isOwn = url.hostname === "localhost" || /^(\d+\.){3}\d+$|^\[.*\]$/.test(url.hostname);
  return isOwn && url.host === host.toLowerCase();
}
