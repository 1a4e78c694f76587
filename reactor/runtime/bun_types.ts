// Core. The slice of Bun that this project uses, declared here so that no type package is needed.

/** A TCP socket of Bun. */
export interface BunSocket<Data> {
  data: Data;
  /** Number of the file descriptor. */
  readonly fd: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** How many bytes the kernel took; -1 when the socket is closed. */
  write(bytes: Uint8Array, offset: number, length: number): number;
  end(): void;
  shutdown(): void;
  terminate(): void;
  pause(): void;
  resume(): void;
  setNoDelay(on: boolean): boolean;
  setKeepAlive(on: boolean, initialDelayMs?: number): boolean;
}

/** Callbacks shared by all sockets of a listener. */
export interface BunSocketHandlers<Data> {
  /** Class of the chunks given to `data`; plain arrays are quicker to cut than Bun's Buffer. */
  readonly binaryType?: "uint8array" | "buffer" | "arraybuffer";
  open?(socket: BunSocket<Data>): void;
  data(socket: BunSocket<Data>, chunk: Uint8Array): void;
  drain?(socket: BunSocket<Data>): void;
  end?(socket: BunSocket<Data>): void;
  close?(socket: BunSocket<Data>, error?: Error): void;
  error?(socket: BunSocket<Data>, error: Error): void;
  connectError?(socket: BunSocket<Data>, error: Error): void;
}

/** A listening socket of Bun. */
export interface BunListener {
  readonly port: number;
  stop(closeActive?: boolean): void;
}

/** A UDP socket of Bun. */
export interface BunUdpSocket {
  readonly port: number;
  send(bytes: Uint8Array, port: number, address: string): boolean;
  close(): void;
}

/** The global object. */
export interface BunGlobal {
  readonly version: string;
  readonly main: string;
  listen<Data>(options: {
    hostname: string;
    port: number;
    reusePort?: boolean;
    allowHalfOpen?: boolean;
    data?: Data;
    socket: BunSocketHandlers<Data>;
  }): BunListener;
  connect<Data>(options: {
    hostname: string;
    port: number;
    allowHalfOpen?: boolean;
    data?: Data;
    socket: BunSocketHandlers<Data>;
  }): Promise<BunSocket<Data>>;
  udpSocket(options: {
    hostname: string;
    port: number;
    binaryType?: "uint8array" | "buffer" | "arraybuffer";
    socket: {
      data(socket: BunUdpSocket, bytes: Uint8Array, port: number, address: string): void;
      error(error: Error): void;
      drain?(socket: BunUdpSocket): void;
    };
  }): Promise<BunUdpSocket>;
}

/** What a native function takes: numbers, and memory by its address. */
export type BunNative = (...values: (number | Uint8Array | null)[]) => number;

/** Native code as Bun's `bun:ffi` module offers it. */
export interface BunFfi {
  dlopen<Name extends string>(
    library: string,
    symbols: Record<Name, { args: readonly string[]; returns: string }>,
  ): { symbols: Record<Name, BunNative> };
  ptr(bytes: Uint8Array): number;
  toArrayBuffer(address: number, offset: number, length: number): ArrayBuffer;
  readonly read: { i32(address: number): number };
}
