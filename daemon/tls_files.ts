// Shell. The files of [tls]: read and checked before they are used, and again when they change.

import { ConfigError, messageOf } from "../reactor/errors.ts";
import type { Logger } from "../reactor/log.ts";
import { runtime, type TcpConnector } from "../reactor/runtime/mod.ts";
import { type Clock, setRepeating, type Timer } from "../reactor/time/clock.ts";
import type { SessionTransport } from "../session/handshake.ts";
import { newNonce, proofOf } from "../session/proof.ts";
import {
  type CertificateFacts,
  checkMaterial,
  checkPair,
} from "../session/tls/certificate_check.ts";
import { neededRole } from "../session/tls/peer_roles.ts";
import { tlsConnector } from "../session/tls/tls_client.ts";
import { sameMaterial, TlsIdentity, type TlsMaterial } from "../session/tls/tls_identity.ts";
import type { authSettings } from "./settings/common_settings.ts";
import type { SettingsOf } from "./settings/settings.ts";

/** Time between two looks at the files. */
export const TLS_LOOK_MS = 10_000;

/** A certificate that is valid for less than this, or a third of its time, is said to end soon, once a day. */
export const TLS_ENDS_SOON_MS = 7 * 86_400_000;
const DAY_MS = 86_400_000;

/** Largest file of `[tls]`, in bytes. */
export const TLS_FILE_BYTES_MAX = 1024 * 1024;

/** Keys that are read here. */
export type TlsSettings = Pick<
  SettingsOf<typeof authSettings>,
  "tlsCert" | "tlsKey" | "tlsCa" | "tlsRefused" | "tlsPlain"
>;

async function readPem(path: string, key: string): Promise<string> {
  try {
    return new TextDecoder().decode(await runtime.readFile(path, TLS_FILE_BYTES_MAX));
  } catch (error) {
    throw new ConfigError(`${key} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** Fingerprints of certificates, one a line; `#` begins a remark. @throws {ConfigError} */
async function readRefused(path: string): Promise<string[]> {
  if (path === "") return [];
  const lines = (await readPem(path, "[tls] refused")).split("\n")
    .map((line) => line.replace(/#.*/, "").trim().toUpperCase()).filter((line) => line !== "");
  return lines.map((line) => {
    const digits = line.replace(/:/g, "");
    if (/^[0-9A-F]{64}$/.test(digits)) return digits.replace(/..(?=.)/g, "$&:");
    throw new ConfigError(
      `[tls] refused must hold SHA-256 fingerprints of 64 hexadecimal digits: ${path} has "${line}"`,
    );
  });
}

/**
 * Reads the files of `[tls]`, unchecked.
 *
 * @throws {ConfigError} when one cannot be read, or a key is missing.
 */
export async function readTlsMaterial(settings: TlsSettings): Promise<TlsMaterial> {
  const { tlsCert, tlsKey, tlsCa, tlsRefused, tlsPlain: plain } = settings;
  if (tlsCa === "") {
    throw new ConfigError("[tls] ca must name the certificates of those who sign, beside cert");
  }
  const cert = await readPem(tlsCert, "[tls] cert");
  const key = tlsKey === "" ? cert : await readPem(tlsKey, "[tls] key");
  const ca = await readPem(tlsCa, "[tls] ca");
  return { cert, key, ca, refused: await readRefused(tlsRefused), plain };
}

/** What {@linkcode openTls} is given besides. */
export interface TlsFilesOptions {
  /** What the service is: its certificate must say so. */
  readonly role: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What a service has of `[tls]`. */
export interface TlsFiles {
  readonly identity: TlsIdentity;
  readonly transport: SessionTransport;
  readonly stats: Readonly<Record<string, number>>;
  /** Takes what the files hold now. @throws {ConfigError} when it cannot be; the old one stays. */
  read(settings: TlsSettings): Promise<void>;
  /** Looks at the files no more. */
  close(): void;
}

/** The transport of services and tools that have an identity. */
export function tlsTransport(
  identity: TlsIdentity,
  plain: TcpConnector = runtime,
): SessionTransport {
  const { connectTcp } = tlsConnector({ identity, plain });
  return { connectTcp, prove: proofOf, newNonce };
}

/** What a {@linkcode CertificateWatch} looks at. */
interface Watched {
  readonly clock: Clock;
  readonly log: Logger;
  /** Section of the settings. */
  readonly section: string;
  /** Takes what the files hold now. */
  read(): Promise<void>;
  /** The certificate that is shown. */
  own(): CertificateFacts;
}

/** Looks at files again and again, and says what is wrong with them, and when they end. */
class CertificateWatch {
  readonly #watched: Watched;
  readonly #timer: Timer;
  #saidAtMs = -Infinity;
  /** Said of the files last, so that each fault is said once. */
  #fault = "";
  #isLooking = false;

  constructor(watched: Watched) {
    this.#watched = watched;
    this.#sayEnd();
    this.#timer = setRepeating(watched.clock, TLS_LOOK_MS, () => void this.#look());
  }

  close(): void {
    this.#timer.cancel();
  }

  async #look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      await this.#watched.read();
      this.#fault = "";
    } catch (error) {
      this.#sayFault(messageOf(error));
    } finally {
      this.#isLooking = false;
    }
    this.#sayEnd();
  }

  #sayFault(text: string): void {
    if (text === this.#fault) return;
    this.#fault = text;
    const { log, section } = this.#watched;
    log.error(`Files of ${section} not taken, the old ones stay`, { error: text });
  }

  #sayEnd(): void {
    const { clock, log, section } = this.#watched;
    const { startsAtMs, endsAtMs } = this.#watched.own();
    const soonMs = Math.min(TLS_ENDS_SOON_MS, (endsAtMs - startsAtMs) / 3);
    if (endsAtMs - clock.wallMs() > soonMs || clock.nowMs() - this.#saidAtMs < DAY_MS) return;
    this.#saidAtMs = clock.nowMs();
    log.warn(`The certificate of ${section} ends soon`, { validUntil: isoTime(endsAtMs) });
  }
}

const isoTime = (ms: number): string => new Date(ms).toISOString();

/** What `check` gives. @throws {ConfigError} for what it throws. */
function asConfigError<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    throw new ConfigError(messageOf(error), { cause: error });
  }
}

class WatchedFiles implements TlsFiles {
  readonly identity: TlsIdentity;
  readonly transport: SessionTransport;
  readonly #options: TlsFilesOptions;
  readonly #watch: CertificateWatch;
  #settings: TlsSettings;
  #own: CertificateFacts;
  /** Readings in turn: none that began with older settings ends last. */
  #reading: Promise<void> = Promise.resolve();

  constructor(settings: TlsSettings, material: TlsMaterial, options: TlsFilesOptions) {
    const { clock, log } = options;
    this.#settings = settings;
    this.#options = options;
    this.identity = new TlsIdentity(material);
    this.transport = tlsTransport(this.identity);
    this.#own = this.#check(material);
    this.#watch = new CertificateWatch({
      ...{ clock, log, section: "[tls]" },
      read: () => this.#inTurn(() => this.#settings),
      own: () => this.#own,
    });
  }

  get stats(): Readonly<Record<string, number>> {
    const leftMs = this.#own.endsAtMs - this.#options.clock.wallMs();
    return { certificate_seconds_left: Math.round(leftMs / 1000) };
  }

  read(settings: TlsSettings): Promise<void> {
    return this.#inTurn(() => settings);
  }

  #inTurn(choose: () => TlsSettings): Promise<void> {
    const reading = this.#reading.then(() => this.#read(choose()));
    // Whoever asked for it hears of its fault.
    this.#reading = reading.catch(() => {});
    return reading;
  }

  async #read(settings: TlsSettings): Promise<void> {
    const material = await readTlsMaterial(settings);
    if (!sameMaterial(material, this.identity.material)) {
      this.#own = this.#check(material);
      this.identity.replace(material);
      const validUntil = isoTime(this.#own.endsAtMs);
      this.#options.log.info("Files of [tls] taken", { validUntil });
    }
    this.#settings = settings;
  }

  close(): void {
    this.#watch.close();
  }

  /** @returns what the certificate says. @throws {ConfigError} when it cannot be used. */
  #check(material: TlsMaterial): CertificateFacts {
    const { role, clock, log } = this.#options;
    const { own, warnings } = asConfigError(() =>
      checkMaterial(material, neededRole(role), clock.wallMs())
    );
    for (const warning of warnings) log.warn(warning);
    return own;
  }
}

