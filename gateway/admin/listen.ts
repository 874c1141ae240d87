// Binds the admin server to its address. A unix socket is private (0600) from its first moment and replaces only a
// socket that nobody answers on.

import { randomBytes } from 'node:crypto';
import { chmod, lstat, rename, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import { type AddressInfo, connect, type ListenOptions } from 'node:net';
import type { ListenAddress } from '../config/config.ts';

export interface Listening {
  /** What it answers under. */
  readonly url: string;
  /** Takes away what closing the server leaves behind. */
  release(): Promise<void>;
}

/** Rejects with a message that names the address. */
export async function listenOn(server: Server, address: ListenAddress): Promise<Listening> {
  if (address.kind === 'unix') {
    await listenPrivately(server, address.path);
    return { url: `unix:${address.path}`, release: () => rm(address.path, { force: true }) };
  }
  await listen(
    server,
    { port: address.port, exclusive: true, ...(address.host === null ? {} : { host: address.host }) },
    address.text,
  );
  const bound = server.address() as AddressInfo;
  const host = address.host === null || isWildcard(address.host) ? '127.0.0.1' : address.host;
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${bound.port}`,
    release: () => Promise.resolve(),
  };
}

async function listenPrivately(server: Server, path: string): Promise<void> {
  const there = await lstat(path).catch(() => null);
  if (there !== null && !there.isSocket()) throw new Error(`admin.listen: ${path} is there and is not a socket`);
  if (there !== null && (await answers(path))) throw new Error(`admin.listen: another process answers on ${path}`);
  // Bound under another name, made private, and only then put where it can be found.
  const hidden = `${path}.${randomBytes(4).toString('hex')}`;
  await listen(server, { path: hidden }, path);
  await chmod(hidden, 0o600);
  await rename(hidden, path);
}

function listen(server: Server, where: ListenOptions, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => {
      const why =
        error.code === 'EADDRINUSE'
          ? 'is in use by another process'
          : `cannot be bound (${error.code ?? error.message})`;
      reject(new Error(`admin.listen: ${text} ${why}`, { cause: error }));
    };
    server.once('error', failed);
    server.listen(where, () => {
      server.removeListener('error', failed);
      // accept() may fail later, for want of file descriptors; unheard, that would end the process.
      server.on('error', () => undefined);
      resolve();
    });
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}
