// Shell. Reads the template of a file.

import { readFileSync } from "node:fs";
import { ConfigError, messageOf } from "../../reactor/errors.ts";
import { checkTemplate } from "./render.ts";

/** @throws {ConfigError} when it cannot be read, or is no template. */
export function readTemplateFile(path: string): string {
  try {
    const template = readFileSync(path, "utf8");
    checkTemplate(template);
    return template;
  } catch (error) {
    throw new ConfigError(`[file] template ${path}: ${messageOf(error)}`, { cause: error });
  }
}
