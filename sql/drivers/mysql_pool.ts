// Shell. A few connections to the first host that serves, and the way back to an earlier one of its cluster.

import { formatAddress } from "../../reactor/address.ts";
import type { Clock, Timer } from "../../reactor/time/clock.ts";
import { messageOf } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import { isForGood, StatementFault } from "./driver.ts";
import { furthest, type NodePosition } from "./galera_node.ts";
import { HostChoice } from "./host_choice.ts";
import { MysqlConnection } from "./mysql_connection.ts";
import type { MysqlUrl } from "./store_url.ts";

/** Calls waiting for a free connection; one more fails at once, transient. */
export const WAITING_CALLS_MAX = 1024;
/** An idle connection older than this is replaced: servers and firewalls may have dropped it. */
const IDLE_MAX_MS = 60_000;

/** What a {@linkcode MysqlPool} works with. */
export interface MysqlPoolOptions {
  readonly url: MysqlUrl;
  readonly connectTimeoutMs: number;
  /** Also the longest wait for a free connection. */
  readonly queryTimeoutMs: number;
  /** One more is made for a moment to look at a host that was away. */
  readonly connectionsMax: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A connection that is made, and how far its server is. */
interface Candidate {
  readonly index: number;
  readonly connection: MysqlConnection;
  readonly position: NodePosition;
}

/** A server that is no node of a cluster has all there is. */
const NO_CLUSTER: NodePosition = { lags: false, committed: 0n };

interface Waiter {
  readonly timer: Timer;
  /** Undefined when the waiter should connect for itself. */
  resolve(connection: MysqlConnection | undefined): void;
  reject(error: Error): void;
}

/**
 * Hands out connections. Written here because the library's own pool waits for a free connection
 * without end, and keeps one whose query timed out for as long as its peer is silent.
 */
export class MysqlPool {
  readonly #options: MysqlPoolOptions;
  readonly #idle: { connection: MysqlConnection; sinceMs: number }[] = [];
  readonly #used = new Set<MysqlConnection>();
  readonly #opening = new Set<MysqlConnection>();
  readonly #waiters: Waiter[] = [];
  /** Connections in use, idle or being made. */
  #count = 0;
  readonly #hosts: HostChoice;
  #isLookingBack = false;
  #closed = false;

  constructor(options: MysqlPoolOptions) {
    this.#options = options;
    this.#hosts = new HostChoice(options.url.hosts.length);
  }

  /** Connections in use, idle or being made. */
  get connectionCount(): number {
    return this.#count;
  }

  /**
   * A connection for the caller alone, to be given back with {@linkcode MysqlPool.release}.
   *
   * @throws {StatementFault} when none came free in time, or no host could be connected to.
   */
  async acquire(): Promise<MysqlConnection> {
    this.#checkOpen();
    this.#lookBack();
    const idle = this.#takeIdle();
    if (idle !== undefined) return idle;
    if (this.#count >= this.#options.connectionsMax) {
      const handed = await this.#wait();
      if (handed !== undefined) return handed;
    } else {
      this.#count++;
    }
    return await this.#connect();
  }

