// What the tests of this folder stand on: two Uvicorn processes and one Hypercorn with the FastAPI app, the gateway with
// TLS in front of them, and clients that trust the gateway's own CA.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Client, createHttp1Client, createHttp2Client } from '../helpers/clients.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type AppServer, startHypercorn, startUvicorn } from '../helpers/peers.ts';

export const APP = 'fastapi_app:app';
/** Where the clients come from: not the 127.0.0.1 that Uvicorn takes for a proxy. */
export const CLIENT = '127.0.0.5';

export interface Fleet {
  readonly gateway: Gateway;
  readonly servers: readonly AppServer[];
  /** PEM of the gateway's CA, and its file. */
  readonly ca: string;
  readonly caFile: string;
  /** One over HTTP/1.1, one over HTTP/2. */
  readonly clients: readonly Client[];
  close(): Promise<void>;
}

/** What `/whoami` of the app says. */
export interface Whoami {
  readonly pid: number;
  readonly server: string;
  readonly client: string;
  readonly scheme: string;
  readonly headers: Readonly<Record<string, string>>;
}

function configFor(servers: readonly AppServer[]): string {
  return `
limits: { body: 200MiB }
upstreams:
  api:
    servers: [${servers.map((server) => `"${server.url}"`).join(', ')}]
    balance: round_robin
    slow_start: off
    health: { path: /healthz, interval: 500ms, timeout: 500ms, rise: 1, fall: 2 }
routes:
  - { match: "/v1/catalog/*", upstream: api, cache: 30s }
  - { match: "/*", upstream: api }
`;
}

/** Starts everything; what was started is stopped again when a later part fails. */
export async function startFleet(): Promise<Fleet> {
  const servers: AppServer[] = [];
  const clients: Client[] = [];
  let gateway: Gateway | null = null;
  const close = async (): Promise<void> => {
    for (const client of clients) client.close();
    await gateway?.stop();
    await Promise.all(servers.map((server) => server.stop(3000)));
  };
  try {
    for (const start of [startUvicorn, startUvicorn, startHypercorn]) servers.push(await start({ app: APP }));
    gateway = await startGateway({ config: configFor(servers) });
    const caFile = join(gateway.folder, 'certs/ca.pem');
    const ca = readFileSync(caFile, 'utf8');
    clients.push(createHttp1Client(gateway.https, ca, CLIENT), await createHttp2Client(gateway.https, ca, CLIENT));
    return { gateway, servers, ca, caFile, clients, close };
  } catch (error) {
    await close();
    throw error;
  }
}
