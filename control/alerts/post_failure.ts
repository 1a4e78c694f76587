// Core. Why a message could not be posted, in words that tell the causes apart on both runtimes.

/** Causes by the codes of Node.js, Bun and the texts of Deno. */
const CAUSES: readonly (readonly [RegExp, string])[] = [
  [
    /ECONNREFUSED|ConnectionRefused|connection refused/i,
    "nobody listens there: connection refused",
  ],
  [
    /ENOTFOUND|EAI_AGAIN|dns error|failed to lookup|getaddrinfo/i,
    "the name of the host is not known to DNS",
  ],
  [
    /UnknownIssuer|SELF_SIGNED|UNABLE_TO_(?:VERIFY|GET_ISSUER)|self.signed|unable to verify/i,
    "its certificate is from nobody this host trusts",
  ],
  [/NotValidForName|ALTNAME|altnames/i, "its certificate is for another name"],
  [/certificate.*expired|CERT_HAS_EXPIRED|\bExpired\b/i, "its certificate has expired"],
  [/peer certificate|\bCERT_/i, "its certificate is not accepted"],
  [/certificate|\bTLS\b|\bSSL\b|InvalidContentType|corrupt message/i, "TLS failed"],
  [/EHOSTUNREACH|ENETUNREACH|unreachable|no route to host/i, "no way leads to the host"],
  [/ECONNRESET|connection reset|closed unexpectedly|socket hang ?up/i, "it cut the connection"],
];

/** Texts of an error and of everything behind it. */
function textsOf(error: unknown): string[] {
  const texts: string[] = [];
  let one = error;
  // Deep enough for any that was seen; a circle must not hold us.
  for (let depth = 0; depth < 8 && one instanceof Error; depth++) {
    const { code } = one as { code?: unknown };
    texts.push(`${typeof code === "string" ? `${code} ` : ""}${one.message}`);
    one = one.cause;
  }
  return texts;
}

/** What went wrong, and the runtime's own words for it. */
export function postFailure(error: unknown): string {
  const texts = textsOf(error);
  const all = texts.join(": ");
  const [innermost = String(error)] = texts.reverse();
  for (const [pattern, cause] of CAUSES) {
    if (pattern.test(all)) return `${cause} (${innermost})`;
  }
  return innermost;
}
