// Shell. `lars cert`: a small certificate authority, and certificates of a fleet that name roles.

import { existsSync } from "node:fs";
import { chmod, open, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Command, Option } from "commander";
import { messageOf } from "../reactor/errors.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { CERTIFICATE_ROLES, rolesOf } from "../session/tls/peer_roles.ts";
import { argument, CommandError, repeated, UsageError } from "./cli_errors.ts";
import { addExamples } from "./command.ts";
import { printJson, printLine } from "./terminal.ts";
import { makeFolder } from "./whole_file.ts";

/** Longest time that a certificate can be made for, in days: 30 years. */
const DAYS_MAX = 10_950;
const SECOND_MS = 1000;

interface MakeFlags {
  readonly name: string;
  readonly days: number;
  readonly out?: string;
  readonly force?: boolean;
  readonly ca: string;
  readonly role: string[];
  readonly host: string[];
}

function parseDays(text: string): number {
  const days = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && days > 0 && days <= DAYS_MAX) return days;
  throw new RangeError(`must be days, more than 0 to ${DAYS_MAX}: current value is "${text}"`);
}

function parseRole(text: string): string {
  if (Object.hasOwn(CERTIFICATE_ROLES, text)) return text;
  const known = Object.keys(CERTIFICATE_ROLES).join(", ");
  throw new RangeError(`must be one of ${known}: current value is "${text}"`);
}

function parseName(text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/.test(text)) return text;
  throw new RangeError(`must be letters, digits, dots, dashes, @ or _: current value is "${text}"`);
}

function parseHost(text: string): string {
  if (/^[A-Za-z0-9*][A-Za-z0-9.:*-]{0,252}$/.test(text)) return text;
  throw new RangeError(`must be a host name or an address: current value is "${text}"`);
}

/** Adds `cert` and its subcommands. */
export function addTo(parent: Command): void {
  const cert = parent.command("cert")
    .description("Certificates for TLS between the services: an authority, pairs, what they say.");
  addAuthority(cert);
  addMake(cert);
  addShow(cert);
  addExamples(cert, [
    ["lars cert ca --out ca", "ca/ca.pem and ca/ca.key"],
    ["lars cert make dns-1 --role dns --ca ca", "dns-1.pem: certificate and key"],
    ["lars cert show dns-1.pem", "its roles, and until when it is valid"],
  ]);
}

function daysOption(days: number): Option {
  return new Option("--days <N>", "for how long it is valid").argParser(argument(parseDays))
    .default(days);
}

function addAuthority(cert: Command): void {
  const command = cert.command("ca")
    .description("Make an authority: ca.pem, for every host, and ca.key, which you keep.")
    .option("--out <DIR>", "folder to write into", ".")
    .addOption(
      new Option("--name <NAME>", "its name").argParser(argument(parseName)).default("lars"),
    )
    .addOption(daysOption(3650))
    .option("--force", "write over files that are there")
    .action(async ({ out = ".", name, days, force }: MakeFlags) => {
      const { makeAuthority } = await import("../session/tls/certificate_maker.ts");
      const [certPath, keyPath] = [join(out, "ca.pem"), join(out, "ca.key")];
      // Half of an old authority beside half of a new one would be none.
      if (force !== true) { for (const path of [certPath, keyPath]) requireAbsent(path); }
      const { cert, key } = await makeAuthority({ name, days, nowMs: systemClock.wallMs() });
      makeFolder(out);
      await writePrivate(keyPath, key, force);
      await writePrivate(certPath, cert, force, 0o644);
      printLine(`made ${certPath} and ${keyPath}: keep this one to yourself`);
    });
  addExamples(command, [["lars cert ca --out ca", "once for a fleet"]]);
}

