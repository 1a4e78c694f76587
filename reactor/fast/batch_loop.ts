// Shell. One thread that waits for many sockets at once on Linux: epoll through FFI.
//
// Everything the kernel is given lies in memory made here once. Some of it holds addresses of other
// memory, which the garbage collector cannot see: all of it stays in KEEP until it is released.

import { type Address, formatIpv4, parseIpv4 } from "../address.ts";
import type { BindError } from "../errors.ts";
import type { ActiveWait } from "./active_wait.ts";
import type { LoopClock } from "./loop_clock.ts";
import { toBindError } from "../runtime/common.ts";
import { type Libc, runtime } from "../runtime/mod.ts";

/** Sockets of one loop. */
export const SOCKETS_MAX = 1_000_000;

/** Failures in a row, with no success between them, after which a loop gives up. */
export const FAULTS_MAX = 1000;

/** Steps that promises can make between two turns of {@linkcode serveLoop}. */
export const PROMISE_STEPS_MAX = 8;

/** Looks of a wait awake of which one is at all sockets; the others are at the foreseen one alone. */
const LOOKS_AT_ALL = 8;

/** So often in a row the foreseen socket must have been the one before looks are at it alone. */
const FORESEEN_MIN = 8;

/** Pairs of sockets of which it is kept what followed on them. */
const FOLLOWERS = 64;

/** Sockets that are told of in one turn; the others follow with the next. */
const EVENTS_MAX = 512;

/** Numbers of Linux, alike on x86-64 and aarch64. */
export const AF_INET = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const EPOLLIN = 1;
export const EPOLLOUT = 4;
export const EPOLLERR = 8;
export const EPOLLHUP = 0x10;
export const EPOLLRDHUP = 0x2000;
export const EPOLLET = 1 << 31;
export const MSG_DONTWAIT = 0x40;
export const SOL_SOCKET = 1;
export const EINTR = 4;
export const EAGAIN = 11;
const EPOLL_CLOEXEC = SOCK_CLOEXEC;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;

/** Codes of errors that get a text of their own. */
const ERROR_CODES: Readonly<Record<number, string>> = {
  1: "EPERM",
  13: "EACCES",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
};

/** `struct sockaddr_in`. */
export const NAME_BYTES = 16;

/** `struct epoll_event` is packed on x86 only. */
const EVENT_BYTES_MAX = 16;
const EVENT_WORDS = runtime.processor === "x86_64" ? 3 : 4;
const EVENT_DATA_WORD = runtime.processor === "x86_64" ? 1 : 2;

/** Smaller buffers might lie on the engine's own heap, where they can move. */
const BUFFER_BYTES_MIN = 4096;

/** What the kernel holds addresses of; see the top of this file. */
const KEEP = new Set<Uint8Array>();

/** Zeroed memory that stays where it is until it is released. */
export function fixedBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(new ArrayBuffer(Math.max(length, BUFFER_BYTES_MIN)));
  KEEP.add(bytes);
  return bytes;
}

/** Gives memory of {@linkcode fixedBytes} to the garbage collector. */
export function releaseBytes(bytes: Uint8Array): void {
  KEEP.delete(bytes);
}

