import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errors } from 'undici';
import type { ServerAddress } from '../../../gateway/config/config.ts';
import { authorityOf, DialFailure, originOf, tlsName } from '../../../gateway/upstream/dial.ts';
import { failureWord } from '../../../gateway/upstream/failures.ts';
import { receivedFields, trailerFields } from '../../../gateway/upstream/received.ts';
import type { FailureWord } from '../../../gateway/upstream/upstream.ts';

function coded(code: string, message = code): Error {
  return Object.assign(new Error(message), { code });
}

const sending = { started: true, headSeen: false };
const receiving = { started: true, headSeen: true };
const waiting = { started: false, headSeen: false };
const rows: readonly (readonly [error: Error, progress: typeof sending, word: FailureWord])[] = [
  [new DialFailure('connect', 'refused'), waiting, 'connect'],
  [new DialFailure('connect-timeout', 'slow'), waiting, 'connect-timeout'],
  [new DialFailure('tls', 'expired'), waiting, 'tls'],
  [new errors.HTTPParserError('bad'), waiting, 'reset'],
  [new errors.HTTPParserError('bad'), sending, 'malformed'],
  [new errors.HTTPParserError('... (Invalid EOF state)'), receiving, 'reset'],
  [new errors.ResponseContentLengthMismatchError(), sending, 'malformed'],
  [new errors.ResponseContentLengthMismatchError(), receiving, 'reset'],
  [new errors.RequestContentLengthMismatchError(), sending, 'client'],
  [new errors.HeadersOverflowError(), sending, 'malformed'],
  [new errors.SocketError('other side closed'), sending, 'reset'],
  [new errors.SocketError('bad upgrade'), sending, 'malformed'],
  [new errors.SocketError('bad response'), sending, 'malformed'],
  [new errors.ClientDestroyedError(), receiving, 'aborted'],
  [coded('ECONNRESET'), sending, 'reset'],
  [coded('EPIPE'), sending, 'reset'],
  [coded('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'), sending, 'tls'],
  [new Error('anything'), sending, 'reset'],
];
for (const [error, progress, word] of rows) {
  test(`${error.name} (${error.message}), ${JSON.stringify(progress)}: ${word}`, () => {
    assert.equal(failureWord(error, progress), word);
  });
}

function tcp(host: string, port: number, tls = false): ServerAddress {
  return { kind: 'tcp', tls, host, port, text: '' };
}
const unix: ServerAddress = { kind: 'unix', tls: false, path: '/run/a.sock', text: '' };
const addresses: readonly (readonly [address: ServerAddress, origin: string, authority: string, name: string])[] = [
  [tcp('127.0.0.1', 8001), 'http://127.0.0.1:8001', '127.0.0.1:8001', ''],
  [tcp('api.example', 80), 'http://api.example:80', 'api.example', 'api.example'],
  [tcp('api.example', 443, true), 'https://api.example:443', 'api.example', 'api.example'],
  [tcp('api.example', 80, true), 'https://api.example:80', 'api.example:80', 'api.example'],
  [tcp('::1', 8001), 'http://[::1]:8001', '[::1]:8001', ''],
  [tcp('[::1]', 443, true), 'https://[::1]:443', '[::1]', ''],
  [unix, 'http://localhost', 'localhost', ''],
];
for (const [address, origin, authority, name] of addresses) {
  test(`address: ${origin}`, () => {
    assert.equal(originOf(address), origin);
    assert.equal(authorityOf(address), authority);
    assert.equal(tlsName(address, ''), name);
    assert.equal(tlsName(address, 'other.example'), 'other.example');
  });
}

test('fields come as buffers or as an object, and end at their limits', () => {
  const raw = ['X-A', 'caf\xe9', 'x-a', '2'].map((text) => Buffer.from(text, 'latin1'));
  assert.deepEqual(receivedFields(raw), ['x-a', 'caf\xe9', 'x-a', '2']);
  assert.deepEqual(receivedFields({ ':status': '200', 'set-cookie': ['a', 'b'], 'x-a': '1', gone: undefined }), [
    'set-cookie',
    'a',
    'set-cookie',
    'b',
    'x-a',
    '1',
  ]);
  assert.deepEqual(receivedFields(null), []);
  assert.equal(receivedFields(Array.from({ length: 402 }, () => 'a')), null);
  assert.equal(receivedFields(['a', 'b'.repeat(40_000)]), null);
});

test('trailers lose what must not stand behind a body', () => {
  assert.deepEqual(
    trailerFields([
      'X-Sum',
      '1',
      'Content-Length',
      '9',
      'Transfer-Encoding',
      'x',
      'Set-Cookie',
      'a=b',
      'Grpc-Status',
      '0',
    ]),
    ['x-sum', '1', 'grpc-status', '0'],
  );
});
