// Shell. A foreign program: speaks the wire from its published table alone, with no code of ours.

import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createConnection, createServer, type Server, type Socket } from "node:net";

/** Ids of the original messages, as the wire table gives them. */
export const Id = {
  GetRouteRequest: 1,
  GetRouteResponse: 2,
  ReportStatusRequest: 3,
  GetHostRequest: 4,
  GetHostResponse: 5,
  ReportRequest: 6,
  ApiGetRouteRequest: 7,
  ApiGetRouteResponse: 8,
} as const;

/** First id that is not of the original protocol. */
export const EXTENSION_ID_MIN = 64;
/** First field number inside an original message that is not of the original protocol. */
export const EXTENSION_FIELD_MIN = 16;
/** Longest TCP body that the wire table allows. */
export const BODY_BYTES_MAX = 65_527;
/** How long a wait lasts when the test names no other time; generous, machines are busy. */
const WAIT_TIMEOUT_MS = 8000;

/** A frame as it came: id and body. */
export interface WireFrame {
  readonly msgId: number;
  readonly body: Uint8Array;
  /** Milliseconds on the monotonic clock when the last byte of it came. */
  readonly atMs: number;
}

/** One field of a protobuf message: a number for a varint, bytes for anything with a length. */
export interface WireField {
  readonly number: number;
  readonly value: bigint | Uint8Array;
}

/** A node as the wire has it; `ip` here is the unsigned number that SQL shows. */
export interface WireHost {
  readonly ip: number;
  readonly port: number;
}

/** A module; ids are unsigned here, as SQL shows them. */
export interface WireModule {
  readonly modId: number;
  readonly cmdId: number;
}

/** A decoded route; `fields` are the numbers of all fields met, in it and in its hosts. */
export interface WireRoute extends WireModule {
  readonly hosts: readonly WireHost[];
  readonly fields: ReadonlySet<number>;
}

/** A decoded answer to GetHost. */
export interface WireHostAnswer extends WireModule {
  readonly seq: number;
  readonly retCode: number;
  readonly host: WireHost | undefined;
  readonly fields: ReadonlySet<number>;
}

/** Milliseconds on the monotonic clock. */
export function monotonicMs(): number {
  return performance.now();
}

/** Number of an IPv4 address: 192.168.1.177 is 3232235953. */
export function ipNumber(text: string): number {
  return text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
}

// ---- protobuf, written by hand

/** Appends a varint; negative numbers take ten bytes, as int32 does. */
export function varint(value: number | bigint): number[] {
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return bytes;
}

/** A varint field of type int32; zero is left out, as proto3 does. */
export function int32Field(number: number, value: number): number[] {
  return (value | 0) === 0 ? [] : [...varint(number << 3), ...varint(value | 0)];
}

/** A varint field of type uint32; zero is left out. */
export function uint32Field(number: number, value: number): number[] {
  return value === 0 ? [] : [...varint(number << 3), ...varint(value >>> 0)];
}

/** A field with a length: a string, bytes, or a message inside a message. */
export function bytesField(number: number, value: ArrayLike<number>): number[] {
  return [...varint((number << 3) | 2), ...varint(value.length), ...Array.from(value)];
}

/**
 * Takes a message apart.
 *
 * @throws {Error} when the bytes are no protobuf.
 */
