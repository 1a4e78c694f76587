// Shell. The proof of a password that MariaDB's ed25519 accounts want, which node:crypto cannot make:
// its key is the SHA-512 of a password of any length, where Ed25519 proper has 32 random bytes.

import { createHash } from "node:crypto";

const P = 2n ** 255n - 19n;
const ORDER = 2n ** 252n + 27742317777372353535851937790883648493n;
const D = mod(-121665n * inverse(121666n));

/** A point of the curve: x/z, y/z and x*y/z. */
type Point = readonly [x: bigint, y: bigint, z: bigint, t: bigint];

const BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202n;
const BASE_Y = 46316835694926478169428394003475163141307993866256225615783033603165251855960n;
const BASE: Point = [BASE_X, BASE_Y, 1n, mod(BASE_X * BASE_Y)];

function mod(value: bigint, modulus = P): bigint {
  const rest = value % modulus;
  return rest < 0n ? rest + modulus : rest;
}

function inverse(value: bigint): bigint {
  let result = 1n;
  let base = mod(value);
  for (let exponent = P - 2n; exponent > 0n; exponent >>= 1n) {
    if ((exponent & 1n) === 1n) result = mod(result * base);
    base = mod(base * base);
  }
  return result;
}

/** RFC 8032, 5.1.4. */
function add([x1, y1, z1, t1]: Point, [x2, y2, z2, t2]: Point): Point {
  const a = mod((y1 - x1) * (y2 - x2));
  const b = mod((y1 + x1) * (y2 + x2));
  const c = mod(t1 * 2n * D * t2);
  const d = mod(z1 * 2n * z2);
  const [e, f, g, h] = [b - a, d - c, d + c, b + a];
  return [mod(e * f), mod(g * h), mod(f * g), mod(e * h)];
}

function times(scalar: bigint): Point {
  let sum: Point = [0n, 1n, 1n, 0n];
  let power = BASE;
  // As many steps for each scalar.
  for (let bit = 0n; bit < 256n; bit++) {
    const more = add(sum, power);
    if (((scalar >> bit) & 1n) === 1n) sum = more;
    power = add(power, power);
  }
  return sum;
}

function fromBytes(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function toBytes(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, at) => Number((value >> BigInt(8 * at)) & 0xffn));
}

function encode([x, y, z]: Point): Uint8Array {
  const inverseZ = inverse(z);
  const sign = mod(x * inverseZ) & 1n;
  return toBytes(mod(y * inverseZ) | (sign << 255n));
}

function sha512(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha512");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

/** The signature of what the server sent, under the key that the password is. */
export function ed25519Proof(password: string, challenge: Uint8Array): Uint8Array {
  const secret = sha512(new TextEncoder().encode(password));
  const clamped = secret.slice(0, 32);
  clamped[0] &= 248;
  clamped[31] = (clamped[31] & 63) | 64;
  const key = fromBytes(clamped);
  const nonce = mod(fromBytes(sha512(secret.subarray(32), challenge)), ORDER);
  const commitment = encode(times(nonce));
  const answer = mod(
    nonce + mod(fromBytes(sha512(commitment, encode(times(key)), challenge)), ORDER) * key,
    ORDER,
  );
  return Uint8Array.of(...commitment, ...toBytes(answer));
}
