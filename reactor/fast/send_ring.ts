// Shell. Many sends by one call of the kernel: io_uring of Linux, through FFI.
//
// A call costs as much as a good part of what a send of few bytes does in it. So what many connections
// send in one turn is gathered here, and leaves together. Nothing of it waits in the kernel: each send
// is done, or refused, within the call.

import type { Libc, Mapping } from "../runtime/mod.ts";
import { fixedBytes, MSG_DONTWAIT, releaseBytes } from "./batch_loop.ts";

/** Sends of one call, and bytes of all of them; a further one has the others leave first. */
export const RING_SENDS_MAX = 512;
const RING_BYTES_MAX = 256 * 1024;

/** Bytes of one send at most: to copy many costs more than a call. */
export const RING_SEND_BYTES_MAX = 8_192;

/** A buffer with no more free bytes than this is copied as a whole, which takes no view of it. */
const SPARE_BYTES_MAX = 512;

/** Numbers of Linux, alike on x86-64 and aarch64. */
export const MSG_NOSIGNAL = 0x4000;
const IORING_SETUP_SUBMIT_ALL = 1 << 7;
const IORING_FEAT_SINGLE_MMAP = 1;
const IORING_OFF_RINGS = 0;
const IORING_OFF_SQES = 0x1000_0000;
const IORING_ENTER_GETEVENTS = 1;
const IORING_OP_SEND = 26;

/** `struct io_uring_params`, in words: what is read of it. */
const PARAM_BYTES = 120;
const PARAM_SQ_ENTRIES = 0;
const PARAM_CQ_ENTRIES = 1;
const PARAM_FLAGS = 2;
const PARAM_FEATURES = 5;
const PARAM_SQ_OFFSETS = 10;
const PARAM_CQ_OFFSETS = 20;
/** Within both of these. */
const OFFSET_HEAD = 0;
const OFFSET_TAIL = 1;
const OFFSET_MASK = 2;
const OFFSET_ARRAY = 6;
const OFFSET_CQES = 5;

/** `struct io_uring_sqe`, in words; what is not named stays 0. */
const SQE_WORDS = 16;
const SQE_OPCODE = 0;
const SQE_FD = 1;
const SQE_ADDRESS = 4;
const SQE_LENGTH = 6;
const SQE_MSG_FLAGS = 7;
const SQE_USER_DATA = 8;

/** `struct io_uring_cqe`, in words. */
const CQE_WORDS = 4;
const CQE_RESULT = 2;

/** No result is this. */
const NO_RESULT = -0x8000_0000;

/** Whose bytes they are. */
export interface RingSender {
  /** Some of what was added have not left; they are valid only during the call. */
  onUnsent(bytes: Uint8Array): void;
}

/** Sends that leave together with `flush`. */
export class SendRing {
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #rings: Mapping;
  readonly #requests: Mapping;
  /** Both rings, and the requests. */
  readonly #words: Int32Array;
  readonly #sqes: Int32Array;
  readonly #sqTail: number;
  readonly #sqMask: number;
  readonly #cqHead: number;
  readonly #cqTail: number;
  readonly #cqMask: number;
  readonly #cqes: number;
  readonly #area = fixedBytes(RING_BYTES_MAX);
  readonly #areaAddress: number;
  readonly #senders: RingSender[] = [];
  readonly #starts = new Int32Array(RING_SENDS_MAX);
  readonly #lengths = new Int32Array(RING_SENDS_MAX);
  readonly #results = new Int32Array(RING_SENDS_MAX);
  #count = 0;
  #bytes = 0;
  #round = 1;
  #broken = false;
  #closed = false;

