// The parts of gateway.yaml that stand once: workers, listen, tls, trusted_proxies, limits, timeouts, admin, log, shutdown.
// Keys, defaults and their meaning stand here and nowhere else; the reference page is made from them. Pure.

import * as z from 'zod';
import type { Config, LimitsConfig, ListenAddress, LogConfig, TimeoutsConfig } from './config.ts';
import { parsed, refused } from './parsed.ts';
import {
  duration,
  durationOrOff,
  fieldName,
  flag,
  forms,
  listenAddress,
  network,
  percentage,
  scalar,
  size,
  text,
  whole,
  wholeOrAuto,
  word,
} from './scalars.ts';

const DAY_MS = 86_400_000;
const KIB = 1024;
const MIB = 1_048_576;
const GIB = 1_073_741_824;

/** `tls` before it is known whether anything listens on https and where the files are. */
export interface TlsSection {
  readonly mode: 'local' | 'files' | 'off' | null;
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  readonly certificates: readonly { readonly hosts: readonly string[]; readonly cert: string; readonly key: string }[];
}

/** The parts of `timeouts` that were written. */
export type TimeoutsOverlay = { readonly [K in keyof TimeoutsConfig]?: TimeoutsConfig[K] };

export const versionSchema: z.ZodType<1, unknown> = scalar<1>(
  (input) => (input === 1 ? parsed(1) : refused('bad-value', 'must be 1, the only version of this format')),
  { const: 1, 'x-type': '1' },
).describe('Version of the format of this file.');

export const workersSchema: z.ZodType<number | null, unknown> = wholeOrAuto(1, 256)
  .prefault('auto')
  .describe('Threads that serve requests; auto leaves the number to the gateway.');

function oneOrMany<T>(what: string, item: () => z.ZodType<T, unknown>): z.ZodType<readonly T[], unknown> {
  const single = item().transform((value): readonly T[] => [value]);
  return forms<readonly T[]>(`${what} or a list of them`, [single, z.array(item())]);
}

export const listenSchema: z.ZodType<Config['listen'], unknown> = z
  .strictObject({
    http: oneOrMany<ListenAddress>('an address such as ":8080" or "127.0.0.1:8080"', listenAddress)
      .prefault(['127.0.0.1:8080', '[::1]:8080'])
      .describe(
        'Addresses for plain HTTP: ":8080" (all addresses, IPv4 and IPv6), "127.0.0.1:8080", "[::1]:8080" or "unix:/run/sluice.sock"; one or a list. [] turns it off.',
      ),
    https: oneOrMany<ListenAddress>('an address such as ":8443" or "127.0.0.1:8443"', listenAddress)
      .prefault([])
      .describe('Addresses for HTTPS, written the same way.'),
    redirect: flag().prefault(false).describe('Plain HTTP answers 308 to the HTTPS address.'),
    http2: flag().prefault(true).describe('HTTP/2 over TLS, chosen by ALPN.'),
  })
  .prefault({})
  .describe('Where the gateway listens.');

export const tlsSchema: z.ZodType<TlsSection, unknown> = z
  .strictObject({
    mode: word(['local', 'files', 'off'])
      .optional()
      .describe(
        'local: an own CA and certificate for localhost, kept in certs/ beside this file. files: the certificates below. off: no HTTPS. Without it: files when certificates are given, local when listen.https is, else off.',
      ),
    min_version: word(['1.2', '1.3'])
      .prefault('1.2')
      .describe('Oldest TLS version that is accepted. Quoted, because it is text.'),
    certificates: z
      .array(
        z
          .strictObject({
            hosts: z
              .array(text('a host name'))
              .prefault([])
              .describe('Host names, exact or "*.example.com"; by default the names in the certificate.'),
            cert: text('the path of a PEM file').describe('PEM file with the certificate and its chain.'),
            key: text('the path of a PEM file').describe('PEM file with the private key.'),
          })
          .describe('One certificate with its key.'),
      )
      .prefault([])
      .describe(
        'Certificates, chosen by the name that the client asks for (SNI); the first is for everything else. Read again when the files change.',
      ),
  })
  .transform(
    (written): TlsSection => ({
      mode: written.mode ?? null,
      minVersion: written.min_version === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
      certificates: written.certificates,
    }),
  )
  .prefault({})
  .describe('Certificates for listen.https.');

