// Core. The text of codec.ts, from the messages of lars.proto.

import { ALIASES } from "./options.ts";
import type { Message, SchemaField } from "./schema.ts";

const LINE_MAX = 100;

const HEADER =
  `// Core. Generated from lars.proto by \`deno task proto\`, do not edit: every message, \
its type, its bytes.
//
// \`encodeX\` gives the body of a message, \`frameX\` a datagram, head included, both in a buffer of
// their own. \`decodeX\` reads a body and gives a message or throws a ProtocolError, nothing else; what
// it gives refers to nothing of what it was lent. For the rules see README.md, for the names
// generate/options.ts.
`;

/** A comment for the documentation, wrapped. */
function doc(text: string, indent = ""): string {
  if (text === "") return "";
  if (indent.length + text.length + 7 <= LINE_MAX) return `${indent}/** ${text} */\n`;
  let line = `${indent} *`;
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    if (line.length + 1 + word.length > LINE_MAX) {
      lines.push(line);
      line = `${indent} *`;
    }
    line += ` ${word}`;
  }
  return `${[`${indent}/**`, ...lines, line, `${indent} */`].join("\n")}\n`;
}

/** Number and wire type, as on the wire. */
function tagOf(field: SchemaField): number {
  const isSized = ["string", "bytes", "message"].includes(field.kind);
  return field.number << 3 | (isSized ? 2 : 0);
}

function typeOf(field: SchemaField): string {
  switch (field.kind) {
    case "bool":
      return field.optional ? "true" : "boolean";
    case "string":
      return "string";
    case "bytes":
      return "Uint8Array";
    case "message":
      return field.repeated ? `${field.type}[]` : field.type;
    default:
      return "number";
  }
}

function messageType(message: Message): string {
  if (message.options.typeFrom !== undefined) return "";
  const members = message.fields.filter(({ options }) => options.drainedOf === undefined)
    .map((field) => {
      const bound = field.kind === "uint64" ? " At most 2^53 - 1." : "";
      return doc(`${field.comment}${bound}`.trim(), "  ") +
        `  ${field.name}${field.optional ? "?" : ""}: ${typeOf(field)};`;
    });
  const extra = message.options.members ?? "";
  const comment = message.comment.replace(/^\d/, "Message $&");
  return `${doc(comment)}export interface ${message.name} {\n${members.join("\n")}${extra}\n}\n\n`;
}

function fieldNumbers(message: Message): string {
  if (message.options.numbers !== true) return "";
  const numbers = message.fields.map((field) => {
    const name = field.options.drainedOf === undefined ? field.name : field.wireName;
    return `  ${name}: ${field.number},`;
  });
  return `${doc(`Numbers of the fields of {@linkcode ${message.name}}.`)}` +
    `export const ${message.name}Field = {\n${numbers.join("\n")}\n} as const;\n\n`;
}

// ---- Writing

function writeLine(message: Message, field: SchemaField): string {
  const { number, kind, type } = field;
  const value = `message.${field.options.drainedOf ?? field.name}`;
  if (kind === "message") {
    if (!field.repeated) {
      const call = `write${type}(writer, ${number}, ${value});`;
      return field.optional ? `if (${value} !== undefined) ${call}` : call;
    }
    const isDrained = field.options.drainedOf !== undefined;
    const isSplit = isDrained ||
      message.fields.some(({ options }) => options.drainedOf === field.name);
    const filter = isSplit ? `if (inner.state ${isDrained ? "!" : "="}== undefined) ` : "";
    const line = `${filter}write${type}(writer, ${number}, inner);`;
    return isSplit
      ? `for (const inner of ${value}) {\n    ${line}\n  }`
      : `for (const inner of ${value}) ${line}`;
  }
  const isTold = field.optional && field.options.emptyIsAbsent === undefined;
  const method = {
    int32: "int32",
    uint32: isTold ? "optionalUint32" : "uint32",
    uint64: isTold ? "optionalUint64" : "uint64",
    bool: "bool",
    string: "text",
    bytes: "bytes",
  }[kind];
  return `writer.${method}(${number}, ${value});`;
}

