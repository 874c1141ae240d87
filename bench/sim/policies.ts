// Replacement policies from the literature, bounded by bytes, to hold the arena against. Each answers one request at a time:
// a hit, or a miss after which the object is in, if it fits. None knows the future but Belady's.

/** One policy with its content. */
export interface Policy {
  /** Whether the object was there. `size` in bytes; `next` is when it is asked for again (Infinity = never), for Belady only. */
  request(id: number, size: number, next: number): boolean;
  readonly bytes: number;
}

interface Node {
  id: number;
  size: number;
  uses: number;
  older: Node | null;
  newer: Node | null;
}

/** A queue of nodes, oldest first. */
class Queue {
  oldest: Node | null = null;
  newest: Node | null = null;
  bytes = 0;

  push(node: Node): void {
    node.older = this.newest;
    node.newer = null;
    if (this.newest === null) this.oldest = node;
    else this.newest.newer = node;
    this.newest = node;
    this.bytes += node.size;
  }

  remove(node: Node): void {
    if (node.older === null) this.oldest = node.newer;
    else node.older.newer = node.newer;
    if (node.newer === null) this.newest = node.older;
    else node.newer.older = node.older;
    this.bytes -= node.size;
  }
}

const newNode = (id: number, size: number): Node => ({ id, size, uses: 0, older: null, newer: null });

