// Core. How modules and nodes are named in the database.

/** A module: what callers ask a node of. Both are unsigned 32-bit numbers. */
export interface ModuleKey {
  readonly modId: number;
  readonly cmdId: number;
}

/** A node, of whichever module. */
export interface NodeAddress {
  /** IPv4 address as an unsigned number in host order. */
  readonly ip: number;
  /** 1 to 65535. */
  readonly port: number;
}

/** One node of one module. */
export interface NodeKey extends ModuleKey, NodeAddress {}

/** A module as the key of a map. */
export function moduleId({ modId, cmdId }: ModuleKey): string {
  return `${modId}/${cmdId}`;
}

/** A node as the key of a map. */
export function nodeId(node: NodeKey): string {
  return `${moduleId(node)} ${node.ip}:${node.port}`;
}
