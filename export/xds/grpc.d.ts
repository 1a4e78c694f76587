// The part of the package @grpc/grpc-js that is used here. Its own types would bring those of Node.js
// with them, for the whole project.
import type { Buffer } from "node:buffer";
import type { Socket } from "node:net";

/** A stream in both directions, as the server has it. */
export interface ServerStream {
  write(message: Buffer): boolean;
  end(): void;
  /** Address of the other side, for people. */
  getPeer(): string;
  on(event: "data", listener: (message: Buffer) => void): this;
  on(event: "drain" | "end" | "cancelled", listener: () => void): this;
  on(event: "error", listener: (error: Error) => void): this;
  emit(event: "error", status: { readonly code: number; readonly details: string }): boolean;
}

export interface MethodDefinition {
  readonly path: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  requestSerialize(bytes: Buffer): Buffer;
  requestDeserialize(bytes: Buffer): Buffer;
  responseSerialize(bytes: Buffer): Buffer;
  responseDeserialize(bytes: Buffer): Buffer;
}

export declare class Server {
  addService(
    service: Readonly<Record<string, MethodDefinition>>,
    implementation: Readonly<Record<string, (stream: ServerStream) => void>>,
  ): void;
  /** Accepts connections itself: the plain server that ours is measured beside. */
  bindAsync(
    address: string,
    credentials: ServerCredentials,
    done: (error: Error | null, port: number) => void,
  ): void;
  /** For connections that somebody else has accepted. */
  createConnectionInjector(credentials: ServerCredentials): {
    injectConnection(connection: Socket): void;
  };
  tryShutdown(done: () => void): void;
  forceShutdown(): void;
}

export declare class ServerCredentials {
  static createInsecure(): ServerCredentials;
}

/** A stream in both directions, as the client has it. */
export interface ClientStream {
  write(message: Buffer): boolean;
  end(): void;
  cancel(): void;
  on(event: "data", listener: (message: Buffer) => void): this;
  on(event: "end", listener: () => void): this;
  on(event: "error", listener: (error: Error & { readonly code: number }) => void): this;
}

export declare class Client {
  constructor(
    address: string,
    credentials: ChannelCredentials,
    options?: Readonly<Record<string, string | number>>,
  );
  makeBidiStreamRequest(
    path: string,
    serialize: (bytes: Buffer) => Buffer,
    deserialize: (bytes: Buffer) => Buffer,
  ): ClientStream;
  close(): void;
}

export declare class ChannelCredentials {
  static createInsecure(): ChannelCredentials;
}

export declare const credentials: typeof ChannelCredentials;

export declare const status: {
  readonly INVALID_ARGUMENT: number;
  readonly RESOURCE_EXHAUSTED: number;
};
