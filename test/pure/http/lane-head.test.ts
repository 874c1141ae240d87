import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { createFieldMemory, readLaneHead } from '../../../gateway/http/lane-head.ts';

const read = (text: string, start = 0) => readLaneHead(text, start, createFieldMemory());

test('heads of the lane', () => {
  const rows: readonly (readonly [string, string, string, readonly string[]])[] = [
    ['GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'GET', '/', ['host', 'a']],
    [
      'HEAD /a?b=c%20d HTTP/1.1\r\nHost:a\r\nX-Two:\t b c \t\r\n\r\n',
      'HEAD',
      '/a?b=c%20d',
      ['host', 'a', 'x-two', 'b c'],
    ],
    [
      'GET /a HTTP/1.1\r\nhost: a\r\nX:\r\nConnection: Keep-Alive\r\n\r\n',
      'GET',
      '/a',
      ['host', 'a', 'x', '', 'connection', 'Keep-Alive'],
    ],
  ];
  for (const [text, method, target, fields] of rows) {
    assert.deepEqual(read(text), { method, target, fields, end: text.length }, text);
    assert.deepEqual(read(`xx${text}yy`, 2), { method, target, fields, end: text.length + 2 }, text);
  }
});

test('heads that are Node’s', () => {
  const field = (line: string): string => `GET / HTTP/1.1\r\nHost: a\r\n${line}\r\n\r\n`;
  const first = (line: string): string => `${line}\r\nHost: a\r\n\r\n`;
  const rows = [
    ...[
      '',
      'GET / HTTP/1.1\r\nHost: a\r\n',
      'GET / HTTP/1.1\r\n\r\nHost: a\r\n',
      '\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n',
    ],
    ...[
      'POST / HTTP/1.1',
      'GET / HTTP/1.0',
      'GET  / HTTP/1.1',
      'GET /\tHTTP/1.1',
      'get / HTTP/1.1',
      'GET a HTTP/1.1',
    ].map(first),
    ...[
      'GET http://a/ HTTP/1.1',
      'GET * HTTP/1.1',
      'GET /# HTTP/1.1',
      'GET /" HTTP/1.1',
      'GET /\\ HTTP/1.1',
      'GET /\xe9 HTTP/1.1',
    ].map(first),
    ...[
      'Content-Length: 0',
      'Transfer-Encoding: chunked',
      'Connection: close',
      'Connection: keep-alive, x',
      'Upgrade: h2c',
    ].map(field),
    ...[
      'Expect: 100-continue',
      'TE: trailers',
      'Trailer: x',
      'Keep-Alive: 3',
      'Proxy-Connection: close',
      'HTTP2-Settings: x',
    ].map(field),
    ...[
      'X : a',
      ' X: a',
      'X: a\r\n b',
      'X: a\nY: b',
      'X: a\rb',
      'X: \0',
      'X: \xe9',
      'X: \x7f',
      ': a',
      'X',
      'X\r\n',
      'X y: a',
    ].map(field),
  ];
  for (const text of rows) assert.equal(read(text), null, JSON.stringify(text));
});

test('what is remembered of the last head changes no answer', () => {
  const line = fc.constantFrom(
    'Host: a',
    'Host: b',
    'X: 1',
    'X:2 ',
    'Connection: keep-alive',
    'Content-Length: 3',
    'Bad : x',
  );
  const head = fc
    .tuple(fc.constantFrom('/', '/a'), fc.array(line, { maxLength: 4 }))
    .map(([target, lines]) => `GET ${target} HTTP/1.1\r\n${lines.map((one) => `${one}\r\n`).join('')}\r\n`);
  fc.assert(
    fc.property(fc.array(head, { minLength: 1, maxLength: 8 }), (heads) => {
      const memory = createFieldMemory();
      for (const text of heads) assert.deepEqual(readLaneHead(text, 0, memory), read(text), text);
    }),
  );
});
