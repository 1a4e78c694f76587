import assert from "node:assert/strict";
import { test } from "node:test";
import { dialFault, fetchFault, mayHaveArrived } from "./fetch_fault.ts";

/** An error as one of the runtimes makes it. */
function fault(message: string, code?: string): Error {
  const error = new TypeError(message);
  return code === undefined ? error : Object.assign(error, { code });
}

/** The same where the runtime tells the cause apart. */
function caused(message: string): Error {
  return new TypeError("fetch failed", { cause: new Error(`error sending request: ${message}`) });
}

const CASES: readonly [error: unknown, words: RegExp][] = [
  [caused("tcp connect error: Connection refused (os error 111)"), /^nothing listens there/],
  [fault("Unable to connect. Is the computer able to access the url?", "ECONNREFUSED"), /^nothing/],
  [fault("Fetch failed: Requests to port 1 are blocked"), /at such a port/],
  [caused("dns error: failed to lookup address information"), /^no address is known for that name/],
  [fault("getaddrinfo ENOTFOUND a.invalid", "ENOTFOUND"), /^no address is known for that name/],
  [caused("invalid peer certificate: UnknownIssuer"), /not trusted.*NODE_EXTRA_CA_CERTS/],
  [caused("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))"), /not trusted/],
  [fault("self signed certificate", "DEPTH_ZERO_SELF_SIGNED_CERT"), /not trusted/],
  [fault("unable to verify", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"), /not trusted/],
  [caused('invalid peer certificate: certificate not valid for name "a"'), /for another name/],
  [fault("fetching", "ERR_TLS_CERT_ALTNAME_INVALID"), /for another name/],
  [fault("certificate has expired", "CERT_HAS_EXPIRED"), /has expired/],
  [caused("received corrupt message of type InvalidContentType"), /try http:/],
  [fault("EPROTO: The TLS handshake failed.", "EPROTO"), /try http:/],
  [caused("client error (SendRequest): invalid HTTP version parsed"), /try https:/],
  [fault("The socket connection was closed unexpectedly.", "ECONNRESET"), /closed the connection/],
  [caused("connection closed before message completed"), /closed the connection/],
  [new DOMException("The operation timed out.", "TimeoutError"), /too long/],
  [caused("something new"), /^error sending request: something new$/],
  ["a text", /^a text$/],
];

test("fetchFault(): the same words for what each runtime says in its own", () => {
  for (const [error, words] of CASES) assert.match(fetchFault(error), words);
  const circle = fault("x");
  circle.cause = fault("y");
  assert.equal(fetchFault(circle), "y");
});

test("dialFault(): what to look at when nobody can be called", () => {
  const cases: readonly (readonly [fault: string, words: RegExp])[] = [
    ["connection refused", /^nothing listens there \(is the relay running, is the port right\?\)$/],
    ["connect ECONNREFUSED 127.0.0.1:1", /^nothing listens there/],
    ["no address is known for that name", /^no address is known for that name \(is it right, /],
    ["getaddrinfo ENOTFOUND nohost", /^no address is known/],
    ["failed to lookup address information: Name or service not known", /^no address is known/],
    ["no route to host", /^that host cannot be reached$/],
    ["TLS: its certificate has expired (x)", /^TLS: its certificate has expired \(x\)$/],
    ["silence", /^silence$/],
  ];
  for (const [fault, words] of cases) assert.match(dialFault(fault, "the relay"), words);
});

test("mayHaveArrived() is false only where nothing was sent", () => {
  const cases: [error: Error, arrived: boolean][] = [
    [caused("Connection refused (os error 111)"), false],
    [caused("invalid peer certificate: UnknownIssuer"), false],
    [fault("getaddrinfo ENOTFOUND a.invalid", "ENOTFOUND"), false],
    [fault("The socket connection was closed unexpectedly.", "ECONNRESET"), true],
    [new DOMException("The operation timed out.", "TimeoutError"), true],
    [new Error("something new"), true],
  ];
  for (const [error, arrived] of cases) assert.equal(mayHaveArrived(error), arrived, error.message);
});
