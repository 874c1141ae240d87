// Before workers share an address with reusePort, control binds it alone for a moment: so a second gateway on it is a
// clear error instead of half the traffic, and port 0 becomes one real port for all workers.

import { createServer } from 'node:net';
import type { Config, ListenAddress } from '../config/config.ts';

export type ClaimOutcome =
  | { readonly ok: true; readonly listen: Config['listen'] }
  | { readonly ok: false; readonly problem: string };

export interface Addresses {
  /** Checks the addresses that are not ours yet and gives port 0 its number. */
  claim(listen: Config['listen']): Promise<ClaimOutcome>;
  /** These are served from now on. */
  commit(listen: Config['listen']): void;
}

export function createAddresses(): Addresses {
  /** Real addresses we serve, by host and port. */
  let ours = new Set<string>();
  /** Port numbers chosen for a text with port 0: the same text keeps its number over reloads. */
  const chosen = new Map<string, number>();

  async function claimOne(address: ListenAddress, kind: string): Promise<ListenAddress> {
    if (address.kind === 'unix') return address;
    const name = `${kind} ${address.text}`;
    const port = address.port === 0 ? (chosen.get(name) ?? 0) : address.port;
    const real = { ...address, port };
    if (ours.has(identity(real))) return real;
    const bound = await bindOnce(address.host, port);
    if (address.port === 0) chosen.set(name, bound);
    return { ...address, port: bound };
  }

  return {
    async claim(listen) {
      const http: ListenAddress[] = [];
      const https: ListenAddress[] = [];
      try {
        for (const address of listen.http) http.push(await claimOne(address, `http ${http.length}`));
        for (const address of listen.https) https.push(await claimOne(address, `https ${https.length}`));
      } catch (error) {
        return { ok: false, problem: error instanceof Error ? error.message : String(error) };
      }
      return { ok: true, listen: { ...listen, http, https } };
    },
    commit(listen) {
      ours = new Set([...listen.http, ...listen.https].map(identity));
    },
  };
}

function identity(address: ListenAddress): string {
  return address.kind === 'unix' ? address.path : `${address.host ?? '*'}:${address.port}`;
}

/** Binds exclusively, lets go, and returns the port. Rejects with a sentence for operators. */
function bindOnce(host: string | null, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', (error: NodeJS.ErrnoException) => reject(new Error(explain(error, host, port))));
    server.listen({ port, ...(host === null ? {} : { host }), exclusive: true }, () => {
      const bound = server.address();
      server.close(() => resolve(bound !== null && typeof bound === 'object' ? bound.port : port));
    });
  });
}

function explain(error: NodeJS.ErrnoException, host: string | null, port: number): string {
  const where = `${host === null ? '' : host.includes(':') ? `[${host}]` : host}:${port}`;
  switch (error.code) {
    case 'EADDRINUSE':
      return `port ${port} is taken: another process listens on ${where} (is a second gateway running? see: ss -ltnp 'sport = :${port}')`;
    case 'EACCES':
      return `no permission to listen on ${where}: ports below 1024 need root or CAP_NET_BIND_SERVICE`;
    case 'EADDRNOTAVAIL':
      return `${where} is not an address of this machine`;
    default:
      return `cannot listen on ${where}: ${error.message}`;
  }
}