export const trustedProxiesSchema: z.ZodType<readonly string[], unknown> = oneOrMany(
  'an address or a CIDR block',
  network,
)
  .prefault([])
  .describe('Addresses and CIDR blocks whose Forwarded and X-Forwarded-* are believed; from others they are dropped.');

export const limitsSchema: z.ZodType<LimitsConfig, unknown> = z
  .strictObject({
    header: size(KIB, MIB)
      .prefault('14KiB')
      .describe('All header bytes of a request. Stays below the 16 KiB of Uvicorn with what the gateway adds.'),
    header_line: size(256, MIB).prefault('8KiB').describe('Bytes of one header line.'),
    headers: whole(10, 2000).prefault(100).describe('Header lines of a request.'),
    target: size(256, MIB).prefault('8KiB').describe('Bytes of path and query.'),
    body: size(0, 1024 * GIB)
      .prefault('10MiB')
      .describe('Bytes of a request body; more is answered 413.'),
    handshake: duration().prefault('10s').describe('Time for the TLS handshake.'),
    header_timeout: duration().prefault('10s').describe('Time for the whole request head.'),
    body_idle: duration().prefault('30s').describe('Longest pause within a request body.'),
    body_total: duration().prefault('5m').describe('Time for a whole request body.'),
    write_idle: duration().prefault('30s').describe('How long a client may read nothing of its answer.'),
    idle: duration().prefault('60s').describe('How long a connection may wait for its next request.'),
    requests_per_connection: whole(1, 1_000_000_000)
      .prefault(10_000)
      .describe('Requests on one connection before it is closed.'),
    streams: whole(1, 10_000).prefault(100).describe('Concurrent HTTP/2 streams of one connection.'),
    connections: wholeOrAuto(1, 10_000_000)
      .prefault('auto')
      .describe('Client connections at once; auto takes it from the file descriptor limit.'),
  })
  .transform(
    (written): LimitsConfig => ({
      headerBytes: written.header,
      headerLineBytes: written.header_line,
      headers: written.headers,
      targetBytes: written.target,
      bodyBytes: written.body,
      handshakeMs: written.handshake,
      headerTimeoutMs: written.header_timeout,
      bodyIdleMs: written.body_idle,
      bodyTotalMs: written.body_total,
      writeIdleMs: written.write_idle,
      idleMs: written.idle,
      requestsPerConnection: written.requests_per_connection,
      streams: written.streams,
      connections: written.connections,
    }),
  )
  .prefault({})
  .describe('What one client may use.');

const TIMEOUT_TEXTS = {
  connect: 'Time to connect to a server, TLS included.',
  first_byte: 'Time from the request sent to the first byte of the answer, per try.',
  between_bytes: 'Longest pause within an answer.',
  stream_idle: 'The same for text/event-stream and for tunnels (WebSocket).',
  total: 'All tries together; off for none.',
  idle: 'How long an idle connection to a server is kept. Uvicorn closes its side after 5s.',
} as const;

export const timeoutsSchema: z.ZodType<TimeoutsConfig, unknown> = z
  .strictObject({
    connect: duration().prefault('2s').describe(TIMEOUT_TEXTS.connect),
    first_byte: duration().prefault('30s').describe(TIMEOUT_TEXTS.first_byte),
    between_bytes: duration().prefault('30s').describe(TIMEOUT_TEXTS.between_bytes),
    stream_idle: duration().prefault('5m').describe(TIMEOUT_TEXTS.stream_idle),
    total: durationOrOff().prefault('off').describe(TIMEOUT_TEXTS.total),
    idle: duration().prefault('4s').describe(TIMEOUT_TEXTS.idle),
  })
  .transform(
    (written): TimeoutsConfig => ({
      connectMs: written.connect,
      firstByteMs: written.first_byte,
      betweenBytesMs: written.between_bytes,
      streamIdleMs: written.stream_idle,
      totalMs: written.total,
      idleMs: written.idle,
    }),
  )
  .prefault({})
  .describe('Defaults for every upstream.');

