// Core. Which share of the calls goes where by weight: the one place that says so.

/** Share of each of some weights in their sum; all 0 when there is no weight. */
export function sharesByWeight(weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => total > 0 ? weight / total : 0);
}

/**
 * Share of a module's calls that each of its nodes in service is to get, in their order. The
 * policies keep to weights in the long run as long as all nodes are well; nodes without any weight
 * at all count as alike.
 */
export function expectedShares(nodes: readonly { readonly weight: number }[]): number[] {
  const hasWeight = nodes.some(({ weight }) => weight > 0);
  return sharesByWeight(nodes.map(({ weight }) => hasWeight ? weight : 1));
}