  /** Takes a connection back; a broken one is dropped and leaves room for a new one. */
  release(connection: MysqlConnection): void {
    if (!this.#used.delete(connection)) return;
    const { clock, url: { hosts } } = this.#options;
    if (connection.failedOver !== undefined && connection.host === hosts[this.#hosts.current]) {
      this.#hosts.leave(connection.failedOver === "behind", clock.nowMs());
      this.#dropIdle();
    }
    const isStale = connection.host !== hosts[this.#hosts.current];
    if (connection.broken || isStale || this.#closed) {
      connection.destroy();
      // What broke this one has most likely met the idle ones too.
      this.#dropIdle();
      this.#freePlace();
      return;
    }
    const waiter = this.#waiters.shift();
    if (waiter === undefined) {
      this.#idle.push({ connection, sinceMs: clock.nowMs() });
      return;
    }
    this.#used.add(connection);
    waiter.resolve(connection);
  }

  /** Ends every connection; statements under way and waiting calls fail. */
  close(): void {
    this.#closed = true;
    for (const { connection } of this.#idle.splice(0)) connection.destroy();
    for (const connection of [...this.#used, ...this.#opening]) {
      connection.destroy("the store was closed");
    }
    for (const waiter of this.#waiters.splice(0)) waiter.reject(closedFault());
  }

  #checkOpen(): void {
    if (this.#closed) throw closedFault();
  }

  #takeIdle(): MysqlConnection | undefined {
    const nowMs = this.#options.clock.nowMs();
    for (let entry = this.#idle.pop(); entry !== undefined; entry = this.#idle.pop()) {
      const { connection, sinceMs } = entry;
      if (!connection.broken && nowMs - sinceMs < IDLE_MAX_MS) {
        this.#used.add(connection);
        return connection;
      }
      connection.destroy();
      this.#count--;
    }
    return undefined;
  }

  #wait(): Promise<MysqlConnection | undefined> {
    const { queryTimeoutMs, clock } = this.#options;
    if (this.#waiters.length >= WAITING_CALLS_MAX) {
      throw new StatementFault(
        "transient",
        `${WAITING_CALLS_MAX} calls wait for a connection already`,
      );
    }
    return new Promise((resolve, reject) => {
      const timer = clock.setTimer(queryTimeoutMs, () => {
        this.#waiters.splice(this.#waiters.indexOf(waiter), 1);
        reject(
          new StatementFault("transient", `no connection came free within ${queryTimeoutMs} ms`),
        );
      });
      const waiter: Waiter = {
        timer,
        resolve(connection): void {
          timer.cancel();
          resolve(connection);
        },
        reject(error): void {
          timer.cancel();
          reject(error);
        },
      };
      this.#waiters.push(waiter);
    });
  }

  /** Gives the place of a dropped connection to whoever waits, or gives it up. */
  #freePlace(): void {
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#count--;
    else waiter.resolve(undefined);
  }

  /** Fills a place that is counted already; frees it again on failure. */
  async #connect(): Promise<MysqlConnection> {
    try {
      const connection = await this.#connectToAny();
      if (this.#closed) {
        connection.destroy();
        throw closedFault();
      }
      this.#used.add(connection);
      return connection;
    } catch (error) {
      this.#freePlace();
      throw error;
    }
  }

  /**
   * Tries the host that served last, then the others in the order of the url. One that lags behind its
   * cluster is taken only when no other serves that does not.
   */
  async #connectToAny(): Promise<MysqlConnection> {
    const faults: StatementFault[] = [];
    const behind: Candidate[] = [];
    try {
      for (const index of this.#hosts.order) {
        try {
          const candidate = await this.#tryHost(index);
          if (!candidate.position.lags) {
            this.#useHost(index);
            return candidate.connection;
          }
          this.#warnOf("Database host lags behind its cluster", index, "it is not synced");
          behind.push(candidate);
        } catch (error) {
          // Refused for good, as by a wrong password: another host would only hide the mistake.
          if (!(error instanceof StatementFault) || isForGood(error)) throw error;
          faults.push(error);
          this.#warnOf("Database host is away", index, messageOf(error));
        }
      }
      if (behind.length > 0) {
        const best = furthest(behind);
        behind.splice(behind.indexOf(best), 1);
        this.#useHost(best.index);
        return best.connection;
      }
    } finally {
      for (const { connection } of behind) connection.destroy();
    }
    throw new StatementFault("transient", faults.map(messageOf).join("; "), {
      cause: faults[0]?.cause ?? faults[0],
    });
  }

  /** @throws {StatementFault} when the host cannot be connected to, or cannot serve. */
  async #tryHost(index: number): Promise<Candidate> {
    this.#checkOpen();
    const { hosts } = this.#options.url;
    const connection = new MysqlConnection({ ...this.#options, host: hosts[index] });
    this.#opening.add(connection);
    try {
      await connection.open();
      // Where there is no choice nothing depends on the answer.
      const position = hosts.length > 1 ? await connection.position() : undefined;
      return { index, connection, position: position ?? NO_CLUSTER };
    } catch (error) {
      connection.destroy();
      throw error;
    } finally {
      this.#opening.delete(connection);
    }
  }

  #warnOf(what: string, index: number, reason: string): void {
    const { url: { hosts }, log } = this.#options;
    if (hosts.length > 1) log.warn(what, { host: formatAddress(hosts[index]), reason });
  }

  #useHost(index: number): void {
    if (this.#hosts.use(index)) this.#dropIdle();
  }

  /**
   * Looks, now and then, whether an earlier host of the url can serve again; no call waits for that.
   * Only nodes of one cluster are gone back to: a server that was left and is none may be the old
   * primary of the one that serves now, and lack what was written since.
   */
  #lookBack(): void {
    if (this.#isLookingBack) return;
    const indexes = this.#hosts.toLookAt(this.#options.clock.nowMs());
    if (indexes.length === 0) return;
    this.#isLookingBack = true;
    void this.#returnToFirst(indexes).finally(() => (this.#isLookingBack = false));
  }

  async #returnToFirst(indexes: readonly number[]): Promise<void> {
    const { url: { hosts }, log } = this.#options;
    for (const index of indexes) {
      const host = formatAddress(hosts[index]);
      try {
        if (!await this.#isNodeThatServes(index)) continue;
        this.#useHost(index);
        log.info("Database host serves again", { host });
        return;
      } catch (error) {
        log.debug("Database host is still away", { host, reason: messageOf(error) });
      }
    }
  }

  /** @throws {StatementFault} as {@linkcode MysqlPool.acquire}. */
  async #isNodeThatServes(index: number): Promise<boolean> {
    const { connection, position } = await this.#tryHost(index);
    this.#opening.add(connection);
    try {
      return position !== NO_CLUSTER && !position.lags && !await connection.isReadOnly();
    } finally {
      this.#opening.delete(connection);
      connection.destroy();
    }
  }

  #dropIdle(): void {
    for (const { connection } of this.#idle.splice(0)) {
      connection.destroy();
      this.#count--;
    }
  }
}

function closedFault(): StatementFault {
  return new StatementFault("permanent", "the store is closed");
}
