// Goal: the pom compiles the client, runs its tests and makes the jar. Method: Maven without a network,
// with the plugins that Debian packages.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { findProgram } from "../../bench/machine.ts";
import { VERSION } from "../../daemon/version.ts";
import { CLIENT_TESTS_TIMEOUT_MS } from "../../tests/support/client_tests.ts";
import { PROJECT_ROOT } from "../../tests/support/processes.ts";
import { withTempDir } from "../../tests/support/temp_dir.ts";

/** Where Debian's packages put what Maven looks for. */
const REPOSITORY = "/usr/share/maven-repo";

/** Each with the package that has it. */
const PLUGINS: Readonly<Record<string, string>> = {
  resources: "libmaven-resources-plugin-java",
  compiler: "libmaven-compiler-plugin-java",
  surefire: "libsurefire-java",
  jar: "libmaven-jar-plugin-java",
  install: "libmaven-install-plugin-java",
};

/** The version of an artifact that is there; undefined: none. */
function versionOf(path: string): string | undefined {
  const folder = join(REPOSITORY, path);
  // Names such as "4.x" and "debian" stand for any version, for other packages.
  const versions = existsSync(folder) ? readdirSync(folder) : [];
  return versions.find((version) => /^\d+(\.\d+)+$/.test(version));
}

function whyNot(): string | false {
  const lacking = Object.entries(PLUGINS)
    .filter(([name]) => versionOf(`org/apache/maven/plugins/maven-${name}-plugin`) === undefined)
    .map(([, name]) => name);
  if (findProgram("mvn") === undefined) lacking.unshift("maven");
  if (versionOf("junit/junit") === undefined) lacking.push("junit4");
  return lacking.length > 0 && `apt-get install ${lacking.join(" ")}`;
}

const options = { timeout: CLIENT_TESTS_TIMEOUT_MS, skip: whyNot() };

test(
  "Maven compiles, tests and packs the Java client without a network",
  options,
  () =>
    withTempDir((folder) => {
      // Maven writes beside the pom, and into its repository.
      const repository = join(folder, "repository");
      assert.equal(spawnSync("cp", ["-rs", REPOSITORY, repository]).status, 0);
      const java = join(folder, "api/java");
      cpSync(`${PROJECT_ROOT}/api/java`, java, { recursive: true });
      symlinkSync(`${PROJECT_ROOT}/proto`, join(folder, "proto"));
      const settings = join(folder, "settings.xml");
      writeFileSync(
        settings,
        `<settings><localRepository>${repository}</localRepository><offline>true</offline></settings>`,
      );
      const versions = Object.keys(PLUGINS).map((name) =>
        `-D${name}.plugin.version=${versionOf(`org/apache/maven/plugins/maven-${name}-plugin`)}`
      );
      const { stdout, stderr, status } = spawnSync("mvn", [
        ...["-B", "-o", "-s", settings, ...versions],
        ...[`-Djunit.version=${versionOf("junit/junit")}`, "install"],
      ], { cwd: java, encoding: "utf8", timeout: CLIENT_TESTS_TIMEOUT_MS });
      const printed = `${stdout}${stderr}`;
      assert.equal(status, 0, printed);
      const count = Number(/Tests run: (\d+), Failures: 0, Errors: 0/.exec(printed)?.[1]);
      assert.ok(count > 0, printed);
      const jar = `lars-client-${VERSION}.jar`;
      assert.ok(existsSync(join(java, "target", jar)), printed);
      assert.ok(existsSync(join(repository, "lars/lars-client", VERSION, jar)), printed);
    }),
);
