// Real handshakes with the certificates that the gateway makes and chooses.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type ConnectionOptions, connect, createServer, type Server, type TLSSocket } from 'node:tls';
import { generate } from 'selfsigned';
import type { CertificatePair } from '../../gateway/config/published.ts';
import { createContexts } from '../../gateway/tls/contexts.ts';
import { ensureLocalCertificates } from '../../gateway/tls/local.ts';

const DAY = 86_400_000;
const folder = await mkdtemp(join(tmpdir(), 'sluice-tls-'));
const local = await ensureLocalCertificates(folder, Date.now());
const made = await generate([{ name: 'commonName', value: 'other.test' }], { keyType: 'ec', algorithm: 'sha256' });
const other: CertificatePair = { hosts: ['other.test'], cert: made.cert, key: made.private, notAfterMs: 0 };
const server = await serve([local, other]);
const { port } = server.address() as AddressInfo;
after(async () => {
  server.close();
  await rm(folder, { recursive: true, force: true });
});

async function serve(pairs: readonly CertificatePair[]): Promise<Server> {
  const contexts = createContexts(pairs, 'TLSv1.2');
  const started = createServer({
    cert: local.cert,
    key: local.key,
    minVersion: 'TLSv1.2',
    SNICallback: (servername, done) => done(null, contexts.choose(servername)),
  });
  started.on('secureConnection', (socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(String(socket.servername));
  });
  started.on('tlsClientError', () => undefined);
  started.listen(0, '127.0.0.1');
  await once(started, 'listening');
  return started;
}

/** The socket after its handshake; rejects with the handshake's error. It is closed when the test process ends it. */
async function handshake(options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

for (const servername of ['localhost', 'LOCALHOST']) {
  test(`a client that trusts the local CA reaches ${servername} over TLS 1.3`, async () => {
    const socket = await handshake({ servername, ca: local.ca, rejectUnauthorized: true, minVersion: 'TLSv1.3' });
    assert.equal(socket.authorized, true);
    assert.equal(socket.getProtocol(), 'TLSv1.3');
    socket.destroy();
  });
}

test("foo.localhost gets the local certificate and its chain holds; whether *.localhost covers it is the client's own rule", async () => {
  // Node and OpenSSL want two labels behind the asterisk, Go does not.
  const names: string[] = [];
  const socket = await handshake({
    servername: 'foo.localhost',
    ca: local.ca,
    rejectUnauthorized: true,
    checkServerIdentity: (_, certificate) => {
      names.push(...(certificate.subjectaltname ?? '').split(', '));
      return undefined;
    },
  });
  assert.equal(socket.authorized, true);
  assert.ok(names.includes('DNS:*.localhost'));
  socket.destroy();
});

test('and 127.0.0.1, where no name is sent', async () => {
  const socket = await handshake({ ca: local.ca, rejectUnauthorized: true });
  assert.equal(socket.authorized, true);
  socket.destroy();
});

test('and over TLS 1.2', async () => {
  const socket = await handshake({ servername: 'localhost', ca: local.ca, maxVersion: 'TLSv1.2' });
  assert.equal(socket.getProtocol(), 'TLSv1.2');
  socket.destroy();
});

test('a name that is not in the certificate is refused by the client', async () => {
  await assert.rejects(handshake({ servername: 'a.b.localhost', ca: local.ca }), {
    code: 'ERR_TLS_CERT_ALTNAME_INVALID',
  });
});

test('a client that does not know the CA refuses', async () => {
  await assert.rejects(handshake({ servername: 'localhost' }), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' });
});

test('TLS 1.1 is refused, and the server lives on', async () => {
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
  await assert.rejects(handshake({ servername: 'localhost', ca: local.ca, ...old }), /protocol version|ALERT/i);
  const socket = await handshake({ servername: 'localhost', ca: local.ca });
  socket.destroy();
});

test('each name gets its own certificate, in any case; unknown names the first', async () => {
  for (const [servername, commonName] of [
    ['other.test', 'other.test'],
    ['OTHER.Test', 'other.test'],
    ['unknown.test', 'localhost'],
    [`${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(60)}.test`, 'localhost'],
  ] as const) {
    const socket = await handshake({ servername, rejectUnauthorized: false });
    assert.equal(socket.getPeerCertificate().subject.CN, commonName, servername);
    socket.destroy();
  }
});

test('80 days later a new leaf is made, and clients that trusted the CA still do', async () => {
  const later = await ensureLocalCertificates(folder, Date.now() + 80 * DAY);
  assert.notEqual(later.cert, local.cert);
  // Backdated by an hour only, so it is not valid today: the check of the date is what fails, the chain holds.
  const renewed = await serve([later]);
  const { port: renewedPort } = renewed.address() as AddressInfo;
  await assert.rejects(handshake({ port: renewedPort, servername: 'localhost', ca: local.ca }), {
    code: 'CERT_NOT_YET_VALID',
  });
  renewed.close();
});
