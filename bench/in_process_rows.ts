// Core. Names of the rows of picks inside a process.

/** Modules, picked from in turn, and the nodes of each. */
export interface InProcessSize {
  readonly modules: number;
  readonly nodes: number;
}

/** From one that stays in the processor's caches to one that does not. */
export const IN_PROCESS_SIZES: readonly InProcessSize[] = [
  { modules: 1, nodes: 20 },
  { modules: 100, nodes: 20 },
  { modules: 1000, nodes: 20 },
];

/** Nodes of the module of the rows of each policy. */
export const IN_PROCESS_POLICY_NODES = 100;

/** Row of one policy: what its picks, each with a key, leave to collect. */
export function policyRowName(policy: string): string {
  return `in-process pick, policy ${policy}, ${IN_PROCESS_POLICY_NODES} nodes: allocated`;
}

/** Policies of the rows of each size: that of new modules, and the original's beside it. */
export const IN_PROCESS_POLICIES = ["recommended", "lars"] as const;

/** Rows of one size by one policy. */
export function rowNames(
  { modules, nodes }: InProcessSize,
  policy: typeof IN_PROCESS_POLICIES[number],
): { speed: string; bytes: string; calls: string } {
  const name = `in-process pick, ${policy}, one node out, ${modules} x ${nodes} nodes`;
  return { speed: name, bytes: `${name}: allocated`, calls: `${name}, with report` };
}