export class Lru implements Policy {
  readonly #nodes = new Map<number, Node>();
  readonly #queue = new Queue();
  readonly #capacity: number;
  constructor(capacity: number) {
    this.#capacity = capacity;
  }
  get bytes(): number {
    return this.#queue.bytes;
  }
  request(id: number, size: number): boolean {
    const found = this.#nodes.get(id);
    if (found !== undefined) {
      this.#queue.remove(found);
      this.#queue.push(found);
      return true;
    }
    if (size > this.#capacity) return false;
    while (this.#queue.bytes + size > this.#capacity) {
      const victim = this.#queue.oldest as Node;
      this.#queue.remove(victim);
      this.#nodes.delete(victim.id);
    }
    const node = newNode(id, size);
    this.#nodes.set(id, node);
    this.#queue.push(node);
    return false;
  }
}

/** FIFO with reinsertion: one bit per object. */
export class Clock implements Policy {
  readonly #nodes = new Map<number, Node>();
  readonly #queue = new Queue();
  readonly #capacity: number;
  constructor(capacity: number) {
    this.#capacity = capacity;
  }
  get bytes(): number {
    return this.#queue.bytes;
  }
  request(id: number, size: number): boolean {
    const found = this.#nodes.get(id);
    if (found !== undefined) {
      found.uses = 1;
      return true;
    }
    if (size > this.#capacity) return false;
    while (this.#queue.bytes + size > this.#capacity) {
      const victim = this.#queue.oldest as Node;
      this.#queue.remove(victim);
      if (victim.uses > 0) {
        victim.uses = 0;
        this.#queue.push(victim);
      } else this.#nodes.delete(victim.id);
    }
    const node = newNode(id, size);
    this.#nodes.set(id, node);
    this.#queue.push(node);
    return false;
  }
}

export class Sieve implements Policy {
  readonly #nodes = new Map<number, Node>();
  readonly #queue = new Queue();
  readonly #capacity: number;
  #hand: Node | null = null;
  constructor(capacity: number) {
    this.#capacity = capacity;
  }
  get bytes(): number {
    return this.#queue.bytes;
  }
  request(id: number, size: number): boolean {
    const found = this.#nodes.get(id);
    if (found !== undefined) {
      found.uses = 1;
      return true;
    }
    if (size > this.#capacity) return false;
    while (this.#queue.bytes + size > this.#capacity) this.#evict();
    const node = newNode(id, size);
    this.#nodes.set(id, node);
    this.#queue.push(node);
    return false;
  }
  #evict(): void {
    let at = this.#hand ?? (this.#queue.oldest as Node);
    while (at.uses > 0) {
      at.uses = 0;
      at = at.newer ?? (this.#queue.oldest as Node);
    }
    this.#hand = at.newer;
    this.#queue.remove(at);
    this.#nodes.delete(at.id);
  }
}

/** Small queue of a tenth, main queue with reinsertion up to three times, ghosts as many as main holds. */
export class S3Fifo implements Policy {
  readonly #small = new Queue();
  readonly #main = new Queue();
  readonly #nodes = new Map<number, { node: Node; queue: Queue }>();
  readonly #ghosts = new Map<number, true>();
  readonly #capacity: number;
  constructor(capacity: number) {
    this.#capacity = capacity;
  }
  get bytes(): number {
    return this.#small.bytes + this.#main.bytes;
  }
  request(id: number, size: number): boolean {
    const found = this.#nodes.get(id);
    if (found !== undefined) {
      found.node.uses = Math.min(3, found.node.uses + 1);
      return true;
    }
    if (size > this.#capacity) return false;
    while (this.bytes + size > this.#capacity) {
      if (this.#small.bytes > this.#capacity / 10 || this.#main.oldest === null) this.#evictSmall();
      else this.#evictMain();
    }
    const queue = this.#ghosts.delete(id) ? this.#main : this.#small;
    const node = newNode(id, size);
    queue.push(node);
    this.#nodes.set(id, { node, queue });
    return false;
  }
  #evictSmall(): void {
    const node = this.#small.oldest as Node;
    this.#small.remove(node);
    if (node.uses > 1) {
      node.uses = 0;
      this.#main.push(node);
      this.#nodes.set(node.id, { node, queue: this.#main });
      return;
    }
    this.#nodes.delete(node.id);
    this.#ghosts.set(node.id, true);
    if (this.#ghosts.size > Math.max(64, this.#nodes.size))
      for (const oldest of this.#ghosts.keys()) {
        this.#ghosts.delete(oldest);
        break;
      }
  }
  #evictMain(): void {
    const node = this.#main.oldest as Node;
    this.#main.remove(node);
    if (node.uses > 0) {
      node.uses--;
      this.#main.push(node);
    } else this.#nodes.delete(node.id);
  }
}

/** A window of 1 %, a segmented main (80 % protected), admission by a count-min sketch that ages. */
export class WTinyLfu implements Policy {
  readonly #window = new Queue();
  readonly #probation = new Queue();
  readonly #guarded = new Queue();
  readonly #nodes = new Map<number, { node: Node; queue: Queue }>();
  readonly #sketch: Uint8Array;
  readonly #mask: number;
  readonly #capacity: number;
  readonly #sample: number;
  #counted = 0;
  /** `objects`: about how many fit; sizes the sketch. */
  constructor(capacity: number, objects: number) {
    this.#capacity = capacity;
    const width = 2 ** Math.ceil(Math.log2(Math.max(1024, objects * 4)));
    this.#sketch = new Uint8Array(width * 4);
    this.#mask = width - 1;
    this.#sample = Math.max(10_000, objects * 10);
  }
  get bytes(): number {
    return this.#window.bytes + this.#probation.bytes + this.#guarded.bytes;
  }
  request(id: number, size: number): boolean {
    this.#count(id);
    const found = this.#nodes.get(id);
    if (found !== undefined) {
      this.#touch(found);
      return true;
    }
    if (size > this.#capacity / 2) return false;
    const node = newNode(id, size);
    this.#window.push(node);
    this.#nodes.set(id, { node, queue: this.#window });
    while (this.#window.bytes > this.#capacity / 100 && this.#window.oldest !== null)
      this.#leaveWindow(this.#window.oldest);
    return false;
  }
  #touch(found: { node: Node; queue: Queue }): void {
    const { node, queue } = found;
    queue.remove(node);
    if (queue === this.#window) return queue.push(node);
    this.#guarded.push(node);
    found.queue = this.#guarded;
    while (this.#guarded.bytes > this.#capacity * 0.8) {
      const back = this.#guarded.oldest as Node;
      this.#guarded.remove(back);
      this.#probation.push(back);
      (this.#nodes.get(back.id) as { queue: Queue }).queue = this.#probation;
    }
  }
  #leaveWindow(candidate: Node): void {
    this.#window.remove(candidate);
    const most = this.#capacity * 0.99;
    while (this.#probation.bytes + this.#guarded.bytes + candidate.size > most) {
      const victim = this.#probation.oldest ?? this.#guarded.oldest;
      if (victim === null || this.#frequency(candidate.id) <= this.#frequency(victim.id)) {
        this.#nodes.delete(candidate.id);
        return;
      }
      (this.#nodes.get(victim.id) as { queue: Queue }).queue.remove(victim);
      this.#nodes.delete(victim.id);
    }
    this.#probation.push(candidate);
    (this.#nodes.get(candidate.id) as { queue: Queue }).queue = this.#probation;
  }
  #at(id: number, row: number): number {
    let h = Math.imul(id + 1, 0x9e3779b1 + row * 0x7f4a7c15) >>> 0;
    h = Math.imul(h ^ (h >>> 15), 0x85ebca6b) >>> 0;
    return ((h ^ (h >>> 13)) & this.#mask) * 4 + row;
  }
  #count(id: number): void {
    for (let row = 0; row < 4; row++) {
      const at = this.#at(id, row);
      if ((this.#sketch[at] as number) < 15) (this.#sketch[at] as number)++;
    }
    if (++this.#counted < this.#sample) return;
    this.#counted >>= 1;
    for (let i = 0; i < this.#sketch.length; i++) this.#sketch[i] = (this.#sketch[i] as number) >> 1;
  }
  #frequency(id: number): number {
    let least = 15;
    for (let row = 0; row < 4; row++) least = Math.min(least, this.#sketch[this.#at(id, row)] as number);
    return least;
  }
}

/** Who is asked for last goes first. The optimum for equal sizes; for mixed ones distance times size, a good approximation. */
export class Belady implements Policy {
  readonly #inside = new Map<number, { size: number; next: number }>();
  readonly #heap: { id: number; next: number; weight: number }[] = [];
  readonly #capacity: number;
  bytes = 0;
  constructor(capacity: number) {
    this.#capacity = capacity;
  }
  request(id: number, size: number, next: number): boolean {
    const found = this.#inside.get(id);
    if (found !== undefined) {
      found.next = next;
      this.#push(id, size, next);
      return true;
    }
    if (size > this.#capacity || next === Infinity) return false;
    this.#inside.set(id, { size, next });
    this.bytes += size;
    this.#push(id, size, next);
    while (this.bytes > this.#capacity) this.#pop();
    return false;
  }
  #push(id: number, size: number, next: number): void {
    const heap = this.#heap;
    // Distances shrink alike for all as time goes on; the product with a size does not, which is the approximation.
    const weight = next === Infinity ? Infinity : next * size;
    let at = heap.length;
    heap.push({ id, next, weight });
    while (at > 0) {
      const up = (at - 1) >> 1;
      if ((heap[up] as { weight: number }).weight >= weight) break;
      [heap[at], heap[up]] = [heap[up] as (typeof heap)[0], heap[at] as (typeof heap)[0]];
      at = up;
    }
  }
  #pop(): void {
    const heap = this.#heap;
    const top = heap[0] as (typeof heap)[0];
    const last = heap.pop() as (typeof heap)[0];
    if (heap.length > 0) {
      heap[0] = last;
      for (let at = 0; ; ) {
        let most = at;
        for (const child of [2 * at + 1, 2 * at + 2]) {
          if (child < heap.length && (heap[child] as (typeof heap)[0]).weight > (heap[most] as (typeof heap)[0]).weight)
            most = child;
        }
        if (most === at) break;
        [heap[at], heap[most]] = [heap[most] as (typeof heap)[0], heap[at] as (typeof heap)[0]];
        at = most;
      }
    }
    const inside = this.#inside.get(top.id);
    // An older entry of an object that was asked for since.
    if (inside === undefined || inside.next !== top.next) return;
    this.#inside.delete(top.id);
    this.bytes -= inside.size;
  }
}
