// `cache.shared` of gateway.yaml: the Redis or Valkey behind the cache, as a URL or in the long form. Pure.

import * as z from 'zod';
import type { SharedConfig } from './config.ts';
import { type Parsed, parsed, refused } from './parsed.ts';
import { duration, flag, forms, scalar, size, text, word } from './scalars.ts';

const KIB = 1024;
const MIB = 1_048_576;

/** What a URL says. */
type Place = Pick<SharedConfig, 'nodes' | 'path' | 'tls' | 'username' | 'password' | 'database'>;

/** As written; paths of files are not yet texts. */
export type WrittenShared = Omit<SharedConfig, 'ca' | 'cert' | 'key'> & {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
};

const ADVICE =
  'must be a URL such as "redis://cache:6379", "rediss://user:password@cache:6379/0" or "unix:/run/redis.sock"';
const DEFAULT_PORT = 6379;
const SENTINEL_PORT = 26_379;

/** Reads redis://, rediss:// (TLS) and unix: URLs. */
function parsePlace(input: unknown): Parsed<Place> {
  if (typeof input !== 'string') return refused('wrong-type', ADVICE);
  const socket = /^unix:(\/[^?]*)(?:\?db=(\d{1,5}))?$/.exec(input);
  if (socket !== null) {
    const database = Number(socket[2] ?? 0);
    return parsed({ nodes: [], path: socket[1] as string, tls: false, username: '', password: '', database });
  }
  if (/^(https?|tcp|valkeys?):/.test(input)) {
    const secure = /^(https|valkeys):/.test(input);
    return refused(
      'bad-value',
      ADVICE,
      // What a variable holds is not shown.
      `did you mean ${secure ? 'rediss' : 'redis'}:${input.includes('@') ? '//...' : input.replace(/^[a-z]+:/, '')}?`,
    );
  }
  if (!/^rediss?:\/\//.test(input)) {
    const isHost = /^[\w.-]+(:\d+)?$/.test(input);
    return refused('bad-value', ADVICE, isHost ? `did you mean "redis://${input}"?` : '');
  }
  let url: URL;
  let username: string;
  let password: string;
  try {
    url = new URL(input);
    username = decodeURIComponent(url.username);
    password = decodeURIComponent(url.password);
  } catch {
    return refused('bad-value', `${ADVICE}; special characters in a password are written as %23`);
  }
  const database = /^\/?(\d{0,5})$/.exec(url.pathname);
  if (url.hostname === '' || database === null || url.search !== '' || url.hash !== '')
    return refused('bad-value', ADVICE);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port);
  return parsed({
    nodes: [{ host, port }],
    path: '',
    tls: url.protocol === 'rediss:',
    username,
    password,
    database: Number(database[1] ?? 0),
  });
}

const place = (): z.ZodType<Place, unknown> => scalar(parsePlace, { type: 'string', 'x-type': 'redis URL' });

const node = (port: number): z.ZodType<SharedConfig['nodes'][number], unknown> =>
  scalar<SharedConfig['nodes'][number]>(
    (input) => {
      const found =
        typeof input === 'string' ? /^(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+))(?::(\d{1,5}))?$/.exec(input) : null;
      if (found === null) return refused('bad-value', `must be a host and a port such as "cache-1:${port}"`);
      return parsed({ host: (found[1] ?? found[2]) as string, port: Number(found[3] ?? port) });
    },
    { type: 'string', 'x-type': 'host:port' },
  );

const secret = (): z.ZodType<string, unknown> => text('text', { empty: true });

const DEFAULTS = {
  mode: 'single',
  deadlineMs: 50,
  maxObjectBytes: 512 * KIB,
  prefix: 'sluice:',
  hmac: '',
  master: '',
  sentinelPassword: '',
  verify: true,
  servername: '',
  caFile: '',
  certFile: '',
  keyFile: '',
} as const;