/** Writes a `struct sockaddr_in`. @throws {RangeError} when it is no IPv4 address and port. */
export function writeName(bytes: Uint8Array, at: number, { hostname, port }: Address): void {
  // Nobody behind this looks at it again, and a wrong one would become another port.
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new RangeError(`Port must be a whole number from 0 to 65535: current value is ${port}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, NAME_BYTES);
  view.setUint16(0, AF_INET, true);
  view.setUint16(2, port);
  view.setUint32(4, parseIpv4(hostname === "localhost" ? "127.0.0.1" : hostname));
}

/** The port of a `struct sockaddr_in`. */
export function portOfName(bytes: Uint8Array, at = 0): number {
  return bytes[at + 2] << 8 | bytes[at + 3];
}

/** Reads a `struct sockaddr_in`. */
export function readName(bytes: Uint8Array, at = 0): Address {
  const ip = bytes[at + 4] << 24 | bytes[at + 5] << 16 | bytes[at + 6] << 8 | bytes[at + 7];
  return { hostname: formatIpv4(ip), port: portOfName(bytes, at) };
}

/** Sets an option of a socket. @returns whether the kernel took it. */
export function setOption(
  libc: Libc,
  fd: number,
  level: number,
  option: number,
  value: number,
): boolean {
  return libc.setsockopt(fd, level, option, new Uint8Array(Int32Array.of(value).buffer), 4) === 0;
}

/** What went wrong with binding, by the number of the C library. */
export function bindErrorOf(kind: "TCP" | "UDP", wanted: Address, code: number): BindError {
  const error = Object.assign(new Error(`errno ${code}`), { code: ERROR_CODES[code] });
  return toBindError(kind, wanted, error);
}

/** What a loop calls of its sockets. */
export interface LoopSocket {
  /**
   * Events of epoll came; 0 = the socket has asked for another turn by {@linkcode BatchLoop.again}.
   *
   * @returns how much was handled.
   */
  onReady(events: number, nowMs: number): number;
  /**
   * Handles what is there, without having been told that there is something; 0 where there is nothing.
   * A loop that waits awake looks so at the socket whose turn it is likely to be.
   */
  onLook?(nowMs: number): number;
}

/** Waits for all its sockets at once. Serves only while `turn` is called. */
export class BatchLoop {
  readonly #libc: Libc;
  readonly #nowMs: () => number;
  readonly #epoll: number;
  readonly #events = fixedBytes(EVENTS_MAX * EVENT_BYTES_MAX);
  readonly #eventWords = new Int32Array(this.#events.buffer);
  /** The event that epoll_ctl is given. */
  readonly #control = new Uint8Array(EVENT_BYTES_MAX);
  readonly #controlWords = new Int32Array(this.#control.buffer);
  /** By slot. An event names the slot and its generation, which goes up when the slot is given up. */
  readonly #sockets: (LoopSocket | undefined)[] = [];
  readonly #generations: number[] = [];
  readonly #freeSlots: number[] = [];
  readonly #wakeFd: number;
  readonly #wakeBytes = new Uint8Array(8);
  #wokeAtMs: number;
  #again: LoopSocket[] = [];
  readonly #active: ActiveWait | undefined;
  /** Slots of what had something last and before, and which one came after such two when it was last so. */
  #latest = 0;
  #before = 0;
  readonly #followers = new Int32Array(FOLLOWERS);
  /** How often in a row it was the one that had followed before. */
  #foreseen = 0;
  /** Of all waits awake. */
  #looks = 0;
  #deferred: (() => void)[] = [];
  /** Called at the end of each turn. */
  #endings: (() => void)[] = [];
  #faults = 0;
  #turning = false;
  readonly #onWanted: (() => void) | undefined;
  #closed = false;

  /**
   * @param wakeFd An eventfd that ends the sleep of `turn`; -1 = none. It stays the caller's.
   * @param active Decides when to wait awake; default: never.
   * @param onWanted Called when something is deferred, or another turn is asked for, outside of one.
   * @throws {Error} when there is no libc to be used, or no file descriptor left.
   */
  constructor(nowMs: () => number, wakeFd = -1, active?: ActiveWait, onWanted?: () => void) {
    this.#active = active;
    this.#onWanted = onWanted;
    this.#libc = runtime.openLibc();
    this.#nowMs = nowMs;
    this.#wokeAtMs = nowMs();
    this.#wakeFd = wakeFd;
    this.#epoll = this.#libc.epollCreate(EPOLL_CLOEXEC);
    if (this.#epoll < 0) throw new Error(`epoll_create failed: errno ${this.#libc.errno()}`);
    if (wakeFd >= 0) this.watch(wakeFd, { onReady: () => this.#awake() }, EPOLLIN);
  }

  get libc(): Libc {
    return this.#libc;
  }

  /** The descriptor that can be read when one of the sockets has something. */
  get epollFd(): number {
    return this.#epoll;
  }

  /** When the latest turn woke: time for those who need none more exact. */
  get wokeAtMs(): number {
    return this.#wokeAtMs;
  }

  /**
   * Adds a descriptor: the socket is told when one of `events` happens.
   *
   * @returns the slot, to be given to `forget`.
   * @throws {Error} when the system or this loop can have no more.
   */
  watch(fd: number, socket: LoopSocket, events: number): number {
    const slot = this.#freeSlots.pop() ?? this.#sockets.length;
    if (slot >= SOCKETS_MAX) {
      throw new RangeError(`A loop must have at most ${SOCKETS_MAX} sockets`);
    }
    this.#sockets[slot] = socket;
    this.#generations[slot] ??= 0;
    const words = this.#controlWords;
    words[0] = events;
    words[EVENT_DATA_WORD] = slot;
    words[EVENT_DATA_WORD + 1] = this.#generations[slot];
    if (this.#libc.epollControl(this.#epoll, EPOLL_CTL_ADD, fd, this.#control) < 0) {
      this.#giveUp(slot);
      throw new Error(`epoll_ctl failed: errno ${this.#libc.errno()}`);
    }
    return slot;
  }

  /**
   * The socket hears no more, also not of what the kernel has told this turn already. The kernel
   * itself forgets a descriptor that is closed; for one that stays open give it as `fd`.
   */
  forget(slot: number, fd = -1): void {
    if (this.#closed) return;
    this.#giveUp(slot);
    if (fd < 0) return;
    this.#libc.epollControl(this.#epoll, EPOLL_CTL_DEL, fd, this.#control);
  }

  /** Calls `onReady(0)` of the socket in the next turn, whether forgotten or not. */
  again(socket: LoopSocket): void {
    this.#again.push(socket);
    if (!this.#turning) this.#onWanted?.();
  }

  /** Calls `action` at the end of this turn, or at the start of the next. It must not throw. */
  defer(action: () => void): void {
    this.#deferred.push(action);
    if (!this.#turning) this.#onWanted?.();
  }

  /**
   * Calls `action` whenever something was deferred or handled, behind all of it and before the next
   * sleep. @returns what ends that.
   */
  onEnding(action: () => void): () => void {
    this.#endings.push(action);
    return () => void (this.#endings = this.#endings.filter((one) => one !== action));
  }

  /**
   * Waits up to `timeoutMs` (-1 = without end, 0 = not at all), then gives each socket that is ready
   * its turn.
   *
   * @returns how much was handled.
   * @throws {Error} after {@linkcode FAULTS_MAX} failures in a row.
   */
  turn(timeoutMs: number): number {
    this.#turning = true;
    try {
      return this.#turn(timeoutMs);
    } finally {
      this.#turning = false;
    }
  }

  /** True within a call of `turn`. */
  get turning(): boolean {
    return this.#turning;
  }

  /** True when another turn is wanted at once. */
  get hasMore(): boolean {
    return this.#deferred.length > 0 || this.#again.length > 0;
  }

  #turn(timeoutMs: number): number {
    const libc = this.#libc;
    if (this.#deferred.length > 0) {
      this.#wokeAtMs = this.#nowMs();
      this.#runDeferred();
    }
    const again = this.#again;
    const waitMs = again.length > 0 || this.#deferred.length > 0 ? 0 : timeoutMs;
    const active = waitMs === 0 ? undefined : this.#active;
    const fromMs = active === undefined ? 0 : this.#nowMs();
    if (active !== undefined && active.limitMs > 0) {
      const handled = this.#waitAwake(active, fromMs);
      if (handled >= 0) return handled;
    }
    const ready = libc.epollWait(this.#epoll, this.#events, EVENTS_MAX, waitMs);
    if (ready < 0) {
      const code = libc.errno();
      if (code !== EINTR) this.countFault("epoll_wait", code);
      return 0;
    }
    const nowMs = this.#nowMs();
    this.#wokeAtMs = nowMs;
    const handled = this.#handle(again, ready, nowMs);
    active?.slept(nowMs - fromMs, handled);
    return handled;
  }

  /** Looks again and again for as long as it may. @returns how much was handled; -1: nothing came. */
  #waitAwake(active: ActiveWait, fromMs: number): number {
    const { limitMs } = active;
    let nowMs = fromMs;
    for (;;) {
      this.#wokeAtMs = nowMs;
      // Counted over all waits: one socket that has ever something keeps no other from its turn.
      const atAll = ++this.#looks % LOOKS_AT_ALL === 0;
      const handled = atAll ? this.#lookAtAll(nowMs) : this.#lookAhead(nowMs);
      if (handled >= 0) {
        active.found(nowMs - fromMs, handled);
        return handled;
      }
      nowMs = this.#nowMs();
      if (nowMs - fromMs < limitMs) continue;
      active.missed(nowMs - fromMs);
      return -1;
    }
  }

  #lookAtAll(nowMs: number): number {
    const ready = this.#libc.epollWait(this.#epoll, this.#events, EVENTS_MAX, 0);
    return ready > 0 ? this.#handle([], ready, nowMs) : -1;
  }

  /**
   * At the socket whose turn it will be, again and again: to ask which one has something costs as much
   * as to receive it. A caller that goes round its modules comes to the ports of an agent in an order.
   */
  #lookAhead(nowMs: number): number {
    if (this.#foreseen < FORESEEN_MIN) return this.#lookAtAll(nowMs);
    const slot = this.#followers[this.#followerOf()];
    const socket = this.#sockets[slot];
    if (socket?.onLook === undefined) return this.#lookAtAll(nowMs);
    const handled = socket.onLook(nowMs);
    if (handled === 0) return -1;
    this.#noteLatest(slot);
    this.#runDeferred();
    return handled;
  }

  #handle(again: readonly LoopSocket[], ready: number, nowMs: number): number {
    let handled = 0;
    if (again.length > 0) {
      this.#again = [];
      for (const socket of again) handled += socket.onReady(0, nowMs);
    }
    const words = this.#eventWords;
    for (let i = 0; i < ready; i++) {
      const word = i * EVENT_WORDS;
      const slot = words[word + EVENT_DATA_WORD];
      // A socket closed earlier in this turn may have left its slot to another one.
      if (this.#generations[slot] !== words[word + EVENT_DATA_WORD + 1]) continue;
      const socket = this.#sockets[slot];
      const done = socket?.onReady(words[word], nowMs) ?? 0;
      if (done > 0) this.#noteLatest(slot);
      handled += done;
    }
    this.#runDeferred();
    if (handled > 0) this.#faults = 0;
    return handled;
  }

  /** Counts a failure that says nothing about the next call. @throws {Error} when too many. */
  countFault(what: string, code: number): void {
    if (++this.#faults < FAULTS_MAX) return;
    throw new Error(`Batch loop is given up: ${what} failed ${FAULTS_MAX} times, errno ${code}`);
  }

  /** Frees what the loop holds; its sockets must be closed before. Harmless when repeated. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#libc.close(this.#epoll);
    releaseBytes(this.#events);
  }

  /** Only what is there already: what these actions defer comes after the kernel was asked again. */
  #runDeferred(): void {
    const deferred = this.#deferred;
    if (deferred.length > 0) {
      this.#deferred = [];
      for (const action of deferred) action();
    }
    for (const action of this.#endings) action();
  }

  #noteLatest(slot: number): void {
    const place = this.#followerOf();
    this.#foreseen = this.#followers[place] === slot ? this.#foreseen + 1 : 0;
    this.#followers[place] = slot;
    this.#before = this.#latest;
    this.#latest = slot;
  }

  /** Where it is kept what follows on the latest two. */
  #followerOf(): number {
    return (this.#before * 7 + this.#latest) % FOLLOWERS;
  }

  #giveUp(slot: number): void {
    this.#sockets[slot] = undefined;
    this.#generations[slot] = (this.#generations[slot] + 1) | 0;
    this.#freeSlots.push(slot);
  }

  #awake(): number {
    this.#libc.read(this.#wakeFd, this.#wakeBytes, 8);
    return 0;
  }
}

/**
 * Serves a loop on this thread, with timers, for as long as `goesOn` says so; it is asked before each
 * sleep. Nothing else runs on the thread meanwhile, no signal handler either. Before it sleeps, chains
 * of up to {@linkcode PROMISE_STEPS_MAX} promises come to their end; longer ones wait for a turn.
 */
export async function serveLoop(
  loop: BatchLoop,
  clock: LoopClock,
  goesOn: () => boolean,
): Promise<void> {
  for (;;) {
    clock.turn();
    for (let step = 0; step < PROMISE_STEPS_MAX; step++) await undefined;
    if (!goesOn()) return;
    loop.turn(clock.waitMs());
  }
}

/** Something by which another thread ends the sleep of a loop. */
export class WakeUp {
  readonly fd: number;
  readonly #libc: Libc;
  readonly #one = new Uint8Array(BigUint64Array.of(1n).buffer);
  #closed = false;

  /**
   * @param fd The `fd` of one made by another thread; default: makes its own.
   * @throws {Error} when there is no libc to be used, or no file descriptor left.
   */
  constructor(fd = -1) {
    this.#libc = runtime.openLibc();
    // Not blocking: a counter that is full says already what there is to say.
    this.fd = fd >= 0 ? fd : this.#libc.eventFd(0, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (this.fd < 0) throw new Error(`eventfd failed: errno ${this.#libc.errno()}`);
  }

  /** Ends the present or the next sleep. Does nothing once closed. */
  wake(): void {
    if (!this.#closed) this.#libc.write(this.fd, this.#one, 8);
  }

  /**
   * Call it when no loop uses it any more. Harmless when repeated: by then the number may belong to
   * a descriptor of somebody else in this process.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#libc.close(this.fd);
  }
}