/** A certificate and its key, for those who want to be sure of the server alone. */
export interface PairFiles {
  readonly pair: Pick<TlsMaterial, "cert" | "key">;
  /** Takes what the files hold now. @throws {ConfigError} when it cannot be; the old pair stays. */
  read(): Promise<void>;
  /** Looks at the files no more. */
  close(): void;
}

/** What {@linkcode openPair} is given. */
export interface PairFilesOptions {
  /** Section of the settings, for logs: `[web]`. */
  readonly section: string;
  readonly certPath: string;
  /** Empty: the key is in the file of the certificate. */
  readonly keyPath: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** There is another pair from now on. */
  onChange(): void;
}

/**
 * Reads and checks a pair, and looks at its files from then on.
 *
 * @throws {ConfigError} that says which file is wrong, and how.
 */
export async function openPair(options: PairFilesOptions): Promise<PairFiles> {
  const { section, certPath, keyPath, clock, log, onChange } = options;
  const names = { cert: `${section} cert`, key: `${section} key` };
  const load = async (): Promise<PairFiles["pair"]> => {
    const cert = await readPem(certPath, names.cert);
    return { cert, key: keyPath === "" ? cert : await readPem(keyPath, names.key) };
  };
  const check = (read: PairFiles["pair"]): CertificateFacts =>
    asConfigError(() => checkPair(read, clock.wallMs(), names));
  let pair = await load();
  let own = check(pair);
  const read = async (): Promise<void> => {
    const next = await load();
    if (next.cert === pair.cert && next.key === pair.key) return;
    own = check(next);
    pair = next;
    onChange();
    log.info(`Files of ${section} taken`, { validUntil: isoTime(own.endsAtMs) });
  };
  const watch = new CertificateWatch({ clock, log, section, read, own: () => own });
  return {
    get pair(): PairFiles["pair"] {
      return pair;
    },
    read,
    close: () => watch.close(),
  };
}

/**
 * Reads and checks the files of `[tls]`, and looks at them from then on.
 *
 * @throws {ConfigError} that says which file is wrong, and how.
 */
export async function openTls(settings: TlsSettings, options: TlsFilesOptions): Promise<TlsFiles> {
  return new WatchedFiles(settings, await readTlsMaterial(settings), options);
}
