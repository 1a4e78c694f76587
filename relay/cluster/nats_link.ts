// Shell. Other relays through a NATS server: its subjects for what may be lost, a stream for what must not.

import {
  type ConsumerMessages,
  DeliverPolicy,
  DiscardPolicy,
  jetstream,
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  type JsMsg,
  RetentionPolicy,
  StorageType,
  type StreamInfo,
} from "@nats-io/jetstream";
import { connect, type ConnectionOptions, type NatsConnection } from "@nats-io/transport-node";
import { messageOf, StoreError } from "../../reactor/errors.ts";
import type { LogFields, Logger } from "../../reactor/log.ts";
import { type Clock, sleep } from "../../reactor/time/clock.ts";
import { natsSyncOf } from "./nats_monitor.ts";
import {
  type LogFollower,
  LogFullError,
  type LogPosition,
  type LogSpan,
  type MailLog,
} from "./mail_log.ts";
import { RareWarnings } from "./rare_warnings.ts";
import type { RelayBus } from "./relay_bus.ts";
import { ReplicaWatch } from "./replica_watch.ts";

/** Entries that a server may send ahead: a long log is read in a thousandth of as many questions. */
const READ_AHEAD_MAX = 1_000;

/** Longest time for the server to answer, in milliseconds. */
const ANSWER_MS = 3_000;

/** A server that does not answer two of these in a row is left. */
const PING_MS = 2_000;

/** Pause before another try, to connect or to follow the stream. */
const NATS_RETRY_MS = 500;

/** Largest message that the server must take: a message of 65,000 bytes with what belongs to it. */
const PAYLOAD_BYTES_MIN = 1024 * 1024;

/** No room: in the stream, in the account, on the server. */
const NO_ROOM: readonly number[] = [10077, 10122, 10023, 10028, 10047];
const STREAM_NOT_FOUND = 10059;
/** The message is gone already: behind the end, before the beginning, in the middle. */
const NO_MESSAGE: readonly number[] = [10037, 10057, 10043];

/** How a server is reached. */
export interface NatsLinkOptions {
  /** `nats://host:port`, or `tls://host:port`: with one of these only over TLS, to all of them. */
  readonly servers: readonly string[];
  /** Token, or `user:password`; undefined: none. */
  readonly secret: string | undefined;
  /** File with the certificate of the authority that the servers' certificates are by. */
  readonly caFile: string | undefined;
  /** What all subjects and the stream begin with. */
  readonly prefix: string;
  /** Messages are kept there. */
  readonly isStore: boolean;
  /** Servers that keep each message. */
  readonly replicas: number;
  /** Monitoring of the servers, `http://host:8222`: asked how they write to disk. */
  readonly monitors: readonly string[];
  readonly clock: Clock;
  readonly log: Logger;
}

/** One connection to the first server that answers; it comes back by itself, for ever. */
export class NatsLink implements RelayBus {
  readonly #options: NatsLinkOptions;
  readonly #subscriptions: { subject: string; onMessage: (body: Uint8Array) => void }[] = [];
  readonly #listeners: ((connected: boolean) => void)[] = [];
  readonly #warnings: RareWarnings;
  /** What was said last of each matter of the servers: it is so with every connection to them. */
  readonly #said = new Map<string, string>();
  #connection: NatsConnection | undefined;
  #connected = false;
  #closed = false;

