// One entry of the fleet's log of purges as it stands in Redis. Whoever can write there can write anything, and a newer
// gateway may write what this one does not understand: that purges everything, too much and never too little. Pure.

import { isPurgeSubject, type PurgeSubject } from '../store/purges.ts';

export interface FleetEntry {
  /** The gateway that purged, and how it counts its entries. */
  readonly from: string;
  readonly number: number;
  readonly soft: boolean;
  /** Everybody is to say that it holds there, and how many it ended. */
  readonly asks: boolean;
  /** None: the entry only marks the beginning of the log. */
  readonly subjects: readonly PurgeSubject[];
}

export function formatEntry(entry: FleetEntry): string {
  return JSON.stringify(entry);
}

/** The entry, or one that purges everything. */
export function parseEntry(text: string): FleetEntry & { readonly understood: boolean } {
  try {
    const { from, number, soft, asks, subjects } = JSON.parse(text) as Record<string, unknown>;
    if (
      typeof from === 'string' &&
      typeof number === 'number' &&
      typeof soft === 'boolean' &&
      typeof asks === 'boolean' &&
      Array.isArray(subjects) &&
      subjects.every(isPurgeSubject)
    )
      return { from, number, soft, asks, subjects: subjects as PurgeSubject[], understood: true };
  } catch {
    // Not JSON.
  }
  return {
    from: '',
    number: 0,
    soft: false,
    asks: false,
    subjects: [{ kind: 'all', host: '' }],
    understood: false,
  };
}

/** What a gateway says when a purge holds there. */
export interface FleetAck {
  readonly gateway: string;
  readonly objects: number;
  readonly bytes: number;
}

export function parseAck(text: string): FleetAck | null {
  try {
    const { gateway, objects, bytes } = JSON.parse(text) as Record<string, unknown>;
    return typeof gateway === 'string' && typeof objects === 'number' && typeof bytes === 'number'
      ? { gateway, objects, bytes }
      : null;
  } catch {
    return null;
  }
}
