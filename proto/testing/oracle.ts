// Core. The messages as protobufjs reads and writes them, for tests that hold codec.ts to it.

import protobuf from "protobufjs";
import { ProtocolError } from "../../reactor/errors.ts";
import { type Message, readSchema, readTypes, type SchemaField } from "../generate/schema.ts";
import { PICK_KEY_BYTES_MAX } from "../message_ids.ts";

type Fields = Record<string, unknown>;

/** What codec.ts exports as `encodeX` and `decodeX`. */
export interface OracleCodec {
  encode(message: unknown): Uint8Array;
  decode(body: Uint8Array): unknown;
}

/** The reader of protobufjs skips varints of any length; the format allows ten bytes. */
class StrictReader extends protobuf.Reader {
  override skip(length?: number): this {
    if (length !== undefined) return super.skip(length) as this;
    this.uint32();
    return this;
  }
}

/** Every message of lars.proto, by reflection. */
export class Oracle {
  readonly #types: ReadonlyMap<string, protobuf.Type>;
  readonly #messages: ReadonlyMap<string, Message>;

  /** @param source text of lars.proto */
  constructor(source: string) {
    this.#types = new Map(readTypes(source).map((type) => [type.name, type]));
    this.#messages = new Map(readSchema(source).map((message) => [message.name, message]));
  }

  /** @throws {Error} when there is no message of this name. */
  codec(name: string): OracleCodec {
    const message = this.#message(name);
    const type = this.#types.get(name) as protobuf.Type;
    return {
      encode: (value): Uint8Array => {
        const writer = new protobuf.Writer();
        return new Uint8Array(type.encode(this.#toWire(message, value as Fields), writer).finish());
      },
      decode: (body): unknown => {
        let wire: Fields;
        try {
          wire = type.decode(new StrictReader(body)) as unknown as Fields;
        } catch (error) {
          throw new ProtocolError(`${name} cannot be read: ${error}`, { cause: error });
        }
        return this.#fromWire(message, wire);
      },
    };
  }

  #message(name: string): Message {
    const message = this.#messages.get(name);
    if (message === undefined) throw new Error(`lars.proto has no message ${name}`);
    return message;
  }

  #toWire(message: Message, value: Fields): Fields {
    const wire: Fields = {};
    for (const field of message.fields) {
      const given = value[field.options.drainedOf ?? field.name];
      if (given === undefined) continue;
      if (field.kind !== "message") {
        wire[field.wireName] = given;
        continue;
      }
      const inner = this.#message(field.type);
      const isDrained = field.options.drainedOf !== undefined;
      wire[field.wireName] = field.repeated
        ? (given as Fields[]).filter(({ state }) => (state === "drain") === isDrained)
          .map((one) => this.#toWire(inner, one))
        : this.#toWire(inner, given as Fields);
    }
    return wire;
  }

  #fromWire(message: Message, wire: Fields): Fields {
    const value: Fields = {};
    for (const field of message.fields) {
      const read = wire[field.wireName];
      if (field.kind === "message") {
        this.#innerFromWire(field, read, value);
      } else if (field.options.emptyIsAbsent === true) {
        if (!isEmpty(read)) value[field.name] = scalarFromWire(message, field, read);
      } else if (!field.optional || Object.hasOwn(wire, field.wireName)) {
        value[field.name] = scalarFromWire(message, field, read);
      }
    }
    return value;
  }

  #innerFromWire(field: SchemaField, read: unknown, value: Fields): void {
    const inner = this.#message(field.type);
    if (!field.repeated) {
      // protobufjs makes null of a message that did not come.
      const given = read ?? (field.optional ? null : this.#types.get(field.type)?.create());
      if (given) value[field.name] = this.#fromWire(inner, given as Fields);
      return;
    }
    const list = (read as Fields[]).map((one) => this.#fromWire(inner, one));
    const { drainedOf } = field.options;
    if (drainedOf === undefined) value[field.name] = list;
    else {
      const drained = list.map((one): Fields => ({ ...one, state: "drain" }));
      value[drainedOf] = [...value[drainedOf] as Fields[], ...drained];
    }
  }
}

function isEmpty(value: unknown): boolean {
  return value === "" || value === false || (value as Uint8Array).length === 0;
}

function scalarFromWire(message: Message, field: SchemaField, wire: unknown): unknown {
  const where = `${message.name}.${field.wireName}`;
  switch (field.kind) {
    case "int32":
      return field.options.signed === true ? wire : Number(wire) >>> 0;
    case "uint64": {
      const number = Number(String(wire));
      if (Number.isSafeInteger(number)) return number;
      throw new ProtocolError(`${where} must be at most 2^53 - 1: current value is ${number}`);
    }
    case "bytes": {
      const bytes = new Uint8Array(wire as Uint8Array);
      if (field.options.bytesMax === undefined || bytes.length <= PICK_KEY_BYTES_MAX) return bytes;
      throw new ProtocolError(`${where} must be at most ${PICK_KEY_BYTES_MAX} bytes`);
    }
    default:
      return wire;
  }
}