  /** Begins to connect. */
  constructor(options: NatsLinkOptions) {
    this.#options = options;
    this.#warnings = new RareWarnings(options.clock, options.log);
    void this.#run();
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** The connection, while there is one. */
  get connection(): NatsConnection | undefined {
    return this.#connected ? this.#connection : undefined;
  }

  publish(subject: string, body: Uint8Array): boolean {
    if (!this.#connected || this.#connection === undefined) return false;
    try {
      this.#connection.publish(`${this.#options.prefix}.${subject}`, body);
      return true;
    } catch (error) {
      // The server takes smaller messages only, or the connection ends just now.
      this.#warn("A message to other relays cannot be sent", error);
      return false;
    }
  }

  subscribe(subject: string, onMessage: (body: Uint8Array) => void): void {
    const subscription = { subject, onMessage };
    this.#subscriptions.push(subscription);
    if (this.#connection !== undefined) this.#subscribe(this.#connection, subscription);
  }

  onState(hear: (connected: boolean) => void): void {
    this.#listeners.push(hear);
  }

  /** Ends the connection once what was published has left. */
  async close(): Promise<void> {
    this.#closed = true;
    const connection = this.#connection;
    if (connection === undefined) return;
    if (this.#connected) {
      const { clock } = this.#options;
      await Promise.race([connection.flush().catch(() => undefined), sleep(clock, NATS_RETRY_MS)]);
    }
    this.#setConnected(false);
    await connection.close();
  }

  /** Connects anew whenever the library has given up. */
  async #run(): Promise<void> {
    const { clock } = this.#options;
    while (!this.#closed) {
      try {
        const connection = await connect(this.#connectionOptions());
        this.#connection = connection;
        if (this.#closed) return await connection.close();
        void this.#watch(connection);
        for (const one of this.#subscriptions) this.#subscribe(connection, one);
        this.#checkServer(connection);
        this.#setConnected(true);
        const error = await connection.closed();
        if (error !== undefined) this.#warn("The NATS server has ended the connection", error);
      } catch (error) {
        this.#warn("The NATS server cannot be reached", error);
      }
      this.#setConnected(false);
      this.#connection = undefined;
      if (!this.#closed) await sleep(clock, NATS_RETRY_MS);
    }
  }

  #connectionOptions(): ConnectionOptions {
    const { servers, secret, caFile } = this.#options;
    const wantsTls = caFile !== undefined || servers.some((url) => url.startsWith("tls://"));
    const colon = secret?.indexOf(":") ?? -1;
    const login = secret === undefined
      ? {}
      : colon < 0
      ? { token: secret }
      : { user: secret.slice(0, colon), pass: secret.slice(colon + 1) };
    return {
      ...{ servers: [...servers], name: "lars-relay", ...login },
      // The library does not look at the scheme: without `tls` it would do without, and tell its secret.
      ...wantsTls ? { tls: caFile === undefined ? {} : { caFile } } : {},
      ...{ timeout: ANSWER_MS, pingInterval: PING_MS, maxPingOut: 2 },
      // Its default gives up after 20 s, and then every subscription ends without a word.
      ...{ maxReconnectAttempts: -1, reconnectTimeWait: NATS_RETRY_MS },
      ignoreAuthErrorAbort: true,
    };
  }

  #checkServer({ info }: NatsConnection): void {
    const { log, isStore } = this.#options;
    const { max_payload: maxPayload = Infinity } = info ?? {};
    const [major, minor] = (info?.version ?? "0.0").split(".").map(Number);
    log.info("Connected to a NATS server", {
      version: info?.version ?? "",
      server: info?.server_name ?? "",
    });
    if (maxPayload < PAYLOAD_BYTES_MIN) {
      const what = "The NATS server must take messages of 1 MiB: set its max_payload";
      this.#say("payload", "warn", what, { maxPayload });
    } else {
      this.#said.delete("payload");
    }
    if (!isStore) return;
    if (major > 2 || (major === 2 && minor >= 10)) return void this.#checkSync();
    const what =
      "This NATS server writes to disk every two minutes and cannot be told otherwise: messages " +
      "that were acknowledged are lost when the power fails. From 2.10 on set sync_interval: always";
    this.#say("version", "warn", what, { version: info?.version ?? "" });
  }

  /** Says of each server whether what it acknowledges survives a loss of power. Never fails. */
  async #checkSync(): Promise<void> {
    const { monitors } = this.#options;
    if (monitors.length === 0) {
      const what =
        "Whether messages that are acknowledged survive a loss of power is not known: NATS servers " +
        "need sync_interval: always, and tell it only where [relay] nats_monitor says";
      this.#say("monitors", "warn", what, {});
    }
    for (const { monitor, isAlways, text } of await Promise.all(monitors.map(natsSyncOf))) {
      const what = isAlways === true
        ? "A NATS server syncs each message to disk"
        : isAlways === undefined
        ? "Whether a NATS server syncs each message to disk is not known"
        : "A NATS server acknowledges messages before they are on disk, and loses them when the " +
          "power fails: set sync_interval: always in its jetstream";
      this.#say(monitor, isAlways === true ? "info" : "warn", what, { monitor, writes: text });
    }
  }

  /** Says how it is with a matter of the servers, where that is not what was said of it last. */
  #say(matter: string, level: "info" | "warn", what: string, fields: LogFields): void {
    const text = `${what} ${JSON.stringify(fields)}`;
    if (this.#said.get(matter) === text) return;
    this.#said.set(matter, text);
    this.#options.log[level](what, fields);
  }

  async #watch(connection: NatsConnection): Promise<void> {
    for await (const { type } of connection.status()) {
      if (this.#connection !== connection) return;
      if (type === "disconnect") this.#setConnected(false);
      if (type !== "reconnect") continue;
      // It may be another one of the servers.
      this.#checkServer(connection);
      this.#setConnected(true);
    }
  }

  #subscribe(
    connection: NatsConnection,
    { subject, onMessage }: { subject: string; onMessage: (body: Uint8Array) => void },
  ): void {
    connection.subscribe(`${this.#options.prefix}.${subject}`, {
      callback: (error, message) => {
        if (error === null) onMessage(message.data);
        else this.#warn(`Subject ${subject} cannot be heard`, error);
      },
    });
  }

  #setConnected(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    if (connected) this.#warnings.clear();
    for (const hear of this.#listeners) hear(connected);
  }

  #warn(what: string, error: unknown): void {
    if (!this.#closed) this.#warnings.warn(what, error);
  }
}

/** A stream of the server as the log that relays share. */
export class NatsMailLog implements MailLog {
  readonly #link: NatsLink;
  readonly #options: NatsLinkOptions;
  readonly #stream: string;
  readonly #warnings: RareWarnings;
  readonly #replicas: ReplicaWatch;
  #manager: { readonly of: NatsConnection; readonly jsm: JetStreamManager } | undefined;

  constructor(link: NatsLink, options: NatsLinkOptions) {
    this.#link = link;
    this.#options = options;
    this.#stream = `${options.prefix}_mail`;
    this.#warnings = new RareWarnings(options.clock, options.log);
    this.#replicas = new ReplicaWatch(options.clock, options.log);
  }

  async span(): Promise<LogSpan> {
    const { state, created } = await this.#openStream();
    return { epoch: Date.parse(created), last: state.messages === 0 ? 0 : state.last_seq };
  }

  // Not with an expected sequence: servers of 2.9 that check one give entries other numbers on other
  // replicas once their leader has changed.
  async append(name: string, body: Uint8Array): Promise<number> {
    const connection = this.#connection();
    try {
      const { seq } = await jetstream(connection).publish(this.#subjectOf(name), body, {
        timeout: ANSWER_MS,
        expect: { streamName: this.#stream },
      });
      return seq;
    } catch (error) {
      const code = error instanceof JetStreamApiError ? error.code : 0;
      if (NO_ROOM.includes(code)) throw new LogFullError(messageOf(error), { cause: error });
      throw this.#errorOf("could not be written", error);
    }
  }

  async lastOf(name: string): Promise<number> {
    const found = await this.#ask((jsm) =>
      jsm.streams.getMessage(this.#stream, { last_by_subj: this.#subjectOf(name) })
    );
    return found?.seq ?? 0;
  }

  async get(seq: number): Promise<Uint8Array | undefined> {
    const found = await this.#ask((jsm) => jsm.streams.getMessage(this.#stream, { seq }));
    return found?.data;
  }

  async remove(seq: number): Promise<void> {
    try {
      await this.#ask((jsm) => jsm.streams.deleteMessage(this.#stream, seq, false));
    } catch (error) {
      const { cause } = error as StoreError;
      if (cause instanceof JetStreamApiError && NO_MESSAGE.includes(cause.code)) return;
      throw error;
    }
  }

  follow({ epoch, after }: LogPosition, reader: LogFollower): () => void {
    const follower = new Follower(epoch, after, reader);
    void this.#follow(follower);
    return () => follower.end();
  }

  async #follow(follower: Follower): Promise<void> {
    const { clock } = this.#options;
    while (!follower.ended) {
      const connection = this.#link.connection;
      try {
        if (connection !== undefined) {
          const { created } = await this.#openStream();
          if (Date.parse(created) !== follower.epoch) return follower.endAnew();
          const consumer = await jetstream(connection).consumers.get(this.#stream, {
            deliver_policy: DeliverPolicy.StartSequence,
            opt_start_seq: follower.after + 1,
          });
          await follower.read((callback) =>
            consumer.consume({ callback, max_messages: READ_AHEAD_MAX })
          );
        }
      } catch (error) {
        this.#warnings.warn("The stream of messages cannot be followed", error);
      }
      if (!follower.ended) await sleep(clock, NATS_RETRY_MS);
    }
  }

