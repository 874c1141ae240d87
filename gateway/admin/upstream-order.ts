// An order about upstreams as the admin API takes it: JSON checked into a value, or what is wrong with it. Which upstreams
// and instances there are is not known here.

import { parseServer } from '../config/addresses.ts';
import type { ServerAddress } from '../config/config.ts';
import { readObject } from './json-body.ts';

export type UpstreamOrder =
  /** drain: no new clients. disable: nothing at all. enable: like any other. */
  | { readonly kind: 'drain' | 'enable' | 'disable'; readonly instance: string }
  /** null = as the config has it. */
  | { readonly kind: 'weight'; readonly instance: string; readonly weight: number | null }
  | { readonly kind: 'add'; readonly upstream: string; readonly address: ServerAddress; readonly weight: number }
  | { readonly kind: 'remove'; readonly instance: string }
  /** Restarts the processes of a managed upstream, one after the other. */
  | { readonly kind: 'restart'; readonly upstream: string };

export type UpstreamOutcome =
  | { readonly ok: true; readonly done: string; readonly tookMs: number }
  /** notFound: there is no such upstream or instance. */
  | { readonly ok: false; readonly problem: string; readonly notFound: boolean };

const MEMBERS = {
  drain: ['instance'],
  enable: ['instance'],
  disable: ['instance'],
  remove: ['instance'],
  weight: ['instance', 'weight'],
  add: ['upstream', 'url', 'weight'],
  restart: ['upstream'],
} as const;

const EXAMPLE = '{"order": "drain", "instance": "api/127.0.0.1:8001"}';
const MOST_WEIGHT = 1000;

/** Reads an order. */
export function parseUpstreamOrder(body: string): { readonly order: UpstreamOrder } | { readonly problem: string } {
  const read = readObject(body, EXAMPLE);
  if ('problem' in read) return read;
  const { members } = read;
  const kind = members.get('order');
  if (typeof kind !== 'string' || !Object.hasOwn(MEMBERS, kind))
    return { problem: `order must be one of ${Object.keys(MEMBERS).join(', ')}` };
  const known: readonly string[] = MEMBERS[kind as keyof typeof MEMBERS];
  for (const name of members.keys()) {
    if (name !== 'order' && !known.includes(name))
      return { problem: `The order ${kind} has no member ${JSON.stringify(name)}, only ${known.join(', ')}` };
  }
  const text = (name: string): string => {
    const value = members.get(name);
    return typeof value === 'string' ? value : '';
  };
  for (const name of ['instance', 'upstream']) {
    if (known.includes(name) && text(name) === '') return { problem: `${name} must be the name of an ${name}` };
  }
  switch (kind as keyof typeof MEMBERS) {
    case 'weight': {
      const weight = members.get('weight') ?? null;
      if (weight !== null && !isWeight(weight)) return { problem: `weight must be from 0 to ${MOST_WEIGHT}, or null` };
      return { order: { kind: 'weight', instance: text('instance'), weight } };
    }
    case 'add': {
      const server = parseServer(members.get('url'));
      if (!server.ok) return { problem: `url ${server.message}` };
      const weight = members.get('weight') ?? 1;
      if (!isWeight(weight)) return { problem: `weight must be from 0 to ${MOST_WEIGHT}` };
      return { order: { kind: 'add', upstream: text('upstream'), address: server.value, weight } };
    }
    case 'restart':
      return { order: { kind: 'restart', upstream: text('upstream') } };
    default:
      return { order: { kind: kind as 'drain' | 'enable' | 'disable' | 'remove', instance: text('instance') } };
  }
}

function isWeight(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 && value <= MOST_WEIGHT;
}
