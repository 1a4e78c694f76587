// Core. The cookie of a login.

import { SESSION_COOKIE } from "./contract.ts";

/**
 * The header that gives a browser its session; without a secret one that takes it away.
 *
 * @param isSecure True: it is sent over encrypted connections only.
 */
export function sessionCookie(secret: string | undefined, isSecure: boolean): string {
  const attributes = `; Path=/; HttpOnly; SameSite=Strict${isSecure ? "; Secure" : ""}`;
  return secret === undefined
    ? `${SESSION_COOKIE}=; Max-Age=0${attributes}`
    : `${SESSION_COOKIE}=${secret}${attributes}`;
}

/** The value of a cookie that a request carries. */
export function cookieOf(request: Request, cookie: string): string | undefined {
  for (const part of (request.headers.get("Cookie") ?? "").split(";")) {
    const [name, value] = part.trim().split("=", 2);
    if (name === cookie && value !== undefined) return value;
  }
  return undefined;
}
