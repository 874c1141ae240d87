// A fleet in a model: requests with times and objects go to gateways that each have a memory, with or without a Redis behind
// them. It counts what each tier answers and what the origin and Redis are asked. Nothing is measured here.

import { Chance, zipf } from '../sim/traces.ts';

export type Spread =
  /** A balancer that knows nothing of URLs: any gateway. */
  | 'any'
  /** A balancer that hashes the URL: always the same gateway. */
  | 'hash';

export interface FleetModel {
  readonly gateways: number;
  readonly spread: Spread;
  readonly redis: boolean;
  /** Objects that exist, and the exponent of their popularity. */
  readonly objects: number;
  readonly alpha: number;
  /** Requests per second of the whole fleet, and how many are simulated after as many to warm up. */
  readonly perSecond: number;
  readonly requests: number;
  /** Objects that the memory of one gateway holds, and Redis. */
  readonly memoryObjects: number;
  readonly redisObjects: number;
  readonly freshS: number;
  /** How long the origin takes: who asks meanwhile waits for the same answer. */
  readonly originS: number;
}

export interface FleetFigures {
  /** Parts of all requests. */
  readonly memoryHits: number;
  readonly redisHits: number;
  /** Answered by a fetch of somebody else. */
  readonly collapsed: number;
  readonly origin: number;
  /** Per request of a client. */
  readonly redisCommands: number;
}

/** What a memory holds until when; the least recently used goes. */
class Memory {
  readonly #most: number;
  readonly #untilS = new Map<number, number>();

  constructor(most: number) {
    this.#most = most;
  }

  isFresh(id: number, nowS: number): boolean {
    const untilS = this.#untilS.get(id);
    if (untilS === undefined) return false;
    this.#untilS.delete(id);
    if (nowS >= untilS) return false;
    this.#untilS.set(id, untilS);
    return true;
  }

  /** When it ends, of what is fresh. */
  untilOf(id: number): number {
    return this.#untilS.get(id) ?? 0;
  }

  put(id: number, untilS: number): void {
    this.#untilS.delete(id);
    this.#untilS.set(id, untilS);
    if (this.#untilS.size <= this.#most) return;
    for (const oldest of this.#untilS.keys()) {
      this.#untilS.delete(oldest);
      return;
    }
  }
}

// As gateway/store/remote/remote.ts sends them.
const COMMANDS_HIT = 1;
/** GET; SET NX and GET of the lease; the script that writes and ends it; PUBLISH. */
const COMMANDS_MISS = 5;

export function simulateFleet(model: FleetModel, seed = 1): FleetFigures {
  const chance = new Chance(seed);
  const next = zipf(model.objects, model.alpha, chance);
  const memories = Array.from({ length: model.gateways }, () => new Memory(model.memoryObjects));
  const shared = new Memory(model.redisObjects);
  /** When the fetch under way brings it, by object, and by gateway where nobody else is told. */
  const filling = new Map<number, number>();
  const counts = { memory: 0, redis: 0, collapsed: 0, origin: 0, commands: 0 };
  for (let n = 0; n < 2 * model.requests; n++) {
    if (n === model.requests) Object.assign(counts, { memory: 0, redis: 0, collapsed: 0, origin: 0, commands: 0 });
    const nowS = n / model.perSecond;
    const id = next();
    const at =
      model.spread === 'hash'
        ? (Math.imul(id, 0x9e3779b1) >>> 0) % model.gateways
        : Math.floor(chance.next() * model.gateways);
    const memory = memories[at] as Memory;
    if (memory.isFresh(id, nowS)) {
      // What is still on its way is there for whoever waits.
      if (memory.untilOf(id) - model.freshS > nowS) counts.collapsed++;
      else counts.memory++;
      continue;
    }
    if (!model.redis) {
      counts.origin++;
      memory.put(id, nowS + model.originS + model.freshS);
      continue;
    }
    const arrivesS = filling.get(id) ?? 0;
    if (arrivesS > nowS) {
      // Another gateway fetches it: one look, one try for the lease, one look at the end.
      counts.collapsed++;
      counts.commands += COMMANDS_MISS;
      memory.put(id, arrivesS + model.freshS);
      continue;
    }
    if (shared.isFresh(id, nowS)) {
      counts.redis++;
      counts.commands += COMMANDS_HIT;
      memory.put(id, shared.untilOf(id));
      continue;
    }
    counts.origin++;
    counts.commands += COMMANDS_MISS;
    filling.set(id, nowS + model.originS);
    const untilS = nowS + model.originS + model.freshS;
    memory.put(id, untilS);
    shared.put(id, untilS);
  }
  const part = (count: number): number => count / model.requests;
  return {
    memoryHits: part(counts.memory),
    redisHits: part(counts.redis),
    collapsed: part(counts.collapsed),
    origin: part(counts.origin),
    redisCommands: part(counts.commands),
  };
}
