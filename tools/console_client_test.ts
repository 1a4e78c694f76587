import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import {
  type AddressInfo,
  createServer as createTcpServer,
  type Server as TcpServer,
} from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { ConfigError } from "../reactor/errors.ts";
import { withConsole } from "../tests/support/console_bench.ts";
import { addConsoleToken } from "../tests/support/console_token.ts";
import { freePort } from "../tests/support/free_port.ts";
import { findProgram } from "../tests/support/mariadb.ts";
import { withTempDir } from "../tests/support/temp_dir.ts";
import { CommandError, UsageError } from "./cli_errors.ts";
import { ConsoleAwayError, ConsoleClient } from "./console_client.ts";

const TIMEOUT = { timeout: 120_000 };
const SECRET = "lars_a_token_that_nobody_made";

/** A client of some address with some token. */
async function clientOf(server: string, secret = SECRET): Promise<ConsoleClient> {
  return await withTempDir(async (path) => {
    const tokenFile = join(path, "token");
    writeFileSync(tokenFile, `${secret}\n`);
    const client = await ConsoleClient.of({ server, tokenFile });
    assert.ok(client !== undefined);
    return client;
  });
}

function portOf(server: Server | TcpServer): number {
  return (server.address() as AddressInfo).port;
}

async function listening<S extends Server | TcpServer, T>(
  server: S,
  fn: (port: number) => Promise<T>,
): Promise<T> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await fn(portOf(server));
  } finally {
    server.close();
  }
}

test("ConsoleClient.of(): an address that is none, and a token that is missing or none", async () => {
  assert.equal(await ConsoleClient.of({}), undefined);
  const wrong = [
    "",
    "x",
    "127.0.0.1:8080",
    "localhost:8080",
    "http:127.0.0.1",
    "http://",
    "http://h:99999",
    "http://h:x",
    "http://user:password@h",
    "http://h/path",
    "http://h/?a=1",
    "http://h/#a",
    "ftp://h",
    "file:///etc/passwd",
    "http://a b",
  ];
  for (const server of wrong) {
    await assert.rejects(
      () => ConsoleClient.of({ server, tokenFile: "none" }),
      (error) => error instanceof UsageError && /must look like http:.*current/.test(error.message),
      server,
    );
  }
  const server = "http://127.0.0.1:1";
  await assert.rejects(() => ConsoleClient.of({ server }), /give --token-file FILE, or name/);
  await assert.rejects(
    () => ConsoleClient.of({ server, tokenFile: "none" }),
    (error) => error instanceof ConfigError && /--token-file cannot be read/.test(error.message),
  );
  await withTempDir(async (path) => {
    const tokenFile = join(path, "token");
    for (
      const [content, words] of [
        ["", /at least 16 bytes/],
        ["short", /at least 16 bytes/],
        ["a token with spaces in it", /one API token and nothing else/],
        ["lars_one_token_of\nlars_another_token", /one API token and nothing else/],
        ["lars_tökens_are_ascii_only", /one API token and nothing else/],
      ] as const
    ) {
      writeFileSync(tokenFile, content);
      await assert.rejects(() => ConsoleClient.of({ server, tokenFile }), words, content);
    }
  });
  for (const fine of ["http://h", "https://h:8443/", "http://[::1]:8080", "HTTP://H:80"]) {
    assert.match((await clientOf(fine)).origin, /^https?:\/\/[a-z0-9.:[\]]+$/, fine);
  }
});

test("ConsoleClient: where nothing listens, and where something else does", TIMEOUT, async () => {
  const nobody = await clientOf(`http://127.0.0.1:${await freePort()}`);
  await assert.rejects(
    () => nobody.call("getReport"),
    (error) =>
      error instanceof ConsoleAwayError && /^http:.* does not answer: nothing/.test(error.message),
  );
  await listening(createTcpServer((socket) => socket.end("SSH-2.0-x\r\n")), async (port) => {
    const client = await clientOf(`http://127.0.0.1:${port}`);
    await assert.rejects(() => client.call("getReport"), /does not answer: it .*https:/);
  });
  await listening(createHttpServer((_, response) => response.end("{}")), async (port) => {
    const client = await clientOf(`https://127.0.0.1:${port}`);
    await assert.rejects(() => client.call("getReport"), /speaks no TLS; try http:/);
  });
});

test("ConsoleClient: a certificate that nobody vouches for", {
  ...TIMEOUT,
  skip: findProgram("openssl") === undefined && "openssl is not on this machine",
}, async () => {
  await withTempDir(async (path) => {
    const [key, cert] = [join(path, "key.pem"), join(path, "cert.pem")];
    const words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext " +
      "subjectAltName=IP:127.0.0.1 -keyout";
    const { status, stderr } = spawnSync("openssl", [...words.split(" "), key, "-out", cert]);
    assert.equal(status, 0, String(stderr));
    const options = { key: readFileSync(key), cert: readFileSync(cert) };
    await listening(
      createHttpsServer(options, (_, response) => response.end("{}")),
      async (port) => {
        const client = await clientOf(`https://127.0.0.1:${port}`);
        await assert.rejects(
          () => client.call("getReport"),
          /^ConsoleAwayError: https:.*certificate is not trusted.*NODE_EXTRA_CA_CERTS/,
        );
      },
    );
  });
});

