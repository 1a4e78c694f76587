// Shell. Random secrets, their hashes, and hashes of passwords.

import { Buffer } from "node:buffer";
import { createHash, createHmac, randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { ControlError } from "../control_error.ts";
import { FairQueue, type Waiter } from "./fair_queue.ts";

/** How much work a password takes to try. */
export interface PasswordCost {
  /** CPU and memory factor N, a power of two; 128 * 8 * N bytes of memory. */
  readonly factor: number;
  /** How often it is done. */
  readonly rounds: number;
}

/** What OWASP asks of scrypt at 32 MiB (N = 2^15, r = 8, p = 3): about half a second here. */
export const PASSWORD_COST: PasswordCost = { factor: 2 ** 15, rounds: 3 };

/** Passwords that are tried at the same time, each with 32 MiB of memory. */
const PASSWORDS_AT_ONCE_MAX = 2;
/** Further ones wait, of one address and of all; more than these are refused with 429. */
const PASSWORDS_WAITING_MAX = 64;
const PASSWORDS_WAITING_PER_ADDRESS_MAX = 4;
/** Hashes that nobody waits for from outside: of users who are logged in. */
const INSIDE: Waiter = { address: "", isKnown: true };
const BLOCK_SIZE = 8;
const HASH_BYTES = 32;
const SALT_BYTES = 16;

/** A secret that cannot be guessed: 256 bits as text for addresses and headers. */
export function randomSecret(): string {
  return randomBytes(32).toString("base64url");
}

/** A first password that a person can type: 100 bits in groups of five letters and digits. */
export function randomPassword(): string {
  const alphabet = "abcdefghjkmnpqrstuvwxyz23456789-";
  const letters = [...randomBytes(20)].map((byte) => alphabet[byte % 31]).join("");
  return letters.match(/.{5}/g)?.join("-") ?? letters;
}

/** What is stored of a secret that has enough chance of its own. */
export function secretHash(secret: string): string {
  return createHash("sha256").update(secret).digest("hex");
}

/** The token that proves that a write comes from our own pages: they alone can read it. */
export function csrfTokenOf(sessionSecret: string): string {
  return createHash("sha256").update(`csrf ${sessionSecret}`).digest("base64url");
}

/** True when two texts are equal; takes the same time wherever they differ. */
export function sameText(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) => createHash("sha256").update(text).digest());
  return timingSafeEqual(left, right);
}

/** Signature of a webhook message: HMAC-SHA256 as hexadecimal text. */
export function signatureOf(secret: string, text: string): string {
  return createHmac("sha256", secret).update(text).digest("hex");
}

/** Hashes passwords, a few at a time. */
export class PasswordHasher {
  readonly #cost: PasswordCost;
  readonly #queue = new FairQueue({
    atOnceMax: PASSWORDS_AT_ONCE_MAX,
    waitingMax: PASSWORDS_WAITING_MAX,
    waitingPerAddressMax: PASSWORDS_WAITING_PER_ADDRESS_MAX,
  });

  constructor(cost: PasswordCost = PASSWORD_COST) {
    this.#cost = cost;
  }

  /** The text that is stored of a password: `scrypt$N$r$p$salt$hash`. */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    const { factor, rounds } = this.#cost;
    const hash = await this.#derive(password, salt, factor, rounds, INSIDE);
    const parts = [factor, BLOCK_SIZE, rounds, salt.toString("base64"), hash.toString("base64")];
    return `scrypt$${parts.join("$")}`;
  }

  /** True when the password is the one whose hash is stored; takes as long for none at all. */
  async matches(
    password: string,
    stored: string | undefined,
    who: Waiter = INSIDE,
  ): Promise<boolean> {
    const parts = /^scrypt\$(\d{1,7})\$8\$(\d{1,2})\$([^$]+)\$([^$]+)$/.exec(stored ?? "");
    if (parts === null) {
      const { factor, rounds } = this.#cost;
      await this.#derive(password, Buffer.alloc(SALT_BYTES), factor, rounds, who);
      return false;
    }
    const expected = Buffer.from(parts[4], "base64");
    const salt = Buffer.from(parts[3], "base64");
    const hash = await this.#derive(password, salt, Number(parts[1]), Number(parts[2]), who);
    return hash.length === expected.length && timingSafeEqual(hash, expected);
  }

  async #derive(
    password: string,
    salt: Buffer,
    factor: number,
    rounds: number,
    who: Waiter,
  ): Promise<Buffer> {
    if (!await this.#queue.enter(who)) {
      throw new ControlError("too-many-requests", "Too many logins at once: try again", {
        retryAfterS: 5,
      });
    }
    try {
      return await new Promise((resolve, reject) => {
        const options = { N: factor, r: BLOCK_SIZE, p: rounds, maxmem: 256 * 1024 * 1024 };
        scrypt(password.normalize("NFC"), salt, HASH_BYTES, options, (error, key) => {
          if (error instanceof Error) reject(error);
          else resolve(key);
        });
      });
    } finally {
      this.#queue.leave();
    }
  }
}