export function readFields(body: Uint8Array): WireField[] {
  const fields: WireField[] = [];
  let at = 0;
  const readVarint = (): bigint => {
    let value = 0n;
    for (let shift = 0n;; shift += 7n) {
      if (at >= body.length || shift > 63n) throw new Error("broken varint");
      const byte = body[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < body.length) {
    const tag = Number(readVarint());
    if ((tag & 7) === 0) {
      fields.push({ number: tag >>> 3, value: readVarint() });
    } else if ((tag & 7) === 2) {
      const length = Number(readVarint());
      if (at + length > body.length) throw new Error("length beyond the message");
      fields.push({ number: tag >>> 3, value: body.subarray(at, at + length) });
      at += length;
    } else {
      throw new Error(`wire type ${tag & 7} is not in the table`);
    }
  }
  return fields;
}

function numberOf(fields: readonly WireField[], number: number): number {
  const value = fields.find((field) => field.number === number)?.value;
  return typeof value === "bigint" ? Number(BigInt.asUintN(32, value)) : 0;
}

function messagesOf(fields: readonly WireField[], number: number): WireField[][] {
  return fields.flatMap((field) =>
    field.number === number && typeof field.value !== "bigint" ? [readFields(field.value)] : []
  );
}

function hostOf(fields: readonly WireField[]): WireHost {
  return { ip: numberOf(fields, 1), port: numberOf(fields, 2) };
}

function numbersOf(...lists: readonly WireField[][]): Set<number> {
  return new Set(lists.flat().map((field) => field.number));
}

// ---- the messages of the table

/** Body of a message that begins with the numbers of a module, as field `first` and the next. */
function moduleBody(
  [modId, cmdId]: readonly [number, number],
  rest: readonly number[] = [],
  first = 1,
): number[] {
  return [...int32Field(first, modId), ...int32Field(first + 1, cmdId), ...rest];
}

function hostField(number: number, { ip, port }: WireHost, rest: readonly number[] = []): number[] {
  return bytesField(number, [...int32Field(1, ip), ...int32Field(2, port), ...rest]);
}

/** Body of messages 1 and 7. */
export function getRouteRequest(modId: number, cmdId: number): Uint8Array {
  return Uint8Array.from(moduleBody([modId, cmdId]));
}

/** Body of message 4. */
export function getHostRequest(seq: number, modId: number, cmdId: number): Uint8Array {
  return Uint8Array.from([...uint32Field(1, seq), ...moduleBody([modId, cmdId], [], 2)]);
}

/** Body of message 6. */
export function reportRequest(
  modId: number,
  cmdId: number,
  host: WireHost,
  retCode: number,
): Uint8Array {
  const rest = [...hostField(3, host), ...int32Field(4, retCode)];
  return Uint8Array.from(moduleBody([modId, cmdId], rest));
}

/** Results of one node in message 3. */
export interface WireCallResult extends WireHost {
  readonly succ: number;
  readonly err: number;
  readonly overload: boolean;
}

/** Body of message 3. */
export function reportStatusRequest(
  modId: number,
  cmdId: number,
  caller: number,
  results: readonly WireCallResult[],
  ts: number,
): Uint8Array {
  const fields = results.flatMap((result) =>
    hostField(4, result, [
      ...uint32Field(3, result.succ),
      ...uint32Field(4, result.err),
      ...uint32Field(5, result.overload ? 1 : 0),
    ])
  );
  const rest = [...int32Field(3, caller), ...fields, ...uint32Field(5, ts)];
  return Uint8Array.from(moduleBody([modId, cmdId], rest));
}

/** Body of messages 2 and 8. */
export function getRouteResponse(
  modId: number,
  cmdId: number,
  hosts: readonly WireHost[],
): Uint8Array {
  const rest = hosts.flatMap((host) => hostField(3, host));
  return Uint8Array.from(moduleBody([modId, cmdId], rest));
}

function moduleOf(fields: readonly WireField[], first = 1): WireModule {
  return { modId: numberOf(fields, first), cmdId: numberOf(fields, first + 1) };
}

/** Body of message 1, taken apart. */
export function readModule(body: Uint8Array): WireModule {
  return moduleOf(readFields(body));
}

/** A decoded report of message 3. */
export interface WireStatus extends WireModule {
  readonly caller: number;
  readonly results: readonly WireCallResult[];
  readonly ts: number;
  readonly fields: ReadonlySet<number>;
}

/** Body of message 3, taken apart. */
export function readStatus(body: Uint8Array): WireStatus {
  const fields = readFields(body);
  const results = messagesOf(fields, 4);
  return {
    ...moduleOf(fields),
    caller: numberOf(fields, 3),
    ts: numberOf(fields, 5),
    results: results.map((result) => ({
      ...hostOf(result),
      succ: numberOf(result, 3),
      err: numberOf(result, 4),
      overload: numberOf(result, 5) === 1,
    })),
    fields: numbersOf(fields, ...results),
  };
}

/** Body of messages 2 and 8, taken apart. */
export function readRoute(body: Uint8Array): WireRoute {
  const fields = readFields(body);
  const hosts = messagesOf(fields, 3);
  return {
    ...moduleOf(fields),
    hosts: hosts.map(hostOf),
    fields: numbersOf(fields, ...hosts),
  };
}

/** Body of message 5, taken apart. */
export function readHostAnswer(body: Uint8Array): WireHostAnswer {
  const fields = readFields(body);
  const hosts = messagesOf(fields, 5);
  return {
    seq: numberOf(fields, 1),
    ...moduleOf(fields, 2),
    retCode: numberOf(fields, 4),
    host: hosts.length === 0 ? undefined : hostOf(hosts[0]),
    fields: numbersOf(fields, ...hosts),
  };
}

/** Head and body: the bytes of one frame or datagram. The head can be made to lie about the length. */
export function frameBytes(msgId: number, body: Uint8Array, length = body.length): Uint8Array {
  const bytes = new Uint8Array(8 + body.length);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, msgId, true);
  view.setInt32(4, length, true);
  bytes.set(body, 8);
  return bytes;
}

/** Which of the agent's ports serves a module: (modid + cmdid) mod 3 of the signed numbers. */
export function agentPortOffset(modId: number, cmdId: number): number {
  return ((((modId | 0) + (cmdId | 0)) % 3) + 3) % 3;
}

// ---- TCP

type Waiter = () => void;

/** A TCP connection of a foreign program to dns or reporter. */
export class WireConnection {
  /** Every frame that came and was not yet taken. */
  readonly frames: WireFrame[] = [];
  /** Every message id that ever came on this connection. */
  readonly idsSeen = new Set<number>();
  readonly #socket: Socket;
  readonly #waiters = new Set<Waiter>();
  #pending = new Uint8Array(0);
  #ended = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => this.#take(chunk));
    socket.on("error", () => this.#end());
    socket.on("end", () => this.#end());
    socket.on("close", () => this.#end());
  }

  /** Takes over a socket that a server accepted. */
  static accept(socket: Socket): WireConnection {
    return new WireConnection(socket);
  }

  /** Connects to a port of this machine; rejects when it is refused. */
  static open(port: number, hostname = "127.0.0.1"): Promise<WireConnection> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ port, host: hostname });
      socket.setNoDelay(true);
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.removeListener("error", reject);
        resolve(new WireConnection(socket));
      });
    });
  }

  /** True when the other side has ended or broken the connection. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Sends one frame. */
  send(msgId: number, body: Uint8Array): void {
    this.sendRaw(frameBytes(msgId, body));
  }

  /** Sends bytes as they are, whether or not they are frames. */
  sendRaw(bytes: Uint8Array): void {
    if (!this.#ended) this.#socket.write(bytes);
  }

  /** Asks for a route, which also subscribes to it. */
  askRoute(modId: number, cmdId: number): void {
    this.send(Id.GetRouteRequest, getRouteRequest(modId, cmdId));
  }

  /** Takes the next frame that fits; the ones before it are dropped. */
  async next(
    accept: (frame: WireFrame) => boolean = () => true,
    timeoutMs = WAIT_TIMEOUT_MS,
  ): Promise<WireFrame> {
    const endMs = monotonicMs() + timeoutMs;
    for (;;) {
      while (this.frames.length > 0) {
        const frame = this.frames.shift();
        if (frame !== undefined && accept(frame)) return frame;
      }
      if (this.#ended) throw new Error("The connection ended while a frame was waited for");
      await this.#change(endMs, "no frame came");
    }
  }

  /** Waits for a route of a module that fits, as an answer or as a push. */
  async nextRoute(
    modId: number,
    cmdId: number,
    accept: (route: WireRoute) => boolean = () => true,
    timeoutMs = WAIT_TIMEOUT_MS,
  ): Promise<WireRoute & { atMs: number }> {
    const frame = await this.next((candidate) => {
      if (candidate.msgId !== Id.GetRouteResponse) return false;
      const route = readRoute(candidate.body);
      return route.modId === modId && route.cmdId === cmdId && accept(route);
    }, timeoutMs);
    return { ...readRoute(frame.body), atMs: frame.atMs };
  }

  /** Asks for a route and takes the answer. */
  async route(modId: number, cmdId: number, timeoutMs?: number): Promise<WireRoute> {
    this.askRoute(modId, cmdId);
    return await this.nextRoute(modId, cmdId, undefined, timeoutMs);
  }

  /** Waits until the other side ends the connection. */
  async untilEnded(timeoutMs = WAIT_TIMEOUT_MS): Promise<void> {
    const endMs = monotonicMs() + timeoutMs;
    while (!this.#ended) await this.#change(endMs, "the connection was not ended");
  }

  /** Stops reading: the peer's output piles up. */
  pause(): void {
    this.#socket.pause();
  }

  /** Reads again after {@linkcode WireConnection.pause}. */
  resume(): void {
    this.#socket.resume();
  }

  /** Ends the connection in order (FIN). */
  close(): void {
    this.#socket.destroy();
    this.#end();
  }

  /** Breaks the connection (RST). */
  reset(): void {
    this.#socket.resetAndDestroy();
    this.#end();
  }

  #change(endMs: number, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(wake);
        reject(new Error(`Waited in vain: ${what}`));
      }, Math.max(0, endMs - monotonicMs()));
      const wake = (): void => {
        clearTimeout(timer);
        this.#waiters.delete(wake);
        resolve();
      };
      this.#waiters.add(wake);
    });
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) waiter();
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }

  #take(chunk: Uint8Array): void {
    const bytes = new Uint8Array(this.#pending.length + chunk.length);
    bytes.set(this.#pending);
    bytes.set(chunk, this.#pending.length);
    let at = 0;
    while (bytes.length - at >= 8) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + at);
      const length = view.getInt32(4, true);
      if (length < 0 || length > BODY_BYTES_MAX) {
        throw new Error(`Illegal frame of ${length} bytes`);
      }
      if (bytes.length - at < 8 + length) break;
      const msgId = view.getInt32(0, true);
      this.idsSeen.add(msgId);
      this.frames.push({ msgId, body: bytes.slice(at + 8, at + 8 + length), atMs: monotonicMs() });
      at += 8 + length;
    }
    this.#pending = bytes.slice(at);
    this.#wake();
  }
}

