// Shell. Marks in a program, so that a run tells which ways it took: JavaScript in, the same with a call
// at the start of each branch out, and the words that each of its modules compares with.

import ts from "typescript";
import type { MarkedProgram } from "./coverage_map.ts";

/** Name under which the program finds what it calls. */
export const MARK_NAME = "__larsFuzzMark";

/** Longer texts are messages, and nothing that is looked for. */
const WORD_LENGTH_MAX = 32;

/** The line that the bundler writes before what comes from one file. */
const MODULE_LINE = /^\/\/ \S+\.[jt]s$/gm;

interface Edit {
  readonly at: number;
  readonly text: string;
  /** What ends before a place comes before what begins there. */
  readonly isEnd: boolean;
}

/** Gathers the places of one program. */
class Marker {
  readonly edits: Edit[] = [];
  readonly modules: number[] = [];
  readonly words: Set<string>[] = [new Set()];
  readonly #source: ts.SourceFile;
  /** Where modules begin. */
  readonly #starts: number[] = [0];

  constructor(source: ts.SourceFile) {
    this.#source = source;
    for (const { index } of source.text.matchAll(MODULE_LINE)) {
      this.#starts.push(index);
      this.words.push(new Set());
    }
  }

  visit(node: ts.Node): void {
    this.#noteWord(node);
    const ends: Edit[] = [];
    for (const part of this.#branches(node)) this.#mark(part, ends);
    // Not to enter is a way as well.
    if (ts.isIfStatement(node) && node.elseStatement === undefined) {
      const at = node.thenStatement.end;
      ends.push({ at, text: `else{${this.#call(at)};}`, isEnd: true });
    }
    ts.forEachChild(node, (child) => this.visit(child));
    // What is inside ends first.
    this.edits.push(...ends);
  }

  /** What is entered on one of several ways. */
  #branches(node: ts.Node): ts.Node[] {
    if (ts.isFunctionLike(node)) {
      const { body } = node as ts.FunctionLikeDeclaration;
      return body === undefined ? [] : [body];
    }
    if (ts.isIfStatement(node)) {
      return node.elseStatement === undefined
        ? [node.thenStatement]
        : [node.thenStatement, node.elseStatement];
    }
    if (ts.isIterationStatement(node, false)) return [node.statement];
    if (ts.isConditionalExpression(node)) return [node.whenTrue, node.whenFalse];
    if (ts.isCatchClause(node)) return [node.block];
    if (ts.isCaseOrDefaultClause(node)) return node.statements.slice(0, 1);
    if (!ts.isBinaryExpression(node)) return [];
    switch (node.operatorToken.kind) {
      case ts.SyntaxKind.AmpersandAmpersandToken:
      case ts.SyntaxKind.BarBarToken:
      case ts.SyntaxKind.QuestionQuestionToken:
        return [node.right];
      default:
        return [];
    }
  }

  #mark(part: ts.Node, ends: Edit[]): void {
    const start = part.getStart(this.#source);
    const call = this.#call(start);
    const begin = (at: number, text: string): void =>
      void this.edits.push({ at, text, isEnd: false });
    const end = (text: string): void => void ends.push({ at: part.end, text, isEnd: true });
    if (ts.isBlock(part)) return begin(start + 1, `${call};`);
    if (ts.isCaseOrDefaultClause(part.parent)) return begin(start, `${call};`);
    if (ts.isStatement(part)) {
      begin(start, `{${call};`);
      return end("}");
    }
    begin(start, `(${call},`);
    end(")");
  }

  /** A new mark. */
  #call(at: number): string {
    this.modules.push(this.#moduleAt(at));
    return `${MARK_NAME}(${this.modules.length - 1})`;
  }

  #moduleAt(at: number): number {
    let module = this.#starts.length - 1;
    while (this.#starts[module] > at) module--;
    return module;
  }

  #noteWord(node: ts.Node): void {
    const isWord = ts.isStringLiteralLike(node) || ts.isIdentifier(node) &&
        (ts.isPropertyAssignment(node.parent) || ts.isPropertyAccessExpression(node.parent));
    if (!isWord || node.text === "" || node.text.length > WORD_LENGTH_MAX) return;
    this.words[this.#moduleAt(node.getStart(this.#source))].add(node.text);
  }
}

/** Puts marks into a program of one file. */
export function markProgram(text: string): MarkedProgram {
  const source = ts.createSourceFile("program.js", text, ts.ScriptTarget.ESNext, true);
  const marker = new Marker(source);
  marker.visit(source);
  const edits = marker.edits.map((edit, order) => ({ ...edit, order })).sort((a, b) =>
    a.at - b.at || Number(b.isEnd) - Number(a.isEnd) || a.order - b.order
  );
  let [code, from] = [`const ${MARK_NAME} = globalThis.${MARK_NAME};\n`, 0];
  for (const { at, text: more } of edits) {
    code += text.slice(from, at) + more;
    from = at;
  }
  return {
    code: code + text.slice(from),
    markCount: marker.modules.length,
    modules: Uint16Array.from(marker.modules),
    words: marker.words.map((words) => [...words]),
  };
}
