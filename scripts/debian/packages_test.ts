import assert from "node:assert/strict";
import { test } from "node:test";
import { debianPackages, type DebianParts, SERVER_SERVICES } from "./packages.ts";

const PARTS: DebianParts = {
  ...{ version: "1.2.3", architecture: "amd64", maintainer: "A <a@example.org>" },
  ...{ licence: "MIT\n\nAs is.\n", changelog: "# Changelog\n", releasedAt: 1_700_000_000 },
  programs: { "lars": "/b/lars", "lars-agent": "/b/lars-agent" },
  units: Object.fromEntries(
    ["lars-agent.socket", ...["agent", ...SERVER_SERVICES].map((name) => `lars-${name}.service`)]
      .map((name) => [name, `ExecStart=/usr/local/bin/${name.split(".")[0]} -c x\n`]),
  ),
  manuals: Object.fromEntries(
    ["lars.1", ...["agent", ...SERVER_SERVICES].map((name) => `lars-${name}.8`)]
      .map((name) => [name, ".TH\n"]),
  ),
  configs: { "agent.conf": "[agent]\n", "lars.conf": "[store]\n" },
  library: { "include/lars.h": { from: "/b/lars.h" } },
};

const PACKAGES = debianPackages(PARTS);

test("every file of the packages belongs to one of them, and none lies where an operator's do", () => {
  const paths = PACKAGES.flatMap(({ files }) => files.map(({ path }) => path));
  assert.equal(new Set(paths).size, paths.length);
  for (const path of paths) {
    assert.match(path, /^(usr\/(bin|include|lib|share)\/|etc\/lars\/)/);
    assert.doesNotMatch(path, /^usr\/local/);
  }
});

test("what lies in /etc is a conffile, and nothing else is", () => {
  for (const { name, files, control } of PACKAGES) {
    const etc = files.map(({ path }) => path).filter((path) => path.startsWith("etc/"));
    assert.equal(control.conffiles ?? "", etc.map((path) => `/${path}\n`).join(""), name);
  }
});

test("units start the programs of the packages", () => {
  for (const { files } of PACKAGES) {
    for (const { path, source } of files) {
      if (!path.endsWith(".service") || !("text" in source)) continue;
      assert.match(source.text, /ExecStart=\/usr\/bin\/lars-/, path);
      const program = /\/usr\/bin\/(\S+)/.exec(source.text)?.[1];
      assert.ok(files.some((one) => one.path === `usr/bin/${program}`), `${path}: ${program}`);
    }
  }
});

test("every unit is enabled, restarted by an upgrade, stopped by a removal, and forgotten", () => {
  for (const { name, files, control: { postinst = "", prerm = "", postrm = "" } } of PACKAGES) {
    const units = files.map(({ path }) => path.split("/").at(-1) ?? "")
      .filter((file) => /\.(service|socket)$/.test(file));
    for (const unit of units) {
      assert.match(postinst, new RegExp(`helper enable ${unit} `), `${name}: ${unit}`);
      assert.match(postinst, new RegExp(`invoke \\$action .*\\b${unit}`), `${name}: ${unit}`);
      assert.match(prerm, new RegExp(`invoke stop .*\\b${unit}`), `${name}: ${unit}`);
      assert.match(postrm, new RegExp(`helper purge .*\\b${unit}`), `${name}: ${unit}`);
    }
  }
});

test("names, versions, and what the packages want", () => {
  const field = (name: string, key: string): string | undefined =>
    new RegExp(`^${key}: (.*)$`, "m").exec(
      PACKAGES.find((one) => one.name === name)?.control.control ?? "",
    )?.[1];
  assert.deepEqual(PACKAGES.map(({ name }) => name), [
    "lars",
    "lars-server",
    "lars-agent",
    "liblarsclient-dev",
  ]);
  assert.equal(field("lars-server", "Depends"), "lars (= 1.2.3)");
  for (const { name, control } of PACKAGES) {
    assert.equal(field(name, "Version"), "1.2.3");
    assert.ok(control.control.split("\n").every((line) => line.length <= 80), name);
  }
});
