// Real software beside the gateway: finds it, starts it, waits until it listens. Where it is missing, its tests are
// skipped with that reason; with CI=true they fail.

import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { PEERS, type PeerName, SYSTEM_PYTHON } from '../../scripts/peers.ts';
import { type Child, startChild } from './child.ts';

const APPS = join(import.meta.dirname, '../apps');

/**
 * Why tests that need these cannot run here, or false: the value of `skip` of a test or a suite. With CI=true a missing
 * peer is an error, so that nothing is skipped unseen.
 */
export function missingPeer(...names: readonly PeerName[]): string | false {
  const missing = names.filter((name) => !PEERS[name].isThere());
  if (missing.length === 0) return false;
  const packages = missing.flatMap((name) => PEERS[name].packages).join(' ');
  const reason = `missing on this machine: ${missing.join(', ')} (Debian: apt-get install ${packages})`;
  if (process.env.CI === 'true') throw new Error(`CI=true and ${reason}`);
  return reason;
}

/** The same inside a running test: true, or the test is skipped (fails under CI=true). */
export function requirePeer(t: TestContext, ...names: readonly PeerName[]): boolean {
  const reason = missingPeer(...names);
  if (reason === false) return true;
  t.skip(reason);
  return false;
}

/** A server of an ASGI app. */
export interface AppServer extends Child {
  /** As it stands in gateway.yaml. */
  readonly url: string;
  /** 0 for a unix socket. */
  readonly port: number;
}

export interface AppOptions {
  /** "fastapi_app:app", found in test/apps. */
  readonly app: string;
  /** A port to take, for a restart on the same address; by default a free one. */
  readonly port?: number;
  /** Path of a unix socket in place of a port. */
  readonly unix?: string;
  /** More arguments of the server. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** TLS: PEM files. Hypercorn then speaks HTTP/2 by ALPN too. */
  readonly tls?: { readonly cert: string; readonly key: string };
}

/** Python writes its lines at once, and leaves no __pycache__ in the tree. */
const PYTHON_ENV = { PYTHONUNBUFFERED: '1', PYTHONDONTWRITEBYTECODE: '1', PYTHONPATH: APPS };

async function startApp(module: string, args: readonly string[], options: AppOptions): Promise<AppServer> {
  const env = { ...PYTHON_ENV, ...options.env };
  const child = startChild(SYSTEM_PYTHON, ['-m', module, options.app, ...args, ...(options.args ?? [])], { env });
  // Both say "... running on http://127.0.0.1:1234 (...)" once they listen, with the port that was chosen.
  const line = await child
    .waitForLine((one) => /running on /i.test(one))
    .catch(async (error: unknown) => {
      await child.stop();
      throw error;
    });
  const port = options.unix === undefined ? Number(/:(\d+) \(/.exec(line)?.[1]) : 0;
  const url =
    options.unix === undefined ? `${options.tls ? 'https' : 'http'}://127.0.0.1:${port}` : `unix:${options.unix}`;
  return Object.assign(child, { url, port });
}

/** Uvicorn with one process, as a FastAPI operator would run it behind a proxy. */
export function startUvicorn(options: AppOptions): Promise<AppServer> {
  const place = options.unix === undefined ? ['--port', String(options.port ?? 0)] : ['--uds', options.unix];
  const tls = options.tls ? ['--ssl-certfile', options.tls.cert, '--ssl-keyfile', options.tls.key] : [];
  return startApp('uvicorn', [...place, ...tls], options);
}

/** Hypercorn: HTTP/1.1, and HTTP/2 over TLS. */
export function startHypercorn(options: AppOptions): Promise<AppServer> {
  const bind = options.unix === undefined ? `127.0.0.1:${options.port ?? 0}` : `unix:${options.unix}`;
  const tls = options.tls ? ['--certfile', options.tls.cert, '--keyfile', options.tls.key] : [];
  return startApp('hypercorn', ['--bind', bind, ...tls], options);
}
