// Core. lars.proto as data: its messages with the names and rules of options.ts.

import protobuf from "protobufjs";
import { type FieldOptions, type MessageOptions, MESSAGES, NAMES } from "./options.ts";

const SCALARS = ["int32", "uint32", "uint64", "bool", "string", "bytes"] as const;

/** What a field holds. */
export type Kind = (typeof SCALARS)[number] | "message";

/** A field of a message. */
export interface SchemaField {
  readonly number: number;
  /** In lars.proto. */
  readonly wireName: string;
  /** In our types. */
  readonly name: string;
  readonly kind: Kind;
  /** The inner message when `kind` is message. */
  readonly type: string;
  readonly repeated: boolean;
  /** May be absent in our types. */
  readonly optional: boolean;
  /** Sentence for people; "" = none. */
  readonly comment: string;
  readonly options: FieldOptions;
}

/** A message. */
export interface Message {
  readonly name: string;
  readonly comment: string;
  /** By number. */
  readonly fields: readonly SchemaField[];
  /** True: it stands in other messages, never alone. */
  readonly isInner: boolean;
  readonly options: MessageOptions;
}

/** A sentence of a comment in lars.proto, which leaves capital and full stop away. */
function sentence(comment: string | null): string {
  const text = (comment ?? "").replace(/\s+/g, " ").trim();
  if (text === "") return "";
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

function camelCase(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function readField(message: protobuf.Type, field: protobuf.Field): SchemaField {
  const where = `${message.name}.${field.name}`;
  const options = MESSAGES[message.name]?.fields?.[field.name] ?? {};
  const kind = SCALARS.find((scalar) => scalar === field.type) ?? "message";
  if (kind === "message" && !(field.resolve().resolvedType instanceof protobuf.Type)) {
    throw new Error(`${where} must be ${SCALARS.join(", ")} or a message: it is ${field.type}`);
  }
  if (field.repeated && kind !== "message") {
    throw new Error(`${where} must not be repeated: of ${field.type} no list can be generated`);
  }
  const absentMessage = kind === "message" && !field.repeated && options.always === undefined;
  return {
    number: field.id,
    wireName: field.name,
    name: options.name ?? NAMES[field.name] ?? camelCase(field.name),
    kind,
    type: field.type,
    repeated: field.repeated,
    optional: field.partOf !== null || options.emptyIsAbsent === true || absentMessage,
    comment: sentence(field.comment),
    options,
  };
}

/** @throws {Error} when the options name what lars.proto does not have. */
function checkOptions(types: readonly protobuf.Type[]): void {
  for (const [name, { fields = {} }] of Object.entries(MESSAGES)) {
    const type = types.find((candidate) => candidate.name === name);
    if (type === undefined) throw new Error(`options.ts names ${name}: lars.proto has no such`);
    const unknown = Object.keys(fields).find((field) => !(field in type.fields));
    if (unknown !== undefined) {
      throw new Error(`options.ts names ${name}.${unknown}: lars.proto has no such`);
    }
  }
}

/** The text of lars.proto as protobufjs reads it. */
export function readTypes(source: string): protobuf.Type[] {
  const { root } = protobuf.parse(source, { keepCase: true, alternateCommentMode: true });
  root.resolveAll();
  const lars = root.lookup("lars");
  if (!(lars instanceof protobuf.Namespace)) throw new Error("lars.proto must have package lars");
  return lars.nestedArray.filter((one) => one instanceof protobuf.Type);
}

/**
 * The messages in the text of lars.proto, in its order.
 *
 * @throws {Error} when it is not right, or has what no code can be generated for.
 */
export function readSchema(source: string): Message[] {
  const types = readTypes(source);
  checkOptions(types);
  const inner = new Set(types.flatMap((type) => type.fieldsArray.map((field) => field.type)));
  return types.map((type) => ({
    name: type.name,
    comment: sentence(type.comment),
    fields: type.fieldsArray.map((field) => readField(type, field))
      .sort((a, b) => a.number - b.number),
    isInner: inner.has(type.name),
    options: MESSAGES[type.name] ?? {},
  }));
}