  /** What the server says of the stream, which is made when there is none. */
  async #openStream(): Promise<StreamInfo> {
    const { prefix, replicas } = this.#options;
    try {
      const info = await this.#ask((jsm) => jsm.streams.info(this.#stream));
      this.#replicas.look(info.cluster?.replicas ?? []);
      const own = info.config.num_replicas;
      if (own !== replicas) {
        const what = "The stream of messages was made with other replicas than nats_replicas says";
        this.#warnings.warn(what, `it has ${own}, not ${replicas}`);
      }
      return info;
    } catch (error) {
      const { cause } = error as StoreError;
      if (!(cause instanceof JetStreamApiError) || cause.code !== STREAM_NOT_FOUND) throw error;
    }
    return await this.#ask((jsm) =>
      jsm.streams.add({
        name: this.#stream,
        subjects: [`${prefix}.mail.*`],
        storage: StorageType.File,
        retention: RetentionPolicy.Limits,
        discard: DiscardPolicy.New,
        num_replicas: replicas,
      })
    );
  }

  #subjectOf(name: string): string {
    // Names may hold what means something in a subject.
    const text = btoa(name).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
    return `${this.#options.prefix}.mail.${text}`;
  }

  #connection(): NatsConnection {
    const connection = this.#link.connection;
    if (connection === undefined) throw new StoreError("No NATS server can be reached", true);
    return connection;
  }

  async #ask<T>(ask: (jsm: JetStreamManager) => Promise<T>): Promise<T> {
    const connection = this.#connection();
    try {
      if (this.#manager?.of !== connection) {
        const jsm = await jetstreamManager(connection, { timeout: ANSWER_MS, checkAPI: false });
        this.#manager = { of: connection, jsm };
      }
      return await ask(this.#manager.jsm);
    } catch (error) {
      throw this.#errorOf("does not answer", error);
    }
  }

  #errorOf(what: string, error: unknown): StoreError {
    const message = `The stream ${this.#stream} ${what}: ${messageOf(error)}`;
    return new StoreError(message, true, { cause: error, inDoubt: true });
  }
}

/** One who reads the stream. */
class Follower {
  ended = false;
  #messages: ConsumerMessages | undefined;

  constructor(readonly epoch: number, public after: number, readonly reader: LogFollower) {}

  /** Until it ends, or the connection does. */
  async read(
    consume: (callback: (message: JsMsg) => void) => Promise<ConsumerMessages>,
  ): Promise<void> {
    const messages = await consume(({ seq, data }) => {
      if (this.ended) return;
      this.after = seq;
      this.reader.onEntry(seq, data);
    });
    this.#messages = messages;
    if (this.ended) messages.stop();
    const error = await messages.closed();
    if (error !== undefined) throw error;
  }

  end(): void {
    this.ended = true;
    this.#messages?.stop();
  }

  /** The stream is another one. */
  endAnew(): void {
    if (this.ended) return;
    this.end();
    this.reader.onAnew();
  }
}
