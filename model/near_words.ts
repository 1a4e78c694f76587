// Core. Words that are near to a mistyped one, for "did you mean".

/** Words that a suggestion names. */
const SUGGESTED_MAX = 3;
/** Candidates that are compared; a word is searched among no more of them. */
const CANDIDATES_MAX = 100_000;
/** Longest word that is compared, in characters: the table below has its square of cells. */
const LENGTH_MAX = 64;
/** Most edits that a near word is away. */
const DISTANCE_MAX = 3;

/** Edits from one word to another: letters put in, left out, replaced, or two of them swapped. */
function editDistance(a: string, b: string): number {
  let last: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + cost);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) next[j] = Math.min(next[j], last[j - 2] + 1);
    }
    last = row;
    row = next;
  }
  return row[b.length];
}

/** How far a candidate is, whatever the case of its letters; undefined when it is not near. */
function nearness(word: string, candidate: string): number | undefined {
  const [a, b] = [word.toLowerCase(), candidate.toLowerCase()];
  if (a === b) return 0;
  const shorter = Math.min(a.length, b.length);
  const longer = Math.max(a.length, b.length);
  // Half of a word that is typed is one that is meant.
  if (shorter >= 3 && (a.startsWith(b) || b.startsWith(a))) return 1;
  if (longer > LENGTH_MAX || longer - shorter > DISTANCE_MAX) return undefined;
  const distance = editDistance(a, b);
  const isNear = distance <= DISTANCE_MAX && distance <= Math.max(1, Math.floor(longer * 0.4));
  return isNear && distance < longer ? distance : undefined;
}

/** The candidates nearest to a word, at most three that are equally near; none when all are far. */
export function nearWords(word: string, candidates: Iterable<string>): string[] {
  if (word === "") return [];
  const found: { candidate: string; distance: number }[] = [];
  let compared = 0;
  for (const candidate of new Set(candidates)) {
    if (candidate === "" || ++compared > CANDIDATES_MAX) continue;
    const distance = nearness(word, candidate);
    if (distance !== undefined) found.push({ candidate, distance });
  }
  found.sort((a, b) => a.distance - b.distance || (a.candidate < b.candidate ? -1 : 1));
  const best = found[0]?.distance ?? 0;
  return found.filter(({ distance }) => distance === best).slice(0, SUGGESTED_MAX).map((
    { candidate },
  ) => candidate);
}

/** `: did you mean login or logout?`; empty when nothing is near. To end a message with. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const near = nearWords(word, candidates);
  return near.length === 0 ? "" : `: did you mean ${near.join(" or ")}?`;
}
