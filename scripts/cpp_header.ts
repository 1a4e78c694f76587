// Core. The C++ header made of the C sources: the same code, once, in a namespace of its own.

/** In the order in which they need each other. */
const C_HEADERS = ["lars.h", "wire.h", "memory.h", "table.h", "seal.h", "caller.h", "cursors.h"];
const C_SOURCES = [
  "wire.c",
  "memory.c",
  "table.c",
  "seal.c",
  "lanes.c",
  "cursors.c",
  "mapping.c",
  "batch.c",
  "fork.c",
  "client.c",
  "call.c",
  "words.c",
];

const FRONT = "api/cpp/lars_front.h";

const TOP = `// The C++ client of Lars: one header, C++17, no dependency. See api/cpp/README.md.
//
// Made by \`deno task cpp\` of api/c and ${FRONT}: do not edit. Programs use what is in
// namespace lars; namespace lars::c is the C client, compiled as part of this header.

#ifndef LARS_HPP
#define LARS_HPP

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
`;

/** Lines that make one file out of many superfluous: guards, linkage, what is included of ours. */
const DROPPED = [
  /^#ifndef LARS_API\n#define LARS_API\n#endif\n/gm,
  /^#ifndef LARS_\w+\n#define LARS_\w+\n/gm,
  /^#ifndef _GNU_SOURCE\n#define _GNU_SOURCE\n#endif\n/gm,
  /^#ifdef __cplusplus\n[\s\S]*?#endif\n/gm,
  /^#include "[^"]*"\n/gm,
  /^#include <[^>]*>\n/gm,
];

/** A declaration or definition of a function at the beginning of a line. */
const FUNCTION =
  /^(?!typedef |struct |enum |inline |return )((?:const )?[A-Za-z_]\w* \*?[a-z]\w*\()/gm;

/** One C file as it stands in the namespace: everything that has a place is inline. */
function inNamespace(text: string, isHeader: boolean): string {
  let joined = DROPPED.reduce((rest, pattern) => rest.replace(pattern, ""), text);
  if (isHeader) joined = joined.replace(/\n#endif\n*$/, "\n");
  return joined
    .replace(/^LARS_API /gm, "")
    .replace(/^static inline /gm, "inline ")
    .replace(/^__thread [^;]*;\n/gm, "") // defined where it is declared
    .replace(/^(static|extern) __thread /gm, "inline thread_local ")
    .replace(/^static /gm, "inline ")
    .replace(FUNCTION, "inline $1")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

function includesOf(text: string): string[] {
  return [...text.matchAll(/^#include <([^>]*)>$/gm)].map(([, name]) => name);
}

/** @param read gives a file by its path from the root. */
export function joinCppHeader(read: (path: string) => string): string {
  const headers = C_HEADERS.map((name) => read(`api/c/${name}`));
  const sources = C_SOURCES.map((name) => read(`api/c/${name}`));
  const front = read(FRONT);
  const includes = [...new Set([...headers, ...sources, front].flatMap(includesOf))].sort();
  const body = [
    ...headers.map((text) => inNamespace(text, true)),
    ...sources.map((text) => inNamespace(text, false)),
  ];
  return [
    TOP,
    [...includes, "cstring"].toSorted().map((name) => `#include <${name}>`).join("\n"),
    "\nnamespace lars {\nnamespace c {\n",
    body.join("\n\n"),
    "\n}  // namespace c\n}  // namespace lars\n",
    front.replace(/^#include <[^>]*>\n/gm, "").replace(/\n{3,}/g, "\n\n").trim(),
    "\n#endif\n",
  ].join("\n");
}
