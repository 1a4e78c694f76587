// Shell. The gRPC programs of tests: nodes that answer with their number, and callers that find them by
// xDS; in Node, and in Python over the gRPC of C++.

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { findProgram } from "./mariadb.ts";

/** A program that speaks gRPC, with its words; undefined: not on this machine. */
export type GrpcProgram = readonly string[] | undefined;

function scriptPath(name: string): string {
  return fileURLToPath(new URL(`../../export/testing/${name}`, import.meta.url));
}

/** The one of JavaScript. */
export function findGrpcJs(): GrpcProgram {
  const node = findProgram("node");
  return node === undefined ? undefined : [node, scriptPath("grpc_peer.mjs")];
}

/** Debian's Python with its gRPC, which is the one of C++. */
export function findGrpcCore(): GrpcProgram {
  for (const python of ["/usr/bin/python3", "python3"]) {
    const { status } = spawnSync(python, ["-c", "import grpc"], { stdio: "ignore" });
    if (status === 0) return [python, scriptPath("grpc_peer.py")];
  }
  return undefined;
}
