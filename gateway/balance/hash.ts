// Consistent hashing with bounded load, by weighted rendezvous: every instance has a number of its own for every key, and the
// highest wins. For two to fifty instances that is as cheap as a ring or a Maglev table and has none to build or keep:
// one that leaves moves only its own keys, weights are exact, and all workers and gateways agree without talking. Pure.

import { type Candidate, type PickAsk, weightNow } from './candidate.ts';

/** An instance may have so much more than its share of what runs before its keys go to the next one of their order. */
export const LOAD_FACTOR = 1.25;

/** 32 bits of a text: FNV-1a over its UTF-16 units, mixed. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    hash = Math.imul(hash ^ (unit & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (unit >>> 8), 0x01000193);
  }
  return mix(hash);
}

/** Murmur3's last step: every bit of the input moves every bit of the result. */
function mix(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The number that the instance with this hash has for this key; the highest of a pool has the key. For equal weights any order works; this one makes shares exact. */
export function rendezvous(instanceHash: number, keyHash: number, weight: number): number {
  // In (0, 1), never 0: its logarithm is finite.
  const drawn = (mix(instanceHash ^ Math.imul(keyHash, 0x9e3779b1)) + 0.5) / 2 ** 32;
  return -weight / Math.log(drawn);
}

/** The highest of those whose load is within bounds; there always is one. `open` has at least one. */
export function pickHash<C extends Candidate>(open: readonly C[], ask: PickAsk): C {
  let total = 1;
  let weights = 0;
  for (const candidate of open) {
    total += candidate.inflight;
    weights += weightNow(candidate, ask);
  }
  const key = hashText(ask.affinity);
  let best = open[0] as C;
  let highest = -1;
  for (const candidate of open) {
    // Weights of the moment bound what it gets, but not which keys are its own: these stay where they are.
    const most = Math.ceil((LOAD_FACTOR * total * weightNow(candidate, ask)) / weights);
    if (candidate.inflight >= most) continue;
    const number = rendezvous(candidate.hash, key, candidate.weight);
    if (number > highest) {
      highest = number;
      best = candidate;
    }
  }
  return best;
}
