// Shell. A throwaway MariaDB server, and a fresh database in it, for tests of both runtimes.

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { freePort } from "./free_port.ts";
import { makeTempDir } from "./temp_dir.ts";
import { until } from "./until.ts";

/** Account of the private server that may do everything, from its own machine only. */
const ADMIN_USER = "lars";
const ADMIN_PASSWORD = "pw";
/** A start usually takes 0.7 s; a loaded machine may need many times that. */
const START_TIMEOUT_MS = 90_000;
/** Between choosing a free port and using it another program may take it. */
const START_ATTEMPTS_MAX = 3;

/**
 * Runs the server until the other end of its standard input is closed, which happens however the
 * test process ends; so no server outlives its test, and neither do its files, unless a line came
 * first. Ctrl-C reaches it too and must not end it early. Arguments: the directory, the program and its options.
 */
const SUPERVISOR =
  'trap "" INT TERM HUP; "$@" <&- >/dev/null 2>&1 & echo $!; read line; keep=$?; ' +
  'kill -9 $! 2>/dev/null; wait; [ $keep = 0 ] || rm -rf "$0"';

/**
 * The variable that names a {@linkcode MariaDb.template}. Private servers are copied from it, which
 * takes a tenth of the second that an installation takes; without it each is installed.
 */
export const TEMPLATE_VARIABLE = "LARS_TEST_MARIADB_TEMPLATE";

/** A private server; everything it holds is gone after {@linkcode MariaDb.stop}. */
export interface MariaDb {
  /** Admin url without a database: `mysql://user:password@127.0.0.1:port`. */
  readonly url: string;
  /** TCP port on 127.0.0.1; stays the same over a restart. */
  readonly port: number;
  /** Path of the unix socket. */
  readonly socket: string;
  /** Process id of the server; changes with a restart. */
  readonly pid: number;
  /** Data as they were installed, for {@linkcode TEMPLATE_VARIABLE}; gone after `stop()`. */
  readonly template: string;
  /** Ends the server the hard way; data stays for {@linkcode MariaDb.restart}. */
  kill9(): Promise<void>;
  /** Starts it again on the same port and data; kills it first when it runs. */
  restart(): Promise<void>;
  /** SIGSTOP: connections stay open, nothing answers. Resolves once the server has stopped. */
  suspend(): Promise<void>;
  /** SIGCONT after {@linkcode MariaDb.suspend}. */
  resume(): void;
  /** Ends the server and removes its data. */
  stop(): Promise<void>;
}

/** What {@linkcode withTestDatabase} needs of a `node:test` context. */
export interface SkippableTest {
  skip(reason?: string): void;
}

/**
 * Value of LARS_TEST_MYSQL_URL: an admin url with no database. Undefined when unset, and when
 * LARS_TEST_SKIP_MYSQL asks to leave MySQL out.
 */
export function testMysqlUrl(): string | undefined {
  if ((process.env.LARS_TEST_SKIP_MYSQL ?? "") !== "") return undefined;
  const url = process.env.LARS_TEST_MYSQL_URL;
  return url === undefined || url === "" ? undefined : url;
}

/** Path of a program, or undefined when it is not installed. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/usr/local/sbin"];
  return folders.filter((folder) => folder !== "").map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}

/**
 * Starts a private server in a directory of its own. As root it runs as the user `mysql`.
 *
 * @param options More options for the server, such as `--max-connections=5`.
 * @throws {Error} when MariaDB is not installed, or does not start; the message holds its log.
 */
export async function startMariaDb(options: readonly string[] = []): Promise<MariaDb> {
  const program = findProgram("mariadbd");
  const installer = findProgram("mariadb-install-db");
  if (program === undefined || installer === undefined) {
    throw new Error("MariaDB must be installed: mariadbd and mariadb-install-db were not found");
  }
  const server = new PrivateServer(program, options);
  server.install(installer);
  for (let attempt = 1;; attempt++) {
    try {
      await server.start(await freePort());
      return server;
    } catch (error) {
      await server.kill9();
      if (attempt < START_ATTEMPTS_MAX) continue;
      await server.stop();
      throw error;
    }
  }
}

/**
 * A server whose options may change from one start to the next; see {@linkcode startMariaDb}. In a network
 * of its own, by the words of `wrapper`, its `url` goes through its socket, and takes no database.
 */
export class PrivateServer implements MariaDb {
  readonly #program: string;
  readonly #wrapper: readonly string[];
  /** Options beside those that every private server has, from the next start on. */
  options: readonly string[];
  readonly #directory = makeTempDir("lars-mariadb-");
  #port = 0;
  #pid = 0;
  #supervisor: ChildProcess | undefined;

  constructor(program: string, options: readonly string[], wrapper: readonly string[] = []) {
    this.#program = program;
    this.options = options;
    this.#wrapper = wrapper;
  }

