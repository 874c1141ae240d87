// Requests to simulate, seeded and reproducible: ids and sizes. What each is like stands beside it.

export interface Trace {
  readonly name: string;
  readonly ids: Int32Array;
  /** Bytes of an object by its id. */
  readonly sizeOf: (id: number) => number;
}

export class Chance {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  /** In [0, 1): mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}

/** Ranks by Zipf's law, by the inverse of the cumulated weights. */
export function zipf(objects: number, alpha: number, chance: Chance): () => number {
  const sums = new Float64Array(objects);
  let sum = 0;
  for (let i = 0; i < objects; i++) {
    sum += 1 / (i + 1) ** alpha;
    sums[i] = sum;
  }
  return () => {
    const wanted = chance.next() * sum;
    let low = 0;
    let high = objects - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

const EQUAL_BYTES = 1_000;

/** All traces over `objects` popular objects with `requests` requests each. */
export function makeTraces(objects: number, requests: number): Trace[] {
  const equal = (): number => EQUAL_BYTES;
  const fill = (seed: number, make: (chance: Chance) => (at: number) => number): Int32Array => {
    const draw = make(new Chance(seed));
    const ids = new Int32Array(requests);
    for (let i = 0; i < requests; i++) ids[i] = draw(i);
    return ids;
  };
  const traces: Trace[] = [0.6, 0.8, 1.0, 1.2].map((alpha) => ({
    name: `Zipf ${alpha.toFixed(1)}`,
    ids: fill(alpha * 100, (chance) => zipf(objects, alpha, chance)),
    sizeOf: equal,
  }));
  traces.push({
    name: 'one-hit wonders',
    ids: fill(5, (chance) => {
      const popular = zipf(objects, 0.9, chance);
      let fresh = objects;
      return () => (chance.next() < 0.5 ? fresh++ : popular());
    }),
    sizeOf: equal,
  });
  traces.push({
    name: 'scans',
    ids: fill(6, (chance) => {
      const popular = zipf(objects, 0.9, chance);
      let left = 0;
      let at = 0;
      return () => {
        if (left === 0 && chance.next() < 0.00002) {
          left = objects >> 2;
          at = objects + Math.floor(chance.next() * objects);
        }
        if (left === 0) return popular();
        // Two of three requests belong to the scan while it runs.
        if (chance.next() < 0.33) return popular();
        left--;
        return at++;
      };
    }),
    sizeOf: equal,
  });
  traces.push({
    name: 'shifting popularity',
    ids: fill(7, (chance) => {
      const popular = zipf(objects, 1.0, chance);
      // What is popular moves on by a tenth of the objects over the trace, twenty times.
      return (at) => (popular() + Math.floor((at * 20) / requests) * Math.floor(objects / 10)) % (objects * 3);
    }),
    sizeOf: equal,
  });
  traces.push({
    name: 'mixed sizes',
    ids: fill(8, (chance) => zipf(objects, 0.9, chance)),
    // Lognormal around 1 KB, 200 B to 1 MB, always the same for an id.
    sizeOf: (id) => {
      const chance = new Chance(Math.imul(id + 1, 2_654_435_761));
      const normal = Math.sqrt(-2 * Math.log(chance.next() + 1e-12)) * Math.cos(2 * Math.PI * chance.next());
      return Math.round(Math.min(1_000_000, Math.max(200, 1_000 * Math.exp(1.2 * normal))));
    },
  });
  traces.push({
    name: 'loop',
    ids: fill(9, (chance) => {
      const popular = zipf(objects, 1.0, chance);
      const length = Math.floor(objects / 6);
      let at = 0;
      return () => (chance.next() < 0.3 ? popular() : objects + (at++ % length));
    }),
    sizeOf: equal,
  });
  return traces;
}