function writer(message: Message): string {
  const { name, isInner } = message;
  const lines = message.fields.map((field) => writeLine(message, field));
  if (isInner) {
    lines.unshift("const start = writer.begin(field);");
    lines.push("writer.end(start);");
  }
  const parameters = isInner
    ? `writer: WireWriter, field: number, message: ${name}`
    : `writer: WireWriter, message: ${name}`;
  return `function write${name}(${parameters}): void {\n${
    lines.map((line) => `  ${line}`).join("\n")
  }\n}\n\n`;
}

function encoders(message: Message): string {
  const { name, options } = message;
  const body = `/** Body of {@linkcode ${name}}. */
export function encode${name}(message: ${name}): Uint8Array {
  const writer = new WireWriter();
  write${name}(writer, message);
  return writer.finish();
}

`;
  if (options.frame === undefined) return body;
  return `${body}/** Datagram of {@linkcode ${name}}, as message ${options.frame}. */
export function frame${name}(message: ${name}): Uint8Array {
  const writer = new WireWriter(HEAD_BYTES);
  write${name}(writer, message);
  return writer.finishFrame(MessageId.${options.frame});
}

`;
}

// ---- Reading

/** Messages by name, and those that another holds one of: sent twice, they are merged. */
interface Context {
  readonly all: ReadonlyMap<string, Message>;
  readonly merged: ReadonlySet<string>;
}

/** An empty message, as source text. */
function emptyText(name: string, { all, merged }: Context): string {
  const message = all.get(name);
  if (message === undefined) throw new Error(`lars.proto has no message ${name}`);
  const members = message.fields.filter((field) =>
    !field.optional && field.options.drainedOf === undefined
  ).map((field) => {
    if (field.repeated) return `${field.name}: []`;
    switch (field.kind) {
      case "message":
        return `${field.name}: ${emptyText(field.type, { all, merged })}`;
      case "string":
        return `${field.name}: ""`;
      case "bytes":
        return `${field.name}: new Uint8Array()`;
      case "bool":
        return `${field.name}: false`;
      default:
        return `${field.name}: 0`;
    }
  });
  const line = members.length === 0 ? "{}" : `{ ${members.join(", ")} }`;
  // Where it stands, some 40 characters come before it.
  return line.length <= LINE_MAX - 40 ? line : `{\n    ${members.join(",\n    ")},\n  }`;
}

/** Columns before the lines of a case. */
const CASE_INDENT = 8;

/** Reads of the field, as lines of a case. */
function readLines(field: SchemaField, context: Context): string[] {
  const { name, kind, type, options } = field;
  const target = `message.${name}`;
  if (kind === "message") {
    const empty = emptyText(type, context);
    const fresh = context.merged.has(type)
      ? `read${type}(reader, ${empty})`
      : `read${type}(reader)`;
    if (options.drainedOf !== undefined) return [`draining.push(${fresh});`];
    if (field.repeated) return callLines(`${target}.push`, [fresh]);
    if (field.optional) return readInto(target, type, empty);
    return [`read${type}(reader, ${target});`];
  }
  const value = {
    int32: options.signed === true ? "reader.uint32() | 0" : "reader.uint32()",
    uint32: "reader.uint32()",
    uint64: "reader.uint64()",
    bool: "reader.bool()",
    string: "reader.text()",
    bytes: "new Uint8Array(reader.bytes())",
  }[kind];
  if (options.emptyIsAbsent === undefined) return [`${target} = ${value};`];
  if (kind === "bool") return [`if (${value}) ${target} = true;`, `else delete ${target};`];
  const empty = kind === "string" ? `${target} === ""` : `${target}.length === 0`;
  return [`${target} = ${value};`, `if (${empty}) delete ${target};`];
}

/** A call inside a case, with an argument on each line where it does not fit one. */
function callLines(callee: string, args: readonly string[]): string[] {
  const line = `${callee}(${args.join(", ")});`;
  if (line.length + CASE_INDENT <= LINE_MAX) return [line];
  return [`${callee}(`, ...args.map((arg) => `  ${arg},`), ");"];
}

/** A message that may be there already is read on; on lines of its own where it is long. */
function readInto(target: string, type: string, empty: string): string[] {
  if (!empty.includes("\n")) {
    return callLines(`${target} = read${type}`, ["reader", `${target} ?? ${empty}`]);
  }
  const [open, ...rest] = empty.split("\n").map((line) => line.trim());
  const members = rest.slice(0, -1).map((line) => `    ${line}`);
  return [
    `${target} = read${type}(`,
    "  reader,",
    `  ${target} ?? ${open}`,
    ...members,
    `  ${rest[rest.length - 1]},`,
    ");",
  ];
}