  /** @throws {Error} whose message says why this system has none. */
  constructor(libc: Libc) {
    this.#libc = libc;
    const params = new Uint8Array(new ArrayBuffer(PARAM_BYTES));
    const words = new Int32Array(params.buffer);
    words[PARAM_FLAGS] = IORING_SETUP_SUBMIT_ALL;
    this.#fd = libc.ringSetup(RING_SENDS_MAX, params);
    if (this.#fd < 0) throw new Error(`io_uring_setup failed: errno ${libc.errno()}`);
    const sq = words.subarray(PARAM_SQ_OFFSETS);
    const cq = words.subarray(PARAM_CQ_OFFSETS);
    const entries = words[PARAM_SQ_ENTRIES];
    const ringBytes = Math.max(
      sq[OFFSET_ARRAY] + 4 * entries,
      cq[OFFSET_CQES] + 4 * CQE_WORDS * words[PARAM_CQ_ENTRIES],
    );
    const isOneMap = (words[PARAM_FEATURES] & IORING_FEAT_SINGLE_MMAP) !== 0;
    const rings = isOneMap ? libc.ringMap(this.#fd, ringBytes, IORING_OFF_RINGS) : undefined;
    const requests = rings && libc.ringMap(this.#fd, 4 * SQE_WORDS * entries, IORING_OFF_SQES);
    if (rings === undefined || requests === undefined) {
      rings?.unmap();
      libc.close(this.#fd);
      releaseBytes(this.#area);
      throw new Error("the memory of io_uring cannot be mapped");
    }
    this.#rings = rings;
    this.#requests = requests;
    this.#words = new Int32Array(rings.memory, 0, ringBytes >> 2);
    this.#sqes = new Int32Array(requests.memory);
    this.#sqTail = sq[OFFSET_TAIL] >> 2;
    this.#sqMask = this.#words[sq[OFFSET_MASK] >> 2];
    this.#cqHead = cq[OFFSET_HEAD] >> 2;
    this.#cqTail = cq[OFFSET_TAIL] >> 2;
    this.#cqMask = this.#words[cq[OFFSET_MASK] >> 2];
    this.#cqes = cq[OFFSET_CQES] >> 2;
    this.#areaAddress = Number(libc.addressOf(this.#area));
    for (let i = 0; i < entries; i++) this.#words[(sq[OFFSET_ARRAY] >> 2) + i] = i;
  }

  /** Number of the sends that leave next together: what was added under another one has left. */
  get round(): number {
    return this.#round;
  }

  /** Adds the first `length` bytes, which are free at once; false: they are better sent by themselves. */
  add(fd: number, bytes: Uint8Array, length: number, sender: RingSender): boolean {
    if (length > RING_SEND_BYTES_MAX || this.#broken || this.#closed) return false;
    const isWhole = bytes.length - length <= SPARE_BYTES_MAX;
    const room = isWhole ? bytes.length : length;
    if (this.#count === RING_SENDS_MAX || this.#bytes + room > RING_BYTES_MAX) this.flush();
    if (this.#broken) return false;
    const at = this.#bytes;
    this.#area.set(isWhole ? bytes : bytes.subarray(0, length), at);
    const index = this.#count++;
    this.#bytes += length;
    this.#senders[index] = sender;
    this.#starts[index] = at;
    this.#lengths[index] = length;
    const sqes = this.#sqes;
    const sqe = (this.#words[this.#sqTail] + index & this.#sqMask) * SQE_WORDS;
    const address = this.#areaAddress + at;
    sqes[sqe + SQE_OPCODE] = IORING_OP_SEND;
    sqes[sqe + SQE_FD] = fd;
    sqes[sqe + SQE_ADDRESS] = address >>> 0;
    sqes[sqe + SQE_ADDRESS + 1] = Math.floor(address / 2 ** 32);
    sqes[sqe + SQE_LENGTH] = length;
    sqes[sqe + SQE_MSG_FLAGS] = MSG_DONTWAIT | MSG_NOSIGNAL;
    sqes[sqe + SQE_USER_DATA] = index;
    return true;
  }

  /**
   * Sends what was added. Whoever has something left is told within this call.
   *
   * @throws {Error} when the kernel does not say what became of a send.
   */
  flush(): void {
    const count = this.#count;
    if (count === 0) return;
    this.#count = 0;
    this.#bytes = 0;
    this.#round++;
    const words = this.#words;
    words[this.#sqTail] = (words[this.#sqTail] + count) | 0;
    const done = this.#libc.ringEnter(this.#fd, count, count, IORING_ENTER_GETEVENTS);
    if (done !== count) this.#sendRest(Math.max(0, done), count);
    this.#takeResults(Math.max(0, done));
    for (let index = 0; index < count; index++) {
      const sent = this.#results[index];
      const length = this.#lengths[index];
      if (sent === length) continue;
      if (sent === NO_RESULT) throw new Error("io_uring did not say what became of a send");
      const start = this.#starts[index];
      const rest = this.#area.subarray(start + Math.max(0, sent), start + length);
      this.#senders[index].onUnsent(rest);
    }
  }

  /** Frees what it holds; what was added must have left. Harmless when repeated. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#senders.length = 0;
    this.#requests.unmap();
    this.#rings.unmap();
    this.#libc.close(this.#fd);
    releaseBytes(this.#area);
  }

  #takeResults(done: number): void {
    const words = this.#words;
    if (done > 0) this.#results.fill(NO_RESULT, 0, done);
    const tail = words[this.#cqTail];
    let head = words[this.#cqHead];
    for (; head !== tail; head = (head + 1) | 0) {
      const cqe = this.#cqes + (head & this.#cqMask) * CQE_WORDS;
      this.#results[words[cqe]] = words[cqe + CQE_RESULT];
    }
    words[this.#cqHead] = head;
  }

  /** The kernel did not take all of them, for want of memory say: the others are sent one by one. */
  #sendRest(from: number, count: number): void {
    this.#broken = true;
    for (let index = from; index < count; index++) {
      const sqe = (this.#words[this.#sqTail] - count + index & this.#sqMask) * SQE_WORDS;
      const start = this.#starts[index];
      const bytes = this.#area.subarray(start, start + this.#lengths[index]);
      const flags = MSG_DONTWAIT | MSG_NOSIGNAL;
      this.#results[index] = this.#libc.send(this.#sqes[sqe + SQE_FD], bytes, bytes.length, flags);
    }
  }
}