/** A TCP server of a foreign program: a dns or reporter of the original. */
export class WireServer {
  /** Every connection accepted so far. */
  readonly connections: WireConnection[] = [];
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Listens on a port of this machine, 0 for a free one. */
  static open(onConnection: (connection: WireConnection) => void, port = 0): Promise<WireServer> {
    return new Promise((resolve, reject) => {
      const server = createServer();
      const opened = new WireServer(server);
      server.on("connection", (socket) => {
        const connection = WireConnection.accept(socket);
        opened.connections.push(connection);
        onConnection(connection);
      });
      server.once("error", reject);
      server.listen(port, "127.0.0.1", () => resolve(opened));
    });
  }

  /** Port it listens on. */
  get port(): number {
    const address = this.#server.address();
    return address !== null && typeof address === "object" ? address.port : 0;
  }

  /** Stops listening and breaks every connection. */
  close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.connections) connection.close();
    return closed;
  }
}

// ---- UDP

/** A caller on its own UDP socket, as the original client library is one. */
export class WireCaller {
  /** Every message id that ever came to this socket. */
  readonly idsSeen = new Set<number>();
  readonly #socket: UdpSocket;
  readonly #agentPort: number;
  readonly #waiters = new Map<string, (frame: WireFrame) => void>();
  #seq = 0;

