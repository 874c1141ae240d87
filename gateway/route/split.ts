// Which upstream of a weighted split takes a request. Pure: chance is an argument.

/** `rnd` is in [0, 1). Weights of 0 never win unless all are 0; then the first one does. The list is not empty. */
export function chooseSplit(
  split: readonly { readonly upstream: string; readonly weight: number }[],
  rnd: number,
): string {
  let total = 0;
  for (const share of split) total += share.weight;
  let left = rnd * total;
  let last = '';
  for (const share of split) {
    if (last === '' || share.weight > 0) last = share.upstream;
    left -= share.weight;
    if (left < 0) return share.upstream;
  }
  return last;
}
