// One entry of `upstreams` in gateway.yaml: a URL, a list of URLs, or the long form. Pure.

import * as z from 'zod';
import { isHostName } from './addresses.ts';
import { listenPlaceholder, splitCommand } from './argv.ts';
import { balanceSchema } from './balance.ts';
import type {
  BalanceConfig,
  BreakerConfig,
  EjectConfig,
  HealthConfig,
  HedgeConfig,
  QueueConfig,
  ResolveConfig,
  RetryConfig,
  ServerConfig,
  UpstreamConfig,
} from './config.ts';
import { resolveSchema } from './discovery.ts';
import { ejectSchema, healthSchema } from './health.ts';
import { parsed, refused } from './parsed.ts';
import { breakerSchema, concurrencySchema, hedgeSchema, queueSchema, retrySchema } from './resilience.ts';
import { duration, durationOrOff, flag, forms, scalar, serverAddress, text, whole, wholeOrAuto } from './scalars.ts';
import { type TimeoutsOverlay, timeoutsOverlaySchema } from './sections.ts';

export type WrittenServer = ServerConfig;

export interface WrittenCommand {
  readonly argv: readonly string[];
  readonly via: 'socket' | 'port';
}

/** An upstream whose paths are not yet absolute and whose files are not yet read. */
export interface WrittenUpstream {
  readonly servers: readonly WrittenServer[] | null;
  readonly command: WrittenCommand | null;
  readonly resolve: ResolveConfig | null;
  readonly instances: number | null;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly stopGraceMs: number;
  readonly balance: BalanceConfig;
  readonly slowStartMs: number;
  readonly health: HealthConfig | null;
  readonly eject: EjectConfig | null;
  readonly retry: RetryConfig;
  readonly hedge: HedgeConfig | null;
  readonly queue: QueueConfig;
  readonly concurrency: number | 'auto' | null;
  readonly breaker: BreakerConfig | null;
  readonly connections: number;
  readonly http2: UpstreamConfig['http2'];
  readonly tls: UpstreamConfig['tls'];
  readonly host: string;
  readonly timeouts: TimeoutsOverlay;
}

/** Names of upstreams: they stand in log lines, metrics and paths of the admin API. */
export const UPSTREAM_NAME: RegExp = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** Behind every priority that can be written. */
const BACKUP_TIER = 1000;

const serverSchema = forms<WrittenServer>('a server such as "http://127.0.0.1:8001", or { url: , weight: }', [
  serverAddress().transform((address): WrittenServer => ({ address, weight: 1, tier: 0 })),
  z
    .strictObject({
      url: serverAddress().describe('"http://host:port", "https://host" or "unix:/path".'),
      weight: whole(1, 1000).prefault(1).describe('Share of the requests compared to the other servers.'),
      backup: flag().prefault(false).describe('Takes requests only while none of the others may.'),
      priority: whole(0, 99)
        .prefault(0)
        .describe('Servers of the next number take requests only while none of this one may.'),
    })
    .transform(
      (written): WrittenServer => ({
        address: written.url,
        weight: written.weight,
        tier: written.priority + (written.backup ? BACKUP_TIER : 0),
      }),
    ),
]);

const commandSchema = scalar<WrittenCommand>(
  (input) => {
    const argv = splitCommand(input);
    if (!argv.ok) return argv;
    const via = listenPlaceholder(argv.value);
    return via.ok ? parsed({ argv: argv.value, via: via.value }) : via;
  },
  { type: 'string', 'x-type': 'command' },
);

const hostSchema = scalar<string>(
  (input) => {
    const advice = 'must be keep, upstream, or a name such as api.example.com';
    if (typeof input !== 'string') return refused('wrong-type', advice);
    if (input === 'keep' || input === 'upstream') return parsed(input);
    const found = /^(\[[0-9a-f:.]+\]|[^:[\]]+)(:[0-9]{1,5})?$/.exec(input.toLowerCase());
    if (found === null || !(found[1]?.startsWith('[') || isHostName(found[1] ?? '')))
      return refused('bad-value', advice);
    return parsed(input.toLowerCase());
  },
  { type: 'string', 'x-type': 'keep | upstream | name' },
);

const http2Schema = scalar<UpstreamConfig['http2']>(
  (input) => {
    if (input === false || input === 'off') return parsed('off');
    if (input === true) return parsed('alpn');
    if (input === 'h2c') return parsed('h2c');
    return refused('bad-value', 'must be false, true (chosen by ALPN, needs https) or h2c');
  },
  { enum: [false, true, 'off', 'h2c'], 'x-type': 'false | true | h2c' },
);

