// Shell. Answers made smaller on their way, for those who take them so.

import { promisify } from "node:util";
import { gzip } from "node:zlib";

/** Shorter texts are sent as they are. In characters. */
export const PACK_CHARS_MIN = 16 * 1024;

/** Fast: most of what repeats in JSON is names of fields. */
const LEVEL = 1;

const pack = promisify(gzip);

/** Whether a client takes gzip, by its header Accept-Encoding. */
export function takesGzip(acceptEncoding: string | null | undefined): boolean {
  return (acceptEncoding ?? "").toLowerCase().split(",").some((part) => {
    const [coding, ...parameters] = part.split(";").map((text) => text.trim());
    return coding === "gzip" && !parameters.some((text) => /^q=0(\.0*)?$/.test(text));
  });
}

/**
 * The body of an answer; sets in `headers` what must be said of it. Long texts are packed on another
 * thread for clients that take them so.
 */
export async function packedBody(
  text: string,
  request: Request,
  headers: Headers,
): Promise<string | Uint8Array<ArrayBuffer>> {
  if (text.length < PACK_CHARS_MIN) return text;
  headers.set("Vary", "Accept-Encoding");
  if (!takesGzip(request.headers.get("Accept-Encoding"))) return text;
  headers.set("Content-Encoding", "gzip");
  return new Uint8Array(await pack(text, { level: LEVEL }));
}
