// An edge for wire tests: real listeners on free ports, an answer function in the machine's place, and a record of what
// was asked, closed and complained about.

import { randomBytes } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { generate } from 'selfsigned';
import type { LimitsConfig, ListenAddress } from '../../gateway/config/config.ts';
import { createEdge, type Edge, type EdgeSettings } from '../../gateway/edge/edge.ts';
import type { Downstream, UpgradeRequest } from '../../gateway/request/downstream.ts';

export const limits: LimitsConfig = {
  headerBytes: 14_336,
  headerLineBytes: 8192,
  headers: 100,
  targetBytes: 8192,
  bodyBytes: 10_485_760,
  handshakeMs: 10_000,
  headerTimeoutMs: 10_000,
  bodyIdleMs: 30_000,
  bodyTotalMs: 300_000,
  writeIdleMs: 30_000,
  idleMs: 60_000,
  requestsPerConnection: 10_000,
  streams: 100,
  connections: null,
};

export const anyPort: ListenAddress = { kind: 'tcp', host: '127.0.0.1', port: 0, text: '127.0.0.1:0' };

export interface EdgeUnderTest {
  readonly edge: Edge;
  readonly settings: EdgeSettings;
  /** Port of the first http and https listener, 0 = none. */
  readonly port: number;
  readonly securePort: number;
  readonly problems: string[];
  /** Every exchange that came, in order, and whether it closed cleanly (null = not yet). */
  readonly exchanges: { readonly downstream: Downstream; clean: boolean | null }[];
  /** Resolves when the exchange with this index closed. */
  closed(index: number): Promise<boolean>;
  stop(): Promise<void>;
}

export interface EdgeTestOptions {
  /** The express lane; open unless it is said. */
  readonly lane?: boolean;
  readonly answer?: (downstream: Downstream, index: number) => void;
  readonly upgrade?: (upgrade: UpgradeRequest) => void;
  readonly limits?: Partial<LimitsConfig>;
  readonly settings?: Partial<EdgeSettings>;
}

/** "ok" with the request's target as its body. */
export function answerTarget(downstream: Downstream): void {
  downstream.whole(200, ['content-type', 'text/plain'], Buffer.from(downstream.target), false);
}

export function settingsOf(options: EdgeTestOptions = {}): EdgeSettings {
  return {
    http: [anyPort],
    https: [],
    limits: { ...limits, ...options.limits },
    http2: true,
    tls: null,
    connections: 1000,
    ...options.settings,
  };
}

export async function startEdge(options: EdgeTestOptions = {}): Promise<EdgeUnderTest> {
  const problems: string[] = [];
  const exchanges: EdgeUnderTest['exchanges'] = [];
  const waiting = new Map<number, (clean: boolean) => void>();
  const edge = createEdge({
    onExchange(downstream) {
      const index = exchanges.length;
      const record = { downstream, clean: null as boolean | null };
      exchanges.push(record);
      downstream.onClose = (clean) => {
        if (record.clean !== null) throw new Error('onClose twice');
        record.clean = clean;
        waiting.get(index)?.(clean);
      };
      (options.answer ?? answerTarget)(downstream, index);
      return undefined;
    },
    onUpgrade: (upgrade) => (options.upgrade ?? ((u) => answerTarget(u.downstream)))(upgrade),
    onProblem: (word, detail) => problems.push(`${word} ${detail}`),
    onConnections: () => {},
    reusePort: false,
    lane: options.lane ?? true,
    repeats: () => null,
  });
  const settings = settingsOf(options);
  await edge.prepare(settings);
  edge.commit();
  const portOf = (protocol: string): number => edge.addresses().find((a) => a.protocol === protocol)?.port ?? 0;
  return {
    edge,
    settings,
    port: portOf('http'),
    securePort: portOf('https'),
    problems,
    exchanges,
    closed(index) {
      const clean = exchanges[index]?.clean ?? null;
      if (clean !== null) return Promise.resolve(clean);
      return new Promise((resolve) => waiting.set(index, resolve));
    },
    stop: async () => {
      await edge.drain(0);
    },
  };
}

export interface TestTls {
  readonly settings: Pick<EdgeSettings, 'https' | 'tls'>;
  /** For clients. */
  readonly ca: string;
}

interface Pair {
  readonly cert: string;
  readonly private: string;
}

const EC = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' } as const;
let cached: Promise<{ ca: string; own: Pair; other: Pair }> | null = null;

/** Certificates for localhost and other.test under one authority, made once per process. */
export async function testTls(): Promise<TestTls> {
  cached ??= makePairs();
  const { ca, own, other } = await cached;
  const contextOf = (pair: Pair): SecureContext => createSecureContext({ cert: pair.cert, key: pair.private });
  const contexts = { own: contextOf(own), other: contextOf(other) };
  return {
    ca,
    settings: {
      https: [anyPort],
      tls: {
        choose: (name) => (name === 'other.test' ? contexts.other : contexts.own),
        minVersion: 'TLSv1.2',
        ticketKeys: randomBytes(48),
      },
    },
  };
}

async function makePairs(): Promise<{ ca: string; own: Pair; other: Pair }> {
  const authority = await generate([{ name: 'commonName', value: 'edge tests' }], {
    ...EC,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  const leaf = (name: string): Promise<Pair> =>
    generate([{ name: 'commonName', value: name }], {
      ...EC,
      ca: { key: authority.private, cert: authority.cert },
      extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: name }] }],
    });
  return { ca: authority.cert, own: await leaf('localhost'), other: await leaf('other.test') };
}