/** What only the whole message can tell. */
function endLines(message: Message): string[] {
  return message.fields.flatMap((field) => {
    const where = `${message.name}.${field.wireName}`;
    const target = `message.${field.name}`;
    if (field.options.drainedOf !== undefined) {
      const list = `message.${field.options.drainedOf}`;
      return [
        "for (const inner of draining) {",
        '  inner.state = "drain";',
        `  ${list}.push(inner);`,
        "}",
      ];
    }
    if (field.kind === "uint64") return [`checkSafe(${target}, "${where}");`];
    const { bytesMax } = field.options;
    if (bytesMax === undefined) return [];
    return [`checkLength(${target}, ${bytesMax}, "${where}");`];
  });
}

function readLoop(message: Message, context: Context): string[] {
  const cases = message.fields.flatMap((field) => [
    `    case ${tagOf(field)}: // ${field.wireName} = ${field.number}`,
    ...readLines(field, context).map((line) => `      ${line}`),
    "      break;",
  ]);
  return [
    "while (reader.more) {",
    "  const tag = reader.tag();",
    "  switch (tag) {",
    ...cases,
    "    default:",
    "      reader.skip(tag);",
    "  }",
    "}",
  ];
}

function reader(message: Message, context: Context): string {
  const { name, isInner, options } = message;
  const isMerged = context.merged.has(name);
  const drained = message.fields.find((field) => field.options.drainedOf !== undefined);
  const empty = emptyText(name, context);
  // An imported type may be read only, which this message is not yet.
  const type = options.typeFrom === undefined ? `: ${name}` : "";
  const loop = [
    ...(isMerged ? [] : [`const message${type} = ${empty};`]),
    ...(drained === undefined ? [] : [`const draining: ${drained.type}[] = [];`]),
    ...(isInner ? ["const outerEnd = reader.enter();"] : []),
    ...readLoop(message, context),
    ...(isInner ? ["reader.leave(outerEnd);"] : []),
    ...endLines(message),
    "return message;",
  ];
  if (!isInner) loop.unshift(`const reader = new WireReader(body, "${name}");`);
  const body = loop.map((line) => `  ${line}`).join("\n");
  if (isInner) {
    const parameters = isMerged ? `reader: WireReader, message: ${name}` : "reader: WireReader";
    const merged = isMerged
      ? "/** Reads into `message`: one that is sent twice is merged. */\n"
      : "";
    return `${merged}function read${name}(${parameters}): ${name} {\n${body}\n}\n\n`;
  }
  return `/**
 * {@linkcode ${name}} from its body.
 *
 * @throws {ProtocolError} when the bytes are not such a message.
 */
export function decode${name}(body: Uint8Array): ${name} {\n${body}\n}\n\n`;
}

function imports(messages: readonly Message[]): string {
  const options = messages.flatMap((message) => message.fields.map((field) => field.options));
  const limits = options.flatMap(({ bytesMax }) => bytesMax ?? []);
  const types = messages.flatMap(({ name, options: { typeFrom } }) =>
    typeFrom === undefined ? [] : [`import type { ${name} } from "${typeFrom}";\n`]
  );
  const ids = ["MessageId", ...new Set(limits)].join(", ");
  return `${types.join("")}import { ${ids} } from "./message_ids.ts";
import { checkLength, checkSafe, HEAD_BYTES, WireReader, WireWriter } from "./wire.ts";
`;
}

/** The source text of codec.ts. */
export function codecText(messages: readonly Message[]): string {
  const all = new Map(messages.map((message) => [message.name, message]));
  const merged = new Set(
    messages.flatMap((message) =>
      message.fields.flatMap((field) =>
        field.kind === "message" && !field.repeated ? [field.type] : []
      )
    ),
  );
  const sections = messages.map((message) =>
    `// ---- ${message.name}\n\n` + messageType(message) + fieldNumbers(message) +
    writer(message) + (message.isInner ? "" : encoders(message)) +
    reader(message, { all, merged })
  );
  const aliases = ALIASES.map(({ name, text, comment }) =>
    `${doc(comment)}export type ${name} = ${text};\n`
  );
  return `${HEADER}\n${imports(messages)}\n${sections.join("")}${aliases.join("\n")}`;
}