const tlsSchema = z
  .strictObject({
    verify: flag().prefault(true).describe('Whether the certificate of the server is verified.'),
    ca: text('the path of a PEM file', { empty: true })
      .prefault('')
      .describe('PEM file with the CAs to trust instead of those of the system.'),
    servername: text('a host name', { empty: true })
      .prefault('')
      .describe('Name asked for and verified (SNI); by default the host of the server.'),
    cert: text('the path of a PEM file', { empty: true }).prefault('').describe('PEM file with a client certificate.'),
    key: text('the path of a PEM file', { empty: true }).prefault('').describe('PEM file with its private key.'),
  })
  .prefault({})
  .describe('TLS to https servers.');

const longForm = z
  .strictObject({
    servers: z
      .array(serverSchema)
      .min(1, 'must name at least one server')
      .optional()
      .describe('Where the instances listen: "http://host:port", "https://host", "unix:/path", or { url: , weight: }.'),
    command: commandSchema
      .optional()
      .describe(
        'Instead of servers: what starts one instance. Split into words, run without a shell; {socket} or {port} says where it must listen. Only `sluice run` starts it.',
      ),
    resolve: resolveSchema.optional(),
    instances: wholeOrAuto(1, 256).prefault('auto').describe('How many are started; auto is one per core.'),
    env: z
      .record(
        z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be the name of an environment variable'),
        environmentValue(),
      )
      .prefault({})
      .describe('Environment variables of the command, beside those of the gateway.'),
    cwd: text('a folder').prefault('.').describe('Folder in which the command runs.'),
    stop_grace: duration({ minMs: 0 }).prefault('10s').describe('Time between SIGTERM and SIGKILL.'),
    balance: balanceSchema
      .prefault('p2c')
      .describe(
        'p2c: the better of two by measured latency and load. round_robin: in turn. least_requests: the emptiest. random: by chance. Or what binds a request to a server: { hash: "header:x-tenant" }, { sticky: sluice }.',
      ),
    slow_start: durationOrOff({ minMs: 100 })
      .prefault('10s')
      .describe(
        'A server that comes back gets from a tenth to all of its share in this time. Not at the start of the gateway.',
      ),
    health: healthSchema
      .optional()
      .describe('A path that is probed, or the long form. Without it a server counts as good until requests fail.'),
    eject: ejectSchema.prefault({}),
    retry: retrySchema.prefault({}),
    hedge: hedgeSchema.prefault('off'),
    queue: queueSchema.prefault({}),
    concurrency: concurrencySchema.prefault('off'),
    breaker: breakerSchema.prefault('off'),
    connections: whole(1, 100_000).prefault(128).describe('Connections per server, over all workers together.'),
    http2: http2Schema.prefault(false).describe('HTTP/2 to the servers. true: where ALPN agrees. h2c: without TLS.'),
    tls: tlsSchema,
    host: hostSchema
      .prefault('keep')
      .describe("Host that the servers see. keep: the client's. upstream: the server's own. Or a name."),
    timeouts: timeoutsOverlaySchema.describe('As timeouts above, for this upstream.'),
  })
  .transform(
    (written): WrittenUpstream => ({
      servers: written.servers ?? null,
      command: written.command ?? null,
      resolve: written.resolve ?? null,
      instances: written.instances,
      env: written.env,
      cwd: written.cwd,
      stopGraceMs: written.stop_grace,
      balance: written.balance,
      slowStartMs: written.slow_start ?? 0,
      health: written.health ?? null,
      eject: written.eject,
      retry: written.retry,
      hedge: written.hedge,
      queue: written.queue,
      concurrency: written.concurrency,
      breaker: written.breaker,
      connections: written.connections,
      http2: written.http2,
      tls: written.tls,
      host: written.host,
      timeouts: written.timeouts,
    }),
  );

function environmentValue(): z.ZodType<string, unknown> {
  return scalar<string>(
    (input) => {
      if (typeof input === 'number' || typeof input === 'boolean') return parsed(String(input));
      if (typeof input !== 'string') return refused('wrong-type', 'must be text');
      return input.includes('\0') ? refused('bad-value', 'must not hold a NUL character') : parsed(input);
    },
    { type: ['string', 'number', 'boolean'], 'x-type': 'text' },
  );
}

/** The short forms mean the long form with nothing but servers. */
function plain(servers: readonly WrittenServer[]): WrittenUpstream {
  return longForm.parse({
    servers: servers.map(({ address, weight, tier }) => ({
      url: address.text,
      weight,
      priority: tier % BACKUP_TIER,
      backup: tier >= BACKUP_TIER,
    })),
  });
}

export const upstreamSchema: z.ZodType<WrittenUpstream, unknown> = forms<WrittenUpstream>(
  'a server such as "http://127.0.0.1:8001", a list of servers, or a map',
  [
    serverAddress().transform((address) => plain([{ address, weight: 1, tier: 0 }])),
    z.array(serverSchema).min(1, 'must name at least one server').transform(plain),
    longForm,
  ],
).describe('Instances that serve the same thing.');
