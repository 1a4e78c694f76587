// The Java client's own tests, with JUnit out of its Debian package; and the example compiles.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { CLIENT_TESTS_TIMEOUT_MS, runOwnTests } from "../../tests/support/client_tests.ts";
import { fileOfDebianPackage } from "../../tests/support/debian_package.ts";
import { makeTempDir } from "../../tests/support/temp_dir.ts";

/** A jar of this machine, or out of the package when that is not installed. */
function jar(debianPackage: string, name: string): string {
  const installed = `/usr/share/java/${name}`;
  const path = existsSync(installed)
    ? installed
    : fileOfDebianPackage(debianPackage, `usr/share/java/${name}`);
  assert.ok(path !== undefined, `${name} must be there: apt-get install ${debianPackage}`);
  return path;
}

test("the Java client passes its own tests", { timeout: CLIENT_TESTS_TIMEOUT_MS }, () => {
  const out = makeTempDir("lars-java-");
  try {
    const jars = [jar("junit4", "junit4.jar"), jar("libhamcrest-java", "hamcrest-core.jar")];
    const printed = runOwnTests("java", ["./test.sh", out.path, ...jars]);
    const count = Number(/^OK \((\d+) tests\)/m.exec(printed)?.[1]);
    assert.ok(count >= 30, printed);
    const classPath = `${out.path}/lars-client.jar`;
    runOwnTests("java", [
      ...["javac", "-Xlint:all", "-Werror", "-cp", classPath, "-d", `${out.path}/example`],
      "src/example/java/Shop.java",
    ]);
  } finally {
    out.remove();
  }
});
