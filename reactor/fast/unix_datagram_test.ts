import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { makeTempDir } from "../../tests/support/temp_dir.ts";
import { runtime } from "../runtime/mod.ts";
import { sendUnixDatagram, unixDatagramAddress } from "./unix_datagram.ts";

const LINUX = { skip: process.platform === "linux" ? false : "only Linux has these" };
const AF_UNIX = 1;
const SOCK_DGRAM = 2;

/** A receiver under a name; gives what has come. */
function receiver(name: string): { next(): string; close(): void } {
  const libc = runtime.openLibc();
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM, 0);
  const address = unixDatagramAddress(name);
  assert.equal(libc.bind(fd, address, address.length), 0);
  const buffer = new Uint8Array(4096);
  return {
    next: () => new TextDecoder().decode(buffer.subarray(0, libc.read(fd, buffer, buffer.length))),
    close: () => void libc.close(fd),
  };
}

test("a message arrives at a path and at a name without a file, byte for byte", LINUX, () => {
  const directory = makeTempDir("lars-unix-");
  try {
    for (const name of [`${directory.path}/notify`, `@lars-test-${process.pid}`]) {
      const there = receiver(name);
      sendUnixDatagram(name, "READY=1\nSTATUS=grün");
      sendUnixDatagram(name, "WATCHDOG=1");
      assert.equal(there.next(), "READY=1\nSTATUS=grün");
      assert.equal(there.next(), "WATCHDOG=1");
      there.close();
    }
  } finally {
    rmSync(directory.path, { recursive: true, force: true });
  }
});

test("nobody there, and names that are none, are errors that say so", LINUX, () => {
  assert.throws(
    () => sendUnixDatagram("/nowhere/at/all", "x"),
    /\/nowhere\/at\/all did not take it/,
  );
  for (const name of ["", "@", "relative", `/${"x".repeat(107)}`]) {
    assert.throws(() => sendUnixDatagram(name, "x"), RangeError, name);
  }
});
