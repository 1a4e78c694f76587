// Core. Just enough of HTTP/1.1 to answer GET: reads the head of a request, writes an answer.

/** Longest head of a request, in bytes. */
export const HTTP_HEAD_BYTES_MAX = 8_192;

/** What a client asks. */
export interface HttpRequest {
  readonly method: string;
  /** Decoded path, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** By name in lower case; of several of a name the first. */
  readonly headers: ReadonlyMap<string, string>;
}

/** What it is told. */
export interface HttpAnswer {
  readonly status: number;
  /** @default {"text/plain; charset=utf-8"} */
  readonly contentType?: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  401: "Unauthorized",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  413: "Content Too Large",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/** What has been read so far: a request, a fault to answer, or too little. */
export type HeadResult = HttpRequest | { readonly fault: HttpAnswer } | undefined;

function fault(status: number, body: string): { fault: HttpAnswer } {
  return { fault: { status, body: `${body}\n` } };
}

/** Gathers the head of one request from pieces of any size. */
export class HttpHeadReader {
  readonly #decoder = new TextDecoder("latin1");
  #text = "";

  /** Takes a piece; what follows the head is passed over. */
  push(chunk: Uint8Array): HeadResult {
    const room = HTTP_HEAD_BYTES_MAX + 1 - this.#text.length;
    this.#text += this.#decoder.decode(chunk.subarray(0, room));
    const end = /\r?\n\r?\n/.exec(this.#text);
    if (end !== null && end.index <= HTTP_HEAD_BYTES_MAX) {
      return parseHead(this.#text.slice(0, end.index));
    }
    if (this.#text.length <= HTTP_HEAD_BYTES_MAX) return undefined;
    return fault(431, `The head must be at most ${HTTP_HEAD_BYTES_MAX} bytes`);
  }
}

function parseHead(text: string): HeadResult {
  const [first, ...lines] = text.split(/\r?\n/);
  const match = /^([A-Z]{1,20}) (\/\S*) HTTP\/1\.[01]$/.exec(first);
  if (match === null) return fault(400, "The first line must be METHOD /PATH HTTP/1.1");
  const headers = new Map<string, string>();
  for (const line of lines) {
    const header = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/.exec(line);
    if (header === null) return fault(400, "A header must be NAME: VALUE");
    const name = header[1].toLowerCase();
    if (!headers.has(name)) headers.set(name, header[2]);
  }
  const [, method, target] = match;
  const cut = target.indexOf("?");
  const query = new URLSearchParams(cut < 0 ? "" : target.slice(cut + 1));
  try {
    const path = decodeURIComponent(cut < 0 ? target : target.slice(0, cut));
    return { method, path, query, headers };
  } catch {
    return fault(400, "The path must be percent-encoded UTF-8");
  }
}

/** An answer as bytes; `HEAD` gets no body. The connection ends after it. */
export function encodeAnswer(answer: HttpAnswer, withBody = true): Uint8Array {
  const body = new TextEncoder().encode(answer.body);
  const headers = {
    "content-type": answer.contentType ?? "text/plain; charset=utf-8",
    "content-length": String(body.length),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    connection: "close",
    ...answer.headers,
  };
  const head = `HTTP/1.1 ${answer.status} ${REASONS[answer.status] ?? "Unknown"}\r\n` +
    Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("") + "\r\n";
  const headBytes = new TextEncoder().encode(head);
  if (!withBody) return headBytes;
  const bytes = new Uint8Array(headBytes.length + body.length);
  bytes.set(headBytes);
  bytes.set(body, headBytes.length);
  return bytes;
}