/** `timeouts` of an upstream or a route: only what is written there. */
export const timeoutsOverlaySchema: z.ZodType<TimeoutsOverlay, unknown> = z
  .strictObject({
    connect: duration().optional().describe(TIMEOUT_TEXTS.connect),
    first_byte: duration().optional().describe(TIMEOUT_TEXTS.first_byte),
    between_bytes: duration().optional().describe(TIMEOUT_TEXTS.between_bytes),
    stream_idle: duration().optional().describe(TIMEOUT_TEXTS.stream_idle),
    total: durationOrOff().optional().describe(TIMEOUT_TEXTS.total),
    idle: duration().optional().describe(TIMEOUT_TEXTS.idle),
  })
  .transform(
    (written): TimeoutsOverlay => ({
      ...(written.connect === undefined ? {} : { connectMs: written.connect }),
      ...(written.first_byte === undefined ? {} : { firstByteMs: written.first_byte }),
      ...(written.between_bytes === undefined ? {} : { betweenBytesMs: written.between_bytes }),
      ...(written.stream_idle === undefined ? {} : { streamIdleMs: written.stream_idle }),
      ...(written.total === undefined ? {} : { totalMs: written.total }),
      ...(written.idle === undefined ? {} : { idleMs: written.idle }),
    }),
  )
  .prefault({});

export const adminSchema: z.ZodType<Config['admin'], unknown> = z
  .strictObject({
    listen: forms<ListenAddress | null>('an address such as "127.0.0.1:9900", or off', [
      z.literal('off').transform(() => null),
      listenAddress(),
    ])
      .prefault('127.0.0.1:9900')
      .describe('Address of the admin API, or off.'),
    token: text('text', { empty: true })
      .prefault('')
      .describe(
        'Needed for every change, and for reading from beyond loopback. Without one the gateway makes one in a file with mode 0600 that its commands read.',
      ),
  })
  .prefault({})
  .describe('The admin API.');

export const logSchema: z.ZodType<LogConfig, unknown> = z
  .strictObject({
    level: word(['debug', 'info', 'warn', 'error']).prefault('info').describe('Least level that is written.'),
    format: word(['auto', 'pretty', 'json']).prefault('auto').describe('auto: pretty on a terminal, JSON otherwise.'),
    access: z
      .strictObject({
        sample: percentage().prefault('100%').describe('Part of the requests that are logged. Slow ones always are.'),
        slow: duration({ minMs: 0 }).prefault('1s').describe('Requests that take longer are always logged.'),
        redact: z
          .array(fieldName())
          .prefault(['authorization', 'cookie'])
          .describe('Header fields whose values are never shown.'),
      })
      .transform((written): LogConfig['access'] => ({
        sample: written.sample,
        slowMs: written.slow,
        redact: written.redact,
      }))
      .prefault({})
      .describe('One line per request.'),
  })
  .prefault({})
  .describe('What is written to standard output.');

export const shutdownSchema: z.ZodType<Config['shutdown'], unknown> = z
  .strictObject({
    delay: duration({ minMs: 0 })
      .prefault('0s')
      .describe('How long the gateway says "not ready" and still serves everything, for a load balancer to notice.'),
    grace: duration({ minMs: 0, maxMs: DAY_MS })
      .prefault('30s')
      .describe('How long requests in flight may take to finish after that.'),
  })
  .transform((written): Config['shutdown'] => ({ delayMs: written.delay, graceMs: written.grace }))
  .prefault({})
  .describe('How the gateway stops on SIGTERM or SIGINT.');

export const serverTimingSchema: z.ZodType<boolean, unknown> = flag()
  .prefault(false)
  .describe(
    'Every answer says in Server-Timing what the cache did, which instance answered ("api#2" is the second of api), after how many tries, and how long it and the whole took in ms; browsers show it in their network view. Added behind what the upstream says there, and stored in no cache. Whoever shows the admin token in Sluice-Explain gets it in any case, with the address of the instance.',
  );
