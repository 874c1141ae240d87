// What `npm run bench:peers` measures, as a table: who takes part, under which load, and what the goal is.

import type { PeerName } from './servers.ts';

export interface LoadScenario {
  readonly name: string;
  readonly text: string;
  readonly servers: readonly PeerName[];
  readonly path: string;
  readonly bodyBytes: number;
  readonly secure: boolean;
  readonly http2: boolean;
  /** No request may reach the origin. */
  readonly isHit: boolean;
  /** One of five requests is for something new (mixed.lua); `path` is then only what is checked before. */
  readonly isMixed: boolean;
  readonly log: boolean;
  /** CPU per request relative to nginx that we want to reach; null = no goal. */
  readonly goal: number | null;
}

const ALL: readonly PeerName[] = [
  'sluice',
  'nginx',
  'haproxy',
  'varnish',
  'caddy',
  'http-proxy-3',
  'http-proxy-3 + agent',
  'fast-proxy',
  '@fastify/http-proxy',
];
const CACHES: readonly PeerName[] = ['sluice', 'nginx', 'haproxy', 'varnish'];
const SECURE: readonly PeerName[] = ['sluice', 'nginx', 'haproxy', 'caddy'];
const SECURE_CACHES: readonly PeerName[] = ['sluice', 'nginx', 'haproxy'];

const plain = { secure: false, http2: false, log: false, isMixed: false, bodyBytes: 1024, goal: null } as const;
const hit = { ...plain, isHit: true, path: '/hit/a' } as const;
const proxied = { ...plain, isHit: false, path: '/a' } as const;

export const LOADS: readonly LoadScenario[] = [
  { ...hit, name: 'hit-h1', text: 'hit, HTTP/1.1', servers: CACHES, goal: 1 },
  {
    ...hit,
    name: 'hit-log',
    text: 'hit, HTTP/1.1, JSON access log',
    servers: ['sluice', 'nginx'],
    log: true,
    goal: 1.1,
  },
  { ...hit, name: 'hit-tls', text: 'hit, TLS 1.3, HTTP/1.1', servers: SECURE_CACHES, secure: true, goal: 1.05 },
  { ...hit, name: 'hit-h2', text: 'hit, HTTP/2', servers: SECURE_CACHES, secure: true, http2: true, goal: 2.6 },
  { ...hit, name: 'hit-16k', text: 'hit of 16 KB, HTTP/1.1', servers: CACHES, path: '/hit/16k', bodyBytes: 2 ** 14 },
  { ...hit, name: 'hit-1m', text: 'hit of 1 MB, HTTP/1.1', servers: CACHES, path: '/hit/1m', bodyBytes: 2 ** 20 },
  { ...hit, name: 'mixed', text: 'Zipf over 1,000 documents, 20 % new ones, HTTP/1.1', servers: CACHES, isMixed: true },
  { ...proxied, name: 'proxied-h1', text: 'proxied GET, HTTP/1.1', servers: ALL, goal: 3.6 },
  { ...proxied, name: 'proxied-tls', text: 'proxied GET, TLS 1.3', servers: SECURE, secure: true },
  { ...proxied, name: 'proxied-h2', text: 'proxied GET, HTTP/2', servers: SECURE, secure: true, http2: true },
];

/** Measured in ways of their own, by run.ts. */
export const OTHERS = {
  'two-workers': 'CPU per hit with two workers, of that with one (goal 1.1)',
  idle: 'memory per idle connection: plain, TLS, HTTP/2 (goals 6, 60, 90 KB)',
  handshakes: 'CPU per TLS 1.3 handshake, full and resumed',
  stream: 'throughput of a 1 GB body, of that of nginx (goal 0.5)',
  start: 'ms from the start of the process to its first answer, warm (goal 700)',
} as const;

export type OtherName = keyof typeof OTHERS;