  private constructor(socket: UdpSocket, agentPort: number) {
    this.#socket = socket;
    this.#agentPort = agentPort;
    socket.on("message", (datagram: Uint8Array) => this.#take(datagram));
    socket.on("error", () => undefined); // ICMP of an agent that is away; seen as a missing answer
  }

  /** Opens a socket towards the agent whose first port is given. */
  static open(agentPort: number): Promise<WireCaller> {
    return new Promise((resolve, reject) => {
      const socket = createSocket("udp4");
      socket.once("error", reject);
      socket.bind(0, "127.0.0.1", () => resolve(new WireCaller(socket, agentPort)));
    });
  }

  /** Sends bytes as they are to one of the agent's ports. */
  sendRaw(bytes: Uint8Array, portOffset = 0): void {
    this.#socket.send(bytes, this.#agentPort + portOffset, "127.0.0.1", () => undefined);
  }

  /**
   * Asks for a node, without resending.
   *
   * @throws {Error} when no answer comes in time.
   */
  async getHost(modId: number, cmdId: number, timeoutMs = 3000): Promise<WireHostAnswer> {
    const seq = this.#seq = (this.#seq + 1) >>> 0;
    const frame = await this.#exchange(
      `host ${seq}`,
      frameBytes(Id.GetHostRequest, getHostRequest(seq, modId, cmdId)),
      agentPortOffset(modId, cmdId),
      timeoutMs,
    );
    return readHostAnswer(frame.body);
  }

