// "Did you mean": the nearest word of a closed vocabulary. Pure.

/** Words longer than this are never typing mistakes of ours, and the table below is quadratic. */
const LONGEST = 64;

/**
 * How many single edits lie between two words: insert, delete, replace, or swap of two neighbours (Damerau-Levenshtein
 * in its optimal string alignment form).
 */
export function editDistance(left: string, right: string): number {
  const width = right.length + 1;
  let beforeLast: number[] = [];
  let last = Array.from({ length: width }, (_, i) => i);
  for (let i = 1; i <= left.length; i++) {
    const row = new Array<number>(width);
    row[0] = i;
    for (let j = 1; j < width; j++) {
      const same = left[i - 1] === right[j - 1];
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && left[i - 1] === right[j - 2] && left[i - 2] === right[j - 1]) {
        best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1);
      }
      row[j] = best;
    }
    beforeLast = last;
    last = row;
  }
  return last[width - 1] ?? 0;
}

/**
 * The candidate that `word` most likely meant, or null. Case and dashes cost nothing, one that begins with the other is
 * close; else at most one edit per three letters is forgiven. Ties go to the earlier candidate.
 */
export function nearest(word: string, candidates: readonly string[]): string | null {
  if (word.length > LONGEST) return null;
  const wanted = plain(word);
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of candidates) {
    if (candidate.length > LONGEST || candidate === word) continue;
    const distance = isBeginning(wanted, plain(candidate)) ? 1 : editDistance(wanted, plain(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** The same as the hint beside a caret: `did you mean "x"?`, or ''. */
export function didYouMean(word: string, candidates: readonly string[]): string {
  const found = nearest(word, candidates);
  return found === null ? '' : `did you mean "${found}"?`;
}

/** "warning" for "warn", "head" for "header". */
function isBeginning(left: string, right: string): boolean {
  const shorter = Math.min(left.length, right.length);
  return shorter >= 3 && left.slice(0, shorter) === right.slice(0, shorter);
}

function plain(word: string): string {
  return word.toLowerCase().replaceAll('-', '_');
}
