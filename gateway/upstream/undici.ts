// undici's pool for servers that speak HTTP/2, or may, and for HTTP/1.1 without the lane. Loaded when a config has such an
// upstream: a hundred modules that most gateways never need.

import { Pool } from 'undici';
import { LONGEST_IDLE_MS } from '../balance/idle.ts';
import type { ServerAddress, UpstreamConfig } from '../config/config.ts';
import { LIMITS } from '../tables/limits.ts';
import { SafeClient } from './client.ts';
import { type Dial, type Line, originOf } from './dial.ts';

export interface UndiciPoolOptions {
  readonly address: ServerAddress;
  readonly http2: UpstreamConfig['http2'];
  readonly connections: number;
  readonly idleMs: number;
  /** Streams that one HTTP/2 connection carries at once. */
  readonly streams: number;
  readonly dial: Dial;
  readonly isStale: (line: Line) => boolean;
}

/** A `Keep-Alive: timeout=` of the server is taken this much shorter, so that we close first. */
const KEEP_ALIVE_MARGIN_MS = 1000;

/** A pool without timers of its own, but for idle connections. */
export function createUndiciPool(options: UndiciPoolOptions): Pool {
  const { address, http2, dial, isStale } = options;
  return new Pool(originOf(address), {
    connections: options.connections,
    pipelining: 1,
    allowH2: http2 !== 'off',
    ...(http2 === 'h2c' ? { useH2c: true } : {}),
    h2Options: { maxConcurrentStreams: options.streams },
    keepAliveTimeout: options.idleMs,
    keepAliveMaxTimeout: LONGEST_IDLE_MS,
    keepAliveTimeoutThreshold: KEEP_ALIVE_MARGIN_MS,
    maxHeaderSize: LIMITS.responseHeaderBytes,
    headersTimeout: 0,
    bodyTimeout: 0,
    strictContentLength: true,
    factory: (origin, given) => {
      const line: Line = { socket: null, uses: 0, idleSinceMs: 0 };
      const open = dial(line);
      // What undici asks for is what this dialler is for; it would take the server's name from the request's Host.
      return new SafeClient(origin, { ...given, connect: (_asked, callback) => open(callback) }, line, isStale);
    },
  });
}
