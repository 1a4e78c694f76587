// Shell. UDP on Linux with many datagrams in each system call, through FFI, on a batch loop.

import type { Address } from "../address.ts";
import {
  AF_INET,
  BatchLoop,
  bindErrorOf,
  EAGAIN,
  EPOLLIN,
  fixedBytes,
  type LoopSocket,
  MSG_DONTWAIT,
  NAME_BYTES,
  portOfName,
  readName,
  releaseBytes,
  setOption,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  WakeUp,
  writeName,
} from "./batch_loop.ts";
import { messageOf } from "../errors.ts";
import { LogRateLimiter } from "../log.ts";
import { DATAGRAM_BYTES_MAX, toBindError } from "../runtime/common.ts";
import type { Libc } from "../runtime/mod.ts";
import {
  type DatagramServer,
  newUdpStats,
  type UdpServerOptions,
  type UdpServerStats,
} from "../udp/udp_server.ts";

/** Datagrams in one system call. */
export const BATCH_MAX = 64;

/** Longest answer that waits for the others of its batch; a longer one is sent by itself. */
export const BATCHED_BYTES_MAX = 256;

/** Time that the datagram of the self-test has. */
export const SELF_TEST_MS = 200;

const SOCK_DGRAM = 2;
const MSG_TRUNC = 0x20;

/** What the kernel counts of a socket: nine words; room for what waits, and what was dropped. */
const SO_MEMINFO = 55;
const MEMINFO_WORDS = 9;
const MEMINFO_RECEIVE_BYTES = 1;
const MEMINFO_DROPS = 8;

/**
 * Room asked for what waits to be received: the kernel takes 832 bytes for each small datagram, and
 * gives 212,992 of itself, which 40,000 a second to three ports fill in 19 ms. It gives no more than
 * `net.core.rmem_max`, twice.
 */
const SO_RCVBUF = 8;
const RECEIVE_BYTES = 4 * 1024 * 1024;

/**
 * `struct mmsghdr` on 64-bit machines: address of the name at 0 and its length at 8, address of the
 * one iovec at 16 and their number at 24, control data at 32 and 40, flags at 48; then, at 56, the
 * length of the datagram.
 */
const HEAD_BYTES = 64;
const HEAD_WORDS = HEAD_BYTES / 4;
const WORD_NAME_BYTES = 2;
const WORD_FLAGS = 12;
const WORD_LENGTH = 14;

/** `struct iovec`: address, length. */
const VECTOR_BYTES = 16;

/**
 * Room for one datagram. The largest has 65,507 bytes; the odd 64 more than 64 KiB put the starts
 * of neighbours into different sets of the processor's caches.
 */
const SLOT_BYTES = 65_536 + 64;

/** Heads, names and room for the datagrams of one direction. */
class Batch {
  readonly heads: Uint8Array;
  readonly words: Int32Array;
  readonly names: Uint8Array;
  readonly nameWords: Int32Array;
  /** Length of the datagram in slot i is word `i * VECTOR_WORDS + VECTOR_LENGTH_WORD`. */
  readonly vectorWords: Int32Array;
  readonly data: Uint8Array;
  readonly slotBytes: number;
  readonly #vectors: Uint8Array;

