// Opens TLS 1.3 connections one after the other on several lanes and closes each as soon as its handshake is done, for a
// while; says how many there were. A process of its own, so that it can be pinned to the load's core.
// node bench/peers/handshakes.ts PORT SECONDS full|resumed

import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';

const LANES = 8;
const [, , port = '', seconds = '', kind = ''] = process.argv;

/** One connection, open. `session`: that of an earlier one, to go on with. */
function open(session: Buffer | null): Promise<TLSSocket> {
  const options: ConnectionOptions = {
    port: Number(port),
    host: '127.0.0.1',
    servername: 'localhost',
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    ALPNProtocols: ['http/1.1'],
    ...(session === null ? {} : { session }),
  };
  return new Promise((resolve, reject) => {
    const socket = connect(options, () => resolve(socket));
    socket.on('error', reject);
  });
}

/** What the server sends behind a handshake, for the next one. */
async function ticket(): Promise<Buffer> {
  const socket = await open(null);
  const session = await new Promise<Buffer>((resolve) => {
    socket.once('session', resolve);
    socket.write('GET /hit/a HTTP/1.1\r\nHost: localhost\r\n\r\n');
  });
  socket.destroy();
  return session;
}

async function lane(session: Buffer | null, untilMs: number): Promise<number> {
  let done = 0;
  while (performance.now() < untilMs) {
    const socket = await open(session);
    if (socket.isSessionReused() !== (session !== null)) throw new Error(`the handshake was not ${kind}`);
    socket.destroy();
    done++;
  }
  return done;
}

const session = kind === 'resumed' ? await ticket() : null;
const begunMs = performance.now();
const counts = await Promise.all(Array.from({ length: LANES }, () => lane(session, begunMs + Number(seconds) * 1000)));
const handshakes = counts.reduce((sum, one) => sum + one, 0);
process.stdout.write(`${JSON.stringify({ handshakes, seconds: (performance.now() - begunMs) / 1000 })}\n`);