function addMake(cert: Command): void {
  const roles = Object.keys(CERTIFICATE_ROLES).join(", ");
  const command = cert.command("make")
    .description("Make a certificate and its key, in one file.")
    .argument("<NAME>", "whom it is for, as logs show it", argument(parseName))
    .addOption(
      new Option("--role <ROLE>", `what it lets its owner be, repeatable: ${roles}`)
        .argParser(repeated(parseRole)).default([]),
    )
    .addOption(
      new Option("--host <HOST>", "name or address for browsers, repeatable")
        .argParser(repeated(parseHost)).default([]),
    )
    .option("--ca <DIR>", "folder with ca.pem and ca.key", ".")
    .addOption(daysOption(90))
    .option("--out <FILE>", "file to write; NAME.pem unless told otherwise")
    .option("--force", "write over a file that is there")
    .action(async (name: string, flags: MakeFlags) => {
      const { ca, role, host: hosts, days, out = `${name}.pem`, force } = flags;
      if (role.length === 0 && hosts.length === 0) {
        throw new UsageError("A certificate needs a role or a host: give --role or --host");
      }
      const authority = {
        cert: await readText(join(ca, "ca.pem")),
        key: await readText(join(ca, "ca.key")),
      };
      const { makeCertificate } = await import("../session/tls/certificate_maker.ts");
      const wish = { name, roles: role, hosts, days, nowMs: systemClock.wallMs() };
      const made = await makeCertificate(authority, wish).catch((error) => {
        throw new UsageError(`The authority in ${ca} cannot be used: ${messageOf(error)}`);
      });
      await writePrivate(out, made.cert + made.key, force);
      printLine(`made ${out}: ${role.join(", ") || "no role"}, valid for ${days} days`);
    });
  addExamples(command, [
    ["lars cert make h1 --role agent --ca ca", "the agent of a host"],
    ["lars cert make ops --role editor --ca ca", "whoever runs lars route"],
    ["lars cert make web --role editor --host lars.corp", "the console"],
  ]);
}

function addShow(cert: Command): void {
  const command = cert.command("show")
    .description("Say what a certificate says, and whether the key beside it fits.")
    .argument("<FILE>", "file with a certificate in PEM")
    .option("--json", "print one JSON object")
    .action(async (file: string, { json }: { json?: boolean }) => {
      const text = await readText(file);
      const checks = await import("../session/tls/certificate_check.ts");
      const facts = asUsageError(() => checks.readCertificate(text, file));
      const hasKey = text.includes("PRIVATE KEY-----");
      const names = { cert: file, key: file };
      const fault = hasKey
        ? faultOf(() => checks.requirePair({ cert: text, key: text }, names))
        : "";
      const { subject, issuer, fingerprint, startsAtMs, endsAtMs } = facts;
      const shown = {
        ...{ subject, issuer, fingerprint, roles: rolesOf(facts) },
        validFrom: isoTime(startsAtMs),
        validTo: isoTime(endsAtMs),
        isValid: startsAtMs <= systemClock.wallMs() && endsAtMs > systemClock.wallMs(),
        key: !hasKey ? "none" : fault === "" ? "fits" : fault,
      };
      if (json === true) return printJson(shown);
      const lines = [
        ["subject", shown.subject],
        ["issuer", shown.issuer],
        ["roles", shown.roles.join(", ") || "none"],
        ["valid", `${shown.validFrom} to ${shown.validTo}${shown.isValid ? "" : ": NOT NOW"}`],
        ["sha256", shown.fingerprint],
        ["key", shown.key],
      ];
      for (const [name, value] of lines) printLine(`${name.padEnd(8)} ${value}`);
    });
  addExamples(command, [["lars cert show dns-1.pem --json", "for programs"]]);
}

const isoTime = (ms: number): string => new Date(ms - ms % SECOND_MS).toISOString();

/** What `fn` throws, as text; empty: nothing. */
function faultOf(fn: () => unknown): string {
  try {
    fn();
    return "";
  } catch (error) {
    return messageOf(error);
  }
}

function asUsageError<T>(fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    throw new UsageError(messageOf(error), { cause: error });
  }
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new UsageError(`${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** @throws {CommandError} when there is such a file. */
function requireAbsent(path: string): void {
  if (existsSync(path)) throw notWritten(path, IS_THERE);
}

const IS_THERE = "it is there already; --force writes over it";

function notWritten(path: string, why: string, cause?: unknown): CommandError {
  return new CommandError(`${path} in ${dirname(path)} cannot be written: ${why}`, { cause });
}

/** Writes a file that only its owner may read, whole; none that is there unless `force`. */
async function writePrivate(
  path: string,
  text: string,
  force = false,
  mode = 0o600,
): Promise<void> {
  const temporary = `${path}.new`;
  const made: string[] = [];
  try {
    if (!force) {
      await (await open(path, "wx", mode)).close();
      made.push(path);
    }
    await rm(temporary, { force: true });
    const file = await open(temporary, "wx", mode);
    made.push(temporary);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(temporary, mode);
    await rename(temporary, path);
  } catch (error) {
    // What is not whole would be in the way of the next try.
    for (const one of made) await rm(one, { force: true }).catch(() => {});
    const isThere = error instanceof Error && "code" in error && error.code === "EEXIST";
    throw notWritten(path, isThere ? IS_THERE : messageOf(error), error);
  }
}