const longForm = z
  .strictObject({
    url: place()
      .optional()
      .describe(
        'redis://user:password@host:6379/0, rediss:// for TLS, or unix:/run/redis.sock. With cluster or sentinel: who to log in as and whether over TLS; its host is one of the nodes.',
      ),
    mode: word(['single', 'sentinel', 'cluster']).prefault('single').describe('One server, Sentinel, or Cluster.'),
    sentinel: z
      .strictObject({
        master: text('the name of a master').describe('Name of the master, as the sentinels know it.'),
        nodes: z
          .array(node(SENTINEL_PORT))
          .min(1, 'must name at least one sentinel')
          .describe('The sentinels, "host:26379".'),
        password: secret().prefault('').describe('Password of the sentinels themselves.'),
      })
      .optional()
      .describe('With mode: sentinel.'),
    cluster: z
      .strictObject({
        nodes: z.array(node(DEFAULT_PORT)).prefault([]).describe('Some of the nodes, "host:6379"; they name the rest.'),
      })
      .optional()
      .describe('With mode: cluster.'),
    deadline: duration({ minMs: 5, maxMs: 5000 })
      .prefault('50ms')
      .describe('How long an answer of Redis is waited for; then the upstream is asked.'),
    max_object: size(KIB, 64 * MIB)
      .prefault('512KiB')
      .describe('Larger answers stay in the memory of the gateway that fetched them.'),
    prefix: text('text without spaces and "{"', { empty: true, pattern: /^[^\s{}]{0,64}$/ })
      .prefault('sluice:')
      .describe('What every key begins with. Gateways with the same prefix are one fleet.'),
    hmac: secret()
      .prefault('')
      .describe(
        'A secret of the fleet: values are signed, and what others wrote is a miss. For a Redis that more than the gateways can write to.',
      ),
    tls: z
      .strictObject({
        verify: flag().prefault(true).describe('Whether the certificate of Redis is verified.'),
        ca: text('the path of a PEM file', { empty: true })
          .prefault('')
          .describe('PEM file with the CAs to trust instead of those of the system.'),
        servername: text('a host name', { empty: true }).prefault('').describe('Name to verify; by default the host.'),
        cert: text('the path of a PEM file', { empty: true })
          .prefault('')
          .describe('PEM file with a client certificate.'),
        key: text('the path of a PEM file', { empty: true }).prefault('').describe('PEM file with its private key.'),
      })
      .prefault({})
      .describe('TLS to Redis, with a rediss:// URL.'),
  })
  .superRefine((written, context) => {
    const complain = (path: string[], message: string): void =>
      context.addIssue({ code: 'custom', path, message, params: { code: 'missing-key', hint: '' } });
    if (written.mode === 'single' && written.url === undefined) complain([], 'has no url');
    if (written.mode === 'sentinel' && written.sentinel === undefined)
      complain([], 'has mode: sentinel and needs sentinel: { master: , nodes: [] }');
    if (written.mode === 'cluster' && written.url === undefined && (written.cluster?.nodes ?? []).length === 0)
      complain([], 'has mode: cluster and needs a url or cluster: { nodes: [] }');
    if (written.mode !== 'single' && (written.url?.path ?? '') !== '')
      complain(['url'], 'must not be a unix socket with sentinel or cluster');
  })
  .transform((written): WrittenShared => {
    const { url, mode, sentinel, cluster } = written;
    const hosts = url?.nodes ?? [];
    const nodes =
      mode === 'sentinel'
        ? (sentinel?.nodes ?? [])
        : mode === 'cluster'
          ? [...hosts, ...(cluster?.nodes ?? [])]
          : hosts;
    return {
      mode,
      nodes,
      path: url?.path ?? '',
      tls: url?.tls ?? false,
      username: url?.username ?? '',
      password: url?.password ?? '',
      database: url?.database ?? 0,
      master: sentinel?.master ?? '',
      sentinelPassword: sentinel?.password ?? '',
      deadlineMs: written.deadline,
      maxObjectBytes: written.max_object,
      prefix: written.prefix,
      hmac: written.hmac,
      verify: written.tls.verify,
      servername: written.tls.servername,
      caFile: written.tls.ca,
      certFile: written.tls.cert,
      keyFile: written.tls.key,
    };
  });

/** Nothing, or '' as an unset variable leaves it: memory only. */
export const sharedSchema: z.ZodType<WrittenShared | null, unknown> = forms<WrittenShared | null>(
  'a URL such as "redis://cache:6379", a map, or empty for memory only',
  [
    scalar<WrittenShared | null>(
      (input) => {
        if (input === '' || input === 'off' || input === false || input === null) return parsed(null);
        const found = parsePlace(input);
        return found.ok ? parsed<WrittenShared | null>({ ...DEFAULTS, ...found.value }) : found;
      },
      { type: 'string', 'x-type': 'redis URL' },
    ),
    longForm,
  ],
).describe(
  'Redis or Valkey (6.2 or newer) behind the cache: what one gateway stored the others serve, what one purges none serves, and all of them fetch a key once. Slow or gone, it fails no request. Empty: memory only.',
);
