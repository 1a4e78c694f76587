// Core. Why a console, or another server, could not be asked, in words that are the same on every runtime.

/** Causes of an error that are looked at. */
const CAUSES_MAX = 10;

/** The messages and codes of an error and of all its causes. */
function textsOf(error: unknown): string {
  const texts: string[] = [];
  let one = error;
  for (let depth = 0; one instanceof Error && depth < CAUSES_MAX; depth++) {
    texts.push(one.name, "code" in one ? String(one.code) : "", one.message);
    one = one.cause;
  }
  return texts.join(" ");
}

/** A fault before the request was sent; after it nobody knows how far the other side came. */
const UNSENT = true;

type Meaning = readonly [pattern: RegExp, meaning: string, unsent?: true];

/** Faults of connecting, whatever is to be said over the connection. */
const DIAL_MEANINGS: readonly Meaning[] = [
  [
    /ECONNREFUSED|connection ?refused/i,
    "nothing listens there (is the console running, is the port right?)",
    UNSENT,
  ],
  [
    /ENOTFOUND|EAI_AGAIN|getaddrinfo|dns error|failed to lookup|no address is known/i,
    "no address is known for that name (is it right, and does the name server answer?)",
    UNSENT,
  ],
  [
    /EHOSTUNREACH|ENETUNREACH|unreachable|No route to host/i,
    "that host cannot be reached",
    UNSENT,
  ],
];

/** What a fault looks like, and what it means; the first that fits. */
const MEANINGS: readonly Meaning[] = [
  [/TimeoutError/, "it took too long"],
  [/Requests to port \d+ are blocked/, "HTTP clients refuse to ask at such a port", UNSENT],
  ...DIAL_MEANINGS,
  [
    /not valid for name|ALTNAME/i,
    "its certificate is one for another name; give the name that it was made for",
    UNSENT,
  ],
  [/CERT_HAS_EXPIRED|certificate.*expired/i, "its certificate has expired", UNSENT],
  [
    /certificate|CERT|UNABLE_TO_VERIFY|UnknownIssuer/,
    "its certificate is not trusted; name the file of the authority that signed it in " +
    "NODE_EXTRA_CA_CERTS",
    UNSENT,
  ],
  [/InvalidContentType|corrupt message|EPROTO/, "it speaks no TLS; try http://", UNSENT],
  [/invalid HTTP/i, "it speaks no HTTP; try https://, or another port", UNSENT],
  [
    /ECONNRESET|closed unexpectedly|closed before message|connection reset/i,
    "it closed the connection; try https://, or another port",
  ],
];

/** True when the request may have reached the other side all the same. */
export function mayHaveArrived(error: unknown): boolean {
  const texts = textsOf(error);
  return MEANINGS.find(([pattern]) => pattern.test(texts))?.[2] !== UNSENT;
}

/**
 * Why a request failed.
 *
 * @param peer Who was asked. Default: the console.
 */
export function fetchFault(error: unknown, peer = "the console"): string {
  const texts = textsOf(error);
  const meaning = MEANINGS.find(([pattern]) => pattern.test(texts))?.[1];
  if (meaning !== undefined) return meaning.replace("the console", peer);
  let deepest = error;
  for (let depth = 0; depth < CAUSES_MAX; depth++) {
    if (!(deepest instanceof Error) || !(deepest.cause instanceof Error)) break;
    deepest = deepest.cause;
  }
  return deepest instanceof Error ? deepest.message : String(error);
}

/**
 * Why a connection to a service could not be made, and what to look at; other faults as they are said.
 *
 * @param fault What the session with it says.
 * @param peer Who was called, such as "the relay".
 */
export function dialFault(fault: string, peer: string): string {
  const meaning = DIAL_MEANINGS.find(([pattern]) => pattern.test(fault))?.[1];
  return meaning === undefined ? fault : meaning.replace("the console", peer);
}