  /** Asks for the whole route, without resending. */
  async getRoute(modId: number, cmdId: number, timeoutMs = 3000): Promise<WireRoute> {
    const frame = await this.#exchange(
      `route ${modId | 0} ${cmdId | 0}`,
      frameBytes(Id.ApiGetRouteRequest, getRouteRequest(modId, cmdId)),
      agentPortOffset(modId, cmdId),
      timeoutMs,
    );
    return readRoute(frame.body);
  }

  /** Reports the outcome of a call. */
  report(modId: number, cmdId: number, host: WireHost, retCode: number): void {
    this.sendRaw(
      frameBytes(Id.ReportRequest, reportRequest(modId, cmdId, host, retCode)),
      agentPortOffset(modId, cmdId),
    );
  }

  /** Asks again and again until a node comes; a module first asked for is not there at once. */
  async untilHost(modId: number, cmdId: number, timeoutMs = WAIT_TIMEOUT_MS): Promise<WireHost> {
    const endMs = monotonicMs() + timeoutMs;
    for (;;) {
      const answer = await this.getHost(modId, cmdId, 300).catch(() => undefined);
      if (answer?.retCode === 0 && answer.host !== undefined) return answer.host;
      if (monotonicMs() > endMs) {
        throw new Error(`No node of ${modId}/${cmdId}: last answer ${answer?.retCode ?? "none"}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** Closes the socket. */
  close(): void {
    this.#socket.close();
  }

  #exchange(
    key: string,
    datagram: Uint8Array,
    portOffset: number,
    timeoutMs: number,
  ): Promise<WireFrame> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiters.delete(key);
        reject(new Error(`No answer (${key}) in ${timeoutMs} ms`));
      }, timeoutMs);
      this.#waiters.set(key, (frame) => {
        clearTimeout(timer);
        this.#waiters.delete(key);
        resolve(frame);
      });
      this.sendRaw(datagram, portOffset);
    });
  }

  #take(datagram: Uint8Array): void {
    const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length);
    const msgId = view.getInt32(0, true);
    if (view.getInt32(4, true) !== datagram.length - 8) throw new Error("The head lies");
    this.idsSeen.add(msgId);
    const frame = { msgId, body: datagram.slice(8), atMs: monotonicMs() };
    if (msgId === Id.GetHostResponse) {
      this.#waiters.get(`host ${readHostAnswer(frame.body).seq}`)?.(frame);
    } else if (msgId === Id.ApiGetRouteResponse) {
      const { modId, cmdId } = readRoute(frame.body);
      this.#waiters.get(`route ${modId | 0} ${cmdId | 0}`)?.(frame);
    }
  }
}