/** What a server that is no console may answer, and what is said of it. */
const STRANGERS: readonly [status: number, type: string, body: string, words: RegExp][] = [
  [
    200,
    "text/html; charset=utf-8",
    "<html>",
    /is no Lars console: it answered 200 with text.html$/,
  ],
  [200, "", "", /is no Lars console: it answered 200$/],
  [404, "text/plain", "no such page", /is no Lars console: it answered 404/],
  [404, "application/json", '{"error":"not found"}', /is no Lars console: it answered 404/],
  [401, "application/json", '{"type":"about:blank","detail":"x"}', /is no Lars console: .* 401/],
  [200, "application/json", "{}", /answers what no console of this version would: atMs: /],
  [200, "application/json", "null", /answers what no console .* would: the whole: /],
  [204, "application/json", "", /is no Lars console: it answered 204/],
  [502, "text/html", "<html>", /does not answer: a proxy before it says 502/],
];

test("ConsoleClient: a server that is no console of Lars", TIMEOUT, async () => {
  let answer: (request: IncomingMessage, response: ServerResponse) => void = () => {};
  const listener: RequestListener = (request, response) => answer(request, response);
  await listening(createHttpServer(listener), async (port) => {
    const client = await clientOf(`http://127.0.0.1:${port}`);
    for (const [status, type, body, words] of STRANGERS) {
      answer = (_, response): void => {
        response.writeHead(status, type === "" ? {} : { "Content-Type": type });
        response.end(body);
      };
      await assert.rejects(() => client.call("getReport"), words, `${status} ${body}`);
      await assert.rejects(
        () => client.find("getModule", { params: { modId: 1, cmdId: 1 } }),
        CommandError,
        "a stranger's 404 is not the absence of a module",
      );
    }
    let heard = 0;
    answer = (request, response): void => {
      heard++;
      assert.equal(request.headers.authorization, `Bearer ${SECRET}`);
      response.writeHead(301, { Location: "https://elsewhere.example/" });
      response.end();
    };
    await assert.rejects(
      () => client.call("getReport"),
      /sends on to https:\/\/elsewhere\.example\/: give the address/,
    );
    assert.equal(heard, 1, "the token goes to nobody else");
    answer = (): void => {};
    const hanging = client.call("getReport");
    client.close();
    await assert.rejects(hanging, ConsoleAwayError, "a request can be given up");
    answer = (request): void => void request.socket.destroy();
    const writing = await clientOf(`http://127.0.0.1:${port}`);
    await assert.rejects(() => writing.call("getReport"), /closed the connection; .*port$/);
    await assert.rejects(
      () => writing.call("applyChange", { body: { edits: [] } }),
      /closed the connection; .*; whether it has made the change is not known/,
    );
  });
});

test(
  "ConsoleClient: what a console refuses, and what a newer one tells besides",
  TIMEOUT,
  async () => {
    await withConsole(async ({ base, store }) => {
      const params = { modId: 7, cmdId: 7 };
      const viewer = await clientOf(base, await addConsoleToken(store, "viewer", "viewer"));
      assert.equal((await viewer.call("listModules")).total, 0);
      assert.equal(await viewer.find("getModule", { params }), undefined);
      await assert.rejects(() => viewer.call("getModule", { params }), /There is no module 7\/7/);
      await assert.rejects(
        () => viewer.call("confirmModule", { params, body: {} }),
        /^CommandError: This needs the role operator: yours is viewer \(http:.*, token in .*token\)$/,
      );
      const expired = await clientOf(base, await addConsoleToken(store, "admin", "admin", 1000));
      for (const client of [expired, await clientOf(base)]) {
        await assert.rejects(
          () => client.call("getReport"),
          (error) =>
            error instanceof CommandError && !(error instanceof ConsoleAwayError) &&
            /does not take the token in .*token: it is wrong, or.*expired/.test(error.message),
        );
      }
    });
    const page = { total: 0, modules: [], mood: "good" };
    await listening(
      createHttpServer((_, response) => response.end(JSON.stringify(page))),
      async (port) => {
        const client = await clientOf(`http://127.0.0.1:${port}`);
        assert.equal((await client.call("listModules")).total, 0);
      },
    );
    const old = {
      type: "urn:lars:not-found",
      title: "x",
      status: 404,
      detail: "There is no such route",
    };
    await listening(
      createHttpServer((_, response) => response.writeHead(404).end(JSON.stringify(old))),
      async (port) => {
        const client = await clientOf(`http://127.0.0.1:${port}`);
        for (const ask of ["call", "find"] as const) {
          await assert.rejects(() => client[ask]("getReport"), /older .*: it has no GET \/report/);
        }
      },
    );
  },
);
