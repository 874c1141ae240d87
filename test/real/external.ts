// A paid API over the internet, stood in for by Hypercorn with TLS under a private CA, and the gateway in front of it as
// an operator would write it: verified, with a secret that no client sees. Used by two test files, since one of them takes 90 s.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from '../helpers/certificates.ts';
import { type Client, createHttp1Client, createHttp2Client } from '../helpers/clients.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type AppServer, startHypercorn } from '../helpers/peers.ts';
import { APP, CLIENT } from './fleet.ts';

export const SECRET = 'sk-live-7f3a9c51';

export interface External {
  readonly gateway: Gateway;
  readonly server: AppServer;
  readonly clients: readonly Client[];
  close(): Promise<void>;
}

function configFor(port: number, caFile: string, otherCaFile: string): string {
  return `
upstreams:
  video:
    servers: ["https://localhost:${port}"]
    host: upstream
    tls: { ca: "${caFile}" }
  untrusted:
    servers: ["https://localhost:${port}"]
    tls: { ca: "${otherCaFile}" }
  public:
    servers: ["https://localhost:${port}"]
  misnamed:
    servers: ["https://127.0.0.1:${port}"]
    tls: { ca: "${caFile}" }
routes:
  - match: "/video/*"
    upstream: video
    strip_prefix: /video
    timeouts: { first_byte: 5m }
    headers: { request: { set: { authorization: "Bearer \${VIDEO_API_KEY}" } } }
  - { match: "/untrusted/*", upstream: untrusted }
  - { match: "/public/*", upstream: public }
  - { match: "/misnamed/*", upstream: misnamed }
`;
}

export async function startExternal(): Promise<External> {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-external-'));
  let server: AppServer | null = null;
  let gateway: Gateway | null = null;
  const clients: Client[] = [];
  const close = async (): Promise<void> => {
    for (const client of clients) client.close();
    await gateway?.stop();
    await server?.stop(3000);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const authority = await createAuthority(folder, 'Private CA');
    const other = await createAuthority(folder, 'Other CA');
    // For the name only: by its address it is somebody else.
    server = await startHypercorn({ app: APP, tls: await authority.issue('api', 'localhost') });
    const config = configFor(server.port, authority.file, other.file);
    gateway = await startGateway({ config, env: { VIDEO_API_KEY: SECRET } });
    const ca = readFileSync(join(gateway.folder, 'certs/ca.pem'), 'utf8');
    clients.push(createHttp1Client(gateway.https, ca, CLIENT), await createHttp2Client(gateway.https, ca, CLIENT));
    return { gateway, server, clients, close };
  } catch (error) {
    await close();
    throw error;
  }
}