  get url(): string {
    if (this.#wrapper.length > 0) {
      const socket = encodeURIComponent(this.socket);
      return `mysql://${ADMIN_USER}:${ADMIN_PASSWORD}@localhost/?socketPath=${socket}`;
    }
    return `mysql://${ADMIN_USER}:${ADMIN_PASSWORD}@127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  get socket(): string {
    return this.#path("socket");
  }

  get pid(): number {
    return this.#pid;
  }

  get template(): string {
    const given = process.env[TEMPLATE_VARIABLE];
    return given !== undefined && existsSync(given) ? given : this.#path("template");
  }

  install(installer: string): void {
    const isRoot = process.getuid?.() === 0;
    mkdirSync(this.#path("tmp"));
    if (isRoot) {
      const id = (flag: string): number => Number(execFileSync("id", [flag, "mysql"]).toString());
      chmodSync(this.#directory.path, 0o755);
      for (const path of [this.#directory.path, this.#path("tmp")]) {
        chownSync(path, id("-u"), id("-g"));
      }
    }
    const { template } = this;
    if (!existsSync(template)) {
      execFileSync(installer, [
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        ...(isRoot ? ["--user=mysql"] : []),
        `--datadir=${template}`,
        "--innodb-log-file-size=8M",
        // Of its own: installations at once in one folder take each other's temporary tables away.
      ], { stdio: "pipe", env: { ...process.env, TMPDIR: this.#path("tmp") } });
    }
    execFileSync("cp", ["-a", template, this.#path("data")], { stdio: "pipe" });
    writeFileSync(
      this.#path("init.sql"),
      ["127.0.0.1", "localhost"].map((host) => {
        const account = `'${ADMIN_USER}'@'${host}'`;
        return `CREATE USER IF NOT EXISTS ${account} IDENTIFIED BY '${ADMIN_PASSWORD}';\n` +
          `GRANT ALL ON *.* TO ${account} WITH GRANT OPTION;\n`;
      }).join(""),
    );
  }

  async start(port: number): Promise<void> {
    this.#port = port;
    const supervisor = spawn(
      "sh",
      ["-c", SUPERVISOR, this.#directory.path, ...this.#command()],
      { stdio: ["pipe", "pipe", "ignore"], detached: true },
    );
    this.#supervisor = supervisor;
    this.#pid = await firstNumber(supervisor);
    supervisor.unref();
    await until(() => this.#isReady(), {
      timeoutMs: START_TIMEOUT_MS,
      intervalMs: 30,
      what: "MariaDB to start",
    }).catch((error) => {
      throw new Error(`MariaDB did not start: ${this.#log()}`, { cause: error });
    });
  }

  /** Ends it in order; data stays. */
  async shutDown(): Promise<void> {
    await runAdmin(this.url, "SHUTDOWN");
    // The last that it does; its process is there until the supervisor asks for it.
    const isDown = (): boolean => !existsSync(this.#path("pid"));
    await until(isDown, { timeoutMs: 20_000, what: "MariaDB to shut down" });
    await this.kill9();
  }

  async kill9(): Promise<void> {
    const supervisor = this.#supervisor;
    this.#supervisor = undefined;
    if (supervisor === undefined) return;
    signal(this.#pid, "SIGKILL");
    supervisor.stdin?.end("keep\n");
    await until(() => !isRunning(this.#pid), { what: "the end of MariaDB" });
  }

  async restart(): Promise<void> {
    await this.kill9();
    await this.start(this.#port);
  }

  async suspend(): Promise<void> {
    signal(this.#pid, "SIGSTOP");
    const status = `/proc/${this.#pid}/status`;
    if (!existsSync(status)) return; // No Linux: the signal has to be trusted.
    await until(() => /^State:\s+T/m.test(readFileSync(status, "utf8")), { what: "SIGSTOP" });
  }

  resume(): void {
    signal(this.#pid, "SIGCONT");
  }

  async stop(): Promise<void> {
    await this.kill9();
    this.#directory.remove();
  }

  #path(name: string): string {
    return join(this.#directory.path, name);
  }

  #log(): string {
    const path = this.#path("error.log");
    return existsSync(path) ? readFileSync(path, "utf8").slice(-2000) : "no log was written";
  }

  async #isReady(): Promise<boolean> {
    if (!isRunning(this.#pid)) throw new Error("mariadbd ended");
    if (!existsSync(this.socket)) return false;
    const { createConnection } = await import("mysql2/promise");
    try {
      const connection = await createConnection({ uri: this.url, connectTimeout: 2000 });
      await connection.end();
      return true;
    } catch {
      return false; // Not listening yet, or the account is not there yet: asked again.
    }
  }

  #command(): string[] {
    return [
      ...this.#wrapper,
      this.#program,
      "--no-defaults",
      ...(process.getuid?.() === 0 ? ["--user=mysql"] : []),
      `--datadir=${this.#path("data")}`,
      `--port=${this.#port}`,
      "--bind-address=127.0.0.1",
      `--socket=${this.socket}`,
      // A server that starts removes the temporary tables of every other one in the same directory.
      `--tmpdir=${this.#path("tmp")}`,
      `--pid-file=${this.#path("pid")}`,
      `--log-error=${this.#path("error.log")}`,
      `--init-file=${this.#path("init.sql")}`,
      "--skip-name-resolve",
      "--innodb-log-file-size=8M",
      "--innodb-buffer-pool-size=32M",
      "--innodb-flush-log-at-trx-commit=2", // What was committed survives kill9(), without fsync.
      "--innodb-doublewrite=0",
      "--performance-schema=OFF",
      "--skip-log-bin",
      ...this.options,
    ];
  }
}

/** The process id that the supervisor prints first. */
function firstNumber(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => reject(new Error("Supervisor of MariaDB ended at once")));
    child.stdout?.once("data", (bytes: Uint8Array) => {
      resolve(Number(new TextDecoder().decode(bytes).trim()));
    });
  });
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function signal(pid: number, name: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
  if (pid > 0 && isRunning(pid)) process.kill(pid, name);
}

let shared: Promise<MariaDb> | undefined;

/**
 * Why no private server can be started here, or undefined when it can: MariaDB is not installed,
 * or LARS_TEST_SKIP_MYSQL is set.
 */
export function noPrivateServerReason(): string | undefined {
  if ((process.env.LARS_TEST_SKIP_MYSQL ?? "") !== "") return "LARS_TEST_SKIP_MYSQL is set";
  if (findProgram("mariadbd") === undefined || findProgram("mariadb-install-db") === undefined) {
    return "MariaDB is not installed";
  }
  return undefined;
}

/**
 * Why {@linkcode withTestDatabase} would skip, or undefined when it would not. Given as the option
 * `skip` of a test it is also counted as skipped where a skip from inside counts as passed.
 */
export function noTestDatabaseReason(): string | undefined {
  const reason = testMysqlUrl() === undefined ? noPrivateServerReason() : undefined;
  return reason === undefined ? undefined : `LARS_TEST_MYSQL_URL is not in use and ${reason}`;
}

const saidReasons = new Set<string>();

/** Skips a test; each reason is printed once, because not every test runner shows it. */
function skip(test: SkippableTest, reason: string): void {
  if (!saidReasons.has(reason)) process.stderr.write(`Tests are skipped: ${reason}\n`);
  saidReasons.add(reason);
  test.skip(reason);
}

/** Runs `fn` with a private server of its own, or skips the test and says why. */
export async function withPrivateMariaDb(
  test: SkippableTest,
  fn: (server: MariaDb) => Promise<void>,
  options: readonly string[] = [],
): Promise<void> {
  const reason = noPrivateServerReason();
  if (reason !== undefined) return skip(test, reason);
  const server = await startMariaDb(options);
  try {
    await fn(server);
  } finally {
    await server.stop();
  }
}

let databaseCount = 0;

/**
 * Runs `fn` with the url of a fresh, empty database, and drops the database afterwards. The server
 * is the one of LARS_TEST_MYSQL_URL, else a private one started once for each test process. With
 * neither the test is skipped and says why.
 */
export async function withTestDatabase(
  test: SkippableTest,
  fn: (url: string) => Promise<void>,
): Promise<void> {
  const reason = noTestDatabaseReason();
  if (reason !== undefined) return skip(test, reason);
  const adminUrl = testMysqlUrl() ?? (await (shared ??= startMariaDb())).url;
  const name = `lars_test_${process.pid}_${crypto.randomUUID().slice(0, 8)}_${++databaseCount}`;
  await runAdmin(adminUrl, `CREATE DATABASE \`${name}\` DEFAULT CHARACTER SET utf8mb4`);
  try {
    await fn(`${adminUrl.replace(/\/+$/, "")}/${name}`);
  } finally {
    await runAdmin(adminUrl, `DROP DATABASE IF EXISTS \`${name}\``);
  }
}

/**
 * Runs statements one after the other on a server or database given by its url, and returns the
 * rows of the last one.
 */
export async function runAdmin(
  url: string,
  ...statements: string[]
): Promise<Record<string, unknown>[]> {
  const { createConnection } = await import("mysql2/promise");
  const connection = await createConnection({ uri: url, connectTimeout: 5000 });
  try {
    let rows: unknown;
    for (const sql of statements) [rows] = await connection.query(sql);
    return Array.isArray(rows) ? rows as Record<string, unknown>[] : [];
  } finally {
    await connection.end();
  }
}