  constructor(libc: Libc, slotBytes: number) {
    this.slotBytes = slotBytes;
    this.heads = fixedBytes(BATCH_MAX * HEAD_BYTES);
    this.names = fixedBytes(BATCH_MAX * NAME_BYTES);
    this.#vectors = fixedBytes(BATCH_MAX * VECTOR_BYTES);
    this.data = fixedBytes(BATCH_MAX * slotBytes);
    this.words = new Int32Array(this.heads.buffer);
    this.nameWords = new Int32Array(this.names.buffer);
    this.vectorWords = new Int32Array(this.#vectors.buffer);
    const heads = new DataView(this.heads.buffer);
    const vectors = new DataView(this.#vectors.buffer);
    const [names, rows, data] = [this.names, this.#vectors, this.data]
      .map((bytes) => libc.addressOf(bytes));
    for (let i = 0; i < BATCH_MAX; i++) {
      heads.setBigUint64(i * HEAD_BYTES, names + BigInt(i * NAME_BYTES), true);
      heads.setUint32(i * HEAD_BYTES + 8, NAME_BYTES, true);
      heads.setBigUint64(i * HEAD_BYTES + 16, rows + BigInt(i * VECTOR_BYTES), true);
      heads.setBigUint64(i * HEAD_BYTES + 24, 1n, true);
      vectors.setBigUint64(i * VECTOR_BYTES, data + BigInt(i * slotBytes), true);
      vectors.setBigUint64(i * VECTOR_BYTES + 8, BigInt(slotBytes), true);
    }
  }

  release(): void {
    for (const bytes of [this.heads, this.names, this.#vectors, this.data]) releaseBytes(bytes);
  }
}

const VECTOR_WORDS = VECTOR_BYTES / 4;
const VECTOR_LENGTH_WORD = 2;

/** The two batches that all UDP sockets of a loop share, while there are such sockets. */
class SharedBatches {
  readonly incoming: Batch;
  readonly outgoing: Batch;
  users = 0;

  constructor(libc: Libc) {
    this.incoming = new Batch(libc, SLOT_BYTES);
    this.outgoing = new Batch(libc, BATCHED_BYTES_MAX);
  }
}

const batchesOfLoops = new WeakMap<BatchLoop, SharedBatches>();

function batchesOf(loop: BatchLoop): SharedBatches {
  const batches = batchesOfLoops.get(loop) ?? new SharedBatches(loop.libc);
  batchesOfLoops.set(loop, batches);
  return batches;
}

function releaseBatches(loop: BatchLoop, batches: SharedBatches): void {
  if (--batches.users > 0) return;
  batchesOfLoops.delete(loop);
  batches.incoming.release();
  batches.outgoing.release();
}

/**
 * Answers a datagram where it lies, without making any object. The datagram is `bytes` from `start`
 * to `end`; the answer, of at most {@linkcode BATCHED_BYTES_MAX} bytes, goes into `answer` from
 * `answerStart`. All of it is valid only during the call.
 *
 * @returns length of the answer; 0 = handled, and nothing to answer; -1 = not handled: the
 * datagram goes to `onDatagram`.
 */
export type QuickHandler = (
  bytes: Uint8Array,
  start: number,
  end: number,
  fromLoopback: boolean,
  fromPort: number,
  nowMs: number,
  answer: Uint8Array,
  answerStart: number,
) => number;

/** Options of {@linkcode BatchUdpServer}. */
export interface BatchUdpServerOptions extends UdpServerOptions {
  readonly loop: BatchLoop;
  /** Sees each datagram first; default: `onDatagram` gets all of them. */
  readonly onQuick?: QuickHandler;
  /** A bound socket that is served instead of a new one, and is this server's from then on. */
  readonly fd?: number;
}

/**
 * A UDP socket of a {@linkcode BatchLoop}: what `UdpServer` is, with less work for each datagram.
 * Hosts are IPv4 addresses or `localhost`; names are not looked up.
 */
export class BatchUdpServer implements DatagramServer, LoopSocket {
  readonly #options: BatchUdpServerOptions;
  readonly #loop: BatchLoop;
  readonly #quick: QuickHandler;
  readonly #logLimiter: LogRateLimiter;
  readonly #stats = newUdpStats();
  readonly #name = new Uint8Array(NAME_BYTES);
  readonly #batches: SharedBatches;
  #fd = -1;
  #loopSlot = -1;
  #address: Address | undefined;
  /** Answers of the batch under way. */
  #waiting = 0;
  #inBatch = false;
  #unreceived = 0;

  constructor(options: BatchUdpServerOptions) {
    this.#options = options;
    this.#loop = options.loop;
    this.#batches = batchesOf(options.loop);
    this.#quick = options.onQuick ?? ((): number => -1);
    this.#logLimiter = new LogRateLimiter(options.clock);
  }

  get stats(): UdpServerStats {
    return this.#stats;
  }

  /** Its descriptor; -1 while it has none. */
  get fd(): number {
    return this.#fd;
  }

  get address(): Address {
    if (this.#address === undefined) throw new Error("UDP server is not bound yet");
    return this.#address;
  }

  bind(): Promise<Address> {
    try {
      return Promise.resolve(this.bindNow());
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** What `bind` does, at once. @throws {BindError} naming host:port. */
  bindNow(): Address {
    if (this.#address !== undefined) throw new Error("UDP server is bound already");
    const { libc } = this.#loop;
    const { hostname, port } = this.#options;
    const wanted = { hostname, port };
    const fail = (fd: number): never => {
      const code = libc.errno();
      if (fd >= 0) libc.close(fd);
      throw bindErrorOf("UDP", wanted, code);
    };
    const name = new Uint8Array(NAME_BYTES);
    try {
      writeName(name, 0, wanted);
    } catch (error) {
      throw toBindError("UDP", wanted, error);
    }
    const { fd: given } = this.#options;
    const fd = given ?? libc.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return fail(fd);
    if (given === undefined && libc.bind(fd, name, NAME_BYTES) < 0) return fail(fd);
    const nameBytes = new Uint8Array(Uint32Array.of(NAME_BYTES).buffer);
    if (libc.getsockname(fd, name, nameBytes) < 0) return fail(fd);
    // Less than was asked for is no fault: what does not fit is counted.
    const room = readMemory(libc, fd)?.[MEMINFO_RECEIVE_BYTES] ?? RECEIVE_BYTES;
    if (room < RECEIVE_BYTES) setOption(libc, fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BYTES);
    try {
      this.#loopSlot = this.#loop.watch(fd, this, EPOLLIN);
    } catch (error) {
      libc.close(fd);
      throw toBindError("UDP", wanted, error);
    }
    this.#fd = fd;
    this.#batches.users++;
    this.#address = { hostname, port: portOfName(name) };
    return this.#address;
  }

  send(bytes: Uint8Array, to: Address): void {
    const { length } = bytes;
    if (this.#fd < 0 || length > DATAGRAM_BYTES_MAX) return this.#drop();
    try {
      if (this.#inBatch && length <= BATCHED_BYTES_MAX) {
        const { outgoing } = this.#batches;
        const slot = this.#slot();
        writeName(outgoing.names, slot * NAME_BYTES, to);
        outgoing.data.set(bytes, slot * BATCHED_BYTES_MAX);
        this.#queued(length);
        return;
      }
      writeName(this.#name, 0, to);
    } catch (error) {
      this.#drop();
      return this.#socketFailed(error);
    }
    const sent = this.#loop.libc.sendTo(this.#fd, bytes, length, MSG_DONTWAIT, this.#name, 16);
    if (sent !== length) return this.#sendFailed();
    this.#stats.sent++;
    this.#stats.bytesOut += length;
  }

  unreceivedCount(): number {
    if (this.#fd < 0) return this.#unreceived;
    this.#unreceived = readMemory(this.#loop.libc, this.#fd)?.[MEMINFO_DROPS] ?? this.#unreceived;
    return this.#unreceived;
  }

  close(): Promise<void> {
    this.closeNow();
    return Promise.resolve();
  }

  /** What `close` does, at once. Harmless when repeated. */
  closeNow(): void {
    if (this.#fd < 0) return;
    this.unreceivedCount();
    this.#loop.forget(this.#loopSlot, this.#fd);
    this.#loop.libc.close(this.#fd);
    this.#fd = -1;
    this.#waiting = 0;
    releaseBatches(this.#loop, this.#batches);
  }

  /** The same where nothing may be there; a fault is found with the next that is told. */
  onLook(nowMs: number): number {
    const { heads } = this.#batches.incoming;
    const count = this.#loop.libc.receiveMany(this.#fd, heads, BATCH_MAX, MSG_DONTWAIT);
    return count > 0 ? this.#handleAll(count, nowMs) : 0;
  }

  /** Receives and handles one batch; called by the loop. */
  onReady(_events: number, nowMs: number): number {
    const { libc } = this.#loop;
    const { heads } = this.#batches.incoming;
    const count = libc.receiveMany(this.#fd, heads, BATCH_MAX, MSG_DONTWAIT);
    if (count <= 0) {
      // Nothing there after all (a datagram with a wrong checksum wakes in vain), or a fault, such
      // as an ICMP answer, that the kernel tells once.
      const code = libc.errno();
      if (code !== EAGAIN) this.#loop.countFault("recvmmsg", code);
      return 0;
    }
    return this.#handleAll(count, nowMs);
  }

  #handleAll(count: number, nowMs: number): number {
    const { words } = this.#batches.incoming;
    this.#inBatch = true;
    for (let i = 0; i < count; i++) {
      const word = i * HEAD_WORDS;
      const length = words[word + WORD_LENGTH];
      words[word + WORD_NAME_BYTES] = NAME_BYTES;
      this.#stats.received++;
      // The kernel never says so for slots of this size; a wrong length must not be believed.
      if ((words[word + WORD_FLAGS] & MSG_TRUNC) !== 0 || length > DATAGRAM_BYTES_MAX) {
        this.#stats.socketErrors++;
        continue;
      }
      this.#stats.bytesIn += length;
      this.#handle(i, length, nowMs);
      if (this.#fd < 0) break;
    }
    this.#inBatch = false;
    this.#flush();
    return count;
  }

  #handle(i: number, length: number, nowMs: number): void {
    const { incoming, outgoing } = this.#batches;
    const start = i * SLOT_BYTES;
    try {
      const slot = this.#slot();
      const answer = this.#quick(
        incoming.data,
        start,
        start + length,
        incoming.names[i * NAME_BYTES + 4] === 127,
        portOfName(incoming.names, i * NAME_BYTES),
        nowMs,
        outgoing.data,
        slot * BATCHED_BYTES_MAX,
      );
      if (answer === 0) return;
      if (answer > 0) {
        const from = i * 4;
        const to = slot * 4;
        outgoing.nameWords[to] = incoming.nameWords[from];
        outgoing.nameWords[to + 1] = incoming.nameWords[from + 1];
        this.#queued(answer);
        return;
      }
      const bytes = incoming.data.subarray(start, start + length);
      this.#options.onDatagram(bytes, this.#senderOf(i), this);
    } catch (error) {
      this.#stats.handlerErrors++;
      this.#tell("handler", "Datagram handler failed", error);
    }
  }

  #senderOf(i: number): Address {
    return readName(this.#batches.incoming.names, i * NAME_BYTES);
  }

  /** A free slot for an answer; sends those that wait when there is none. */
  #slot(): number {
    if (this.#waiting === BATCH_MAX) this.#flush();
    return this.#waiting;
  }

  /** The answer in the slot is complete. */
  #queued(length: number): void {
    const { vectorWords } = this.#batches.outgoing;
    vectorWords[this.#waiting * VECTOR_WORDS + VECTOR_LENGTH_WORD] = length;
    this.#waiting++;
    this.#stats.bytesOut += length;
  }

  #flush(): void {
    const { outgoing } = this.#batches;
    const { libc } = this.#loop;
    const count = this.#waiting;
    this.#waiting = 0;
    if (count === 0) return;
    const sent = libc.sendMany(this.#fd, outgoing.heads, count, MSG_DONTWAIT);
    if (sent === count) this.#stats.sent += count;
    else this.#flushSlowly(count, Math.max(sent, 0));
  }

  /** One datagram could not be sent; those behind it still should. */
  #flushSlowly(count: number, sent: number): void {
    const { outgoing } = this.#batches;
    const { libc } = this.#loop;
    this.#stats.sent += sent;
    for (let i = sent; i < count; i++) {
      // The rest moves up by sending each head by itself.
      const head = outgoing.heads.subarray(i * HEAD_BYTES, (i + 1) * HEAD_BYTES);
      if (libc.sendMany(this.#fd, head, 1, MSG_DONTWAIT) === 1) {
        this.#stats.sent++;
        continue;
      }
      this.#stats.bytesOut -= outgoing.vectorWords[i * VECTOR_WORDS + VECTOR_LENGTH_WORD];
      this.#sendFailed();
    }
  }

  #drop(): void {
    this.#stats.dropped++;
  }

  #sendFailed(): void {
    this.#drop();
    this.#socketFailed(new Error(`Datagram could not be sent: errno ${this.#loop.libc.errno()}`));
  }

  #socketFailed(error: unknown): void {
    this.#stats.socketErrors++;
    this.#tell("socket", "UDP socket reported a fault", error);
  }

  #tell(kind: string, message: string, error: unknown): void {
    const held = this.#logLimiter.admit(kind);
    if (held === undefined) return;
    this.#options.log.warn(message, { error: messageOf(error), ...held });
  }
}

/**
 * Tries the whole way: library, sockets, epoll, and one datagram to itself and back.
 *
 * @returns why this machine cannot do it, or undefined when it can.
 */
export function batchUdpFault(
  options: Pick<UdpServerOptions, "clock" | "log">,
): string | undefined {
  const { clock, log } = options;
  try {
    const wakeUp = new WakeUp();
    const loop = new BatchLoop(() => clock.nowMs(), wakeUp.fd);
    const echo = { clock, log, loop, hostname: "127.0.0.1", port: 0 };
    const sent = Uint8Array.of(1, 2, 3);
    let returned = "";
    const peer = new BatchUdpServer({
      ...echo,
      onDatagram: (bytes) => returned = formatBytes(bytes),
    });
    const server = new BatchUdpServer({
      ...echo,
      onDatagram: (bytes, from, self) => self.send(bytes, from),
    });
    try {
      peer.bindNow();
      peer.send(sent, server.bindNow());
      const endMs = clock.nowMs() + SELF_TEST_MS;
      while (returned === "" && clock.nowMs() < endMs) loop.turn(SELF_TEST_MS / 10);
    } finally {
      peer.closeNow();
      server.closeNow();
      loop.close();
      wakeUp.close();
    }
    if (returned === formatBytes(sent)) return undefined;
    return `the self-test got no datagram back within ${SELF_TEST_MS} ms`;
  } catch (error) {
    return messageOf(error);
  }
}

/** What the kernel counts of a socket; undefined where it does not tell. */
function readMemory(libc: Libc, fd: number): Uint32Array | undefined {
  const info = new Uint32Array(MEMINFO_WORDS);
  const length = Uint32Array.of(4 * MEMINFO_WORDS);
  const [infoBytes, lengthBytes] = [new Uint8Array(info.buffer), new Uint8Array(length.buffer)];
  const result = libc.getsockopt(fd, SOL_SOCKET, SO_MEMINFO, infoBytes, lengthBytes);
  return result === 0 ? info : undefined;
}

function formatBytes(bytes: Uint8Array): string {
  return bytes.join(".");
}
