// An order to purge as the admin API takes it: JSON checked into a value, or what is wrong with it. Which URLs there are is
// not known here.

import { LIMITS } from '../tables/limits.ts';
import { readObject } from './json-body.ts';

export interface PurgeOrder {
  readonly kind: 'url' | 'prefix' | 'tag' | 'all';
  /** As the operator wrote them; empty for 'all'. */
  readonly names: readonly string[];
  /** Stale from now on, but kept. */
  readonly soft: boolean;
  /** Only on this host, with or without a port; '' = everywhere. */
  readonly host: string;
}

/** What an order came to beyond this gateway. */
export interface FleetPurged {
  /** The others that were there, and whether they said in time that it holds. */
  readonly gateways: readonly {
    readonly name: string;
    readonly confirmed: boolean;
    readonly objects: number;
    readonly bytes: number;
  }[];
  /** What Redis held of it, or why that is not known. */
  readonly redis: { readonly objects: number; readonly bytes: number } | { readonly problem: string };
}

/** What came of an order. */
export type PurgeOutcome =
  | {
      readonly ok: true;
      /** Stored responses that it ended, each variant one. */
      readonly purged: number;
      /** What they take in the cache, or took. */
      readonly bytes: number;
      readonly tookMs: number;
      /** What it came to in the other gateways and in Redis; null = there are none. */
      readonly fleet: FleetPurged | null;
    }
  | { readonly ok: false; readonly problem: string };

const KINDS = ['url', 'prefix', 'tag', 'all'] as const;
const MEMBERS: ReadonlySet<string> = new Set([...KINDS, 'soft', 'host']);
const EXAMPLE = '{"tag": "catalog", "soft": true}';

/** Reads an order: { url | prefix | tag | all: true, soft?, host? }; url and tag may be lists. */
export function parsePurgeOrder(body: string): { readonly order: PurgeOrder } | { readonly problem: string } {
  const read = readObject(body, EXAMPLE);
  if ('problem' in read) return read;
  const { members } = read;
  for (const name of members.keys()) {
    if (!MEMBERS.has(name))
      return { problem: `There is no member ${JSON.stringify(name)}, only ${[...MEMBERS].join(', ')}` };
  }
  const kinds = KINDS.filter((kind) => members.has(kind));
  const [kind] = kinds;
  if (kind === undefined || kinds.length > 1)
    return { problem: `There must be exactly one of ${KINDS.join(', ')}, such as ${EXAMPLE}` };
  const soft = members.get('soft') ?? false;
  if (typeof soft !== 'boolean') return { problem: 'soft must be true or false' };
  const host = members.get('host') ?? '';
  if (typeof host !== 'string' || (host === '' && members.has('host'))) return { problem: 'host must be a host name' };
  if (kind === 'all') {
    if (members.get('all') !== true) return { problem: 'all must be true' };
    return { order: { kind, names: [], soft, host } };
  }
  const named = members.get(kind);
  const names = Array.isArray(named) && kind !== 'prefix' ? (named as readonly unknown[]) : [named];
  if (names.length === 0 || names.length > LIMITS.purgeMembers)
    return { problem: `${kind} must be a text, or a list of 1 to ${LIMITS.purgeMembers}` };
  const texts = names.filter((name) => typeof name === 'string' && name !== '') as readonly string[];
  if (texts.length < names.length)
    return { problem: `${kind} must be a text that is not empty${kind === 'prefix' ? '' : ', or a list of such'}` };
  return { order: { kind, names: texts, soft, host } };
}
