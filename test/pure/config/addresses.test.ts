// Addresses, the command line of a managed upstream, and what a server reaches.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { collides, parseListen, parseServer, reaches } from '../../../gateway/config/addresses.ts';
import { splitCommand } from '../../../gateway/config/argv.ts';
import type { ListenAddress, ServerAddress } from '../../../gateway/config/config.ts';

function listen(text: string): ListenAddress {
  const outcome = parseListen(text);
  assert.ok(outcome.ok, text);
  return outcome.value;
}

function server(text: string): ServerAddress {
  const outcome = parseServer(text);
  assert.ok(outcome.ok, text);
  return outcome.value;
}

test('addresses to listen on', () => {
  assert.deepEqual(listen(':8080'), { kind: 'tcp', host: null, port: 8080, text: ':8080' });
  assert.deepEqual(listen('[::1]:0'), { kind: 'tcp', host: '::1', port: 0, text: '[::1]:0' });
  assert.deepEqual(listen('LocalHost:80'), { kind: 'tcp', host: 'localhost', port: 80, text: 'LocalHost:80' });
  assert.deepEqual(listen('unix:/run/s.sock'), { kind: 'unix', path: '/run/s.sock', text: 'unix:/run/s.sock' });
  for (const bad of [
    '',
    ':',
    '::1:80',
    '[::1',
    '[127.0.0.1]:80',
    'a b:80',
    '-a:80',
    '1.2.3:80',
    'unix:',
    'unix:///run/x',
    ':65536',
    'h:80:81',
  ]) {
    assert.equal(parseListen(bad).ok, false, bad);
  }
});

test('servers', () => {
  assert.deepEqual(server('HTTPS://API.example.com'), {
    kind: 'tcp',
    tls: true,
    host: 'api.example.com',
    port: 443,
    text: 'HTTPS://API.example.com',
  });
  assert.deepEqual(server('http://[::1]:81'), {
    kind: 'tcp',
    tls: false,
    host: '::1',
    port: 81,
    text: 'http://[::1]:81',
  });
  for (const bad of [
    '',
    'http://',
    'http://h:0',
    'http://h:99999',
    'http://h?x',
    'http://h#x',
    'http://a,b',
    'http://h/',
    'h',
    'http:/h',
    'http://u@h',
    'http://*',
  ]) {
    assert.equal(parseServer(bad).ok, false, bad);
  }
});

test('what a server reaches', () => {
  const rows: readonly (readonly [string, string, boolean])[] = [
    ['http://127.0.0.1:9900', '127.0.0.1:9900', true],
    ['http://localhost:9900', '127.0.0.1:9900', true],
    ['http://[::1]:9900', ':9900', true],
    ['http://127.0.0.2:9900', '0.0.0.0:9900', true],
    ['http://0.0.0.0:9900', '127.0.0.1:9900', true],
    ['http://api.localhost:9900', ':9900', true],
    ['http://127.0.0.1:9901', '127.0.0.1:9900', false],
    ['http://10.0.0.1:9900', '127.0.0.1:9900', false],
    ['http://10.0.0.1:9900', '10.0.0.1:9900', true],
    ['unix:/run/a.sock', 'unix:/run/a.sock', true],
    ['unix:/run/a.sock', 'unix:/run/b.sock', false],
    ['unix:/run/a.sock', ':80', false],
  ];
  for (const [from, to, expected] of rows) assert.equal(reaches(server(from), listen(to)), expected, `${from} ${to}`);
});

test('listeners that cannot both be bound', () => {
  assert.equal(collides(listen(':80'), listen('127.0.0.1:80')), true);
  assert.equal(collides(listen('127.0.0.1:80'), listen('[::1]:80')), false);
  assert.equal(collides(listen('127.0.0.1:0'), listen('127.0.0.1:0')), false);
  assert.equal(collides(listen('unix:/a'), listen('unix:/a')), true);
});

test('a command becomes its words', () => {
  const rows: readonly (readonly [string, readonly string[] | null])[] = [
    ['node app.js', ['node', 'app.js']],
    ['  a\t b ', ['a', 'b']],
    [`a 'b c' "d e"f`, ['a', 'b c', 'd ef']],
    [`a "" ''`, ['a', '', '']],
    ['a b\\ c', ['a', 'b c']],
    [`a "b\\"c" 'd\\e'`, ['a', 'b"c', 'd\\e']],
    ['a "$HOME" "x|y"', ['a', '$HOME', 'x|y']],
    ['a | b', null],
    ['a > b', null],
    ['a; b', null],
    ['a $(b)', null],
    ['a `b`', null],
    ['a "b', null],
    ['', null],
    ['""', null],
  ];
  for (const [text, words] of rows) {
    const outcome = splitCommand(text);
    assert.deepEqual(outcome.ok ? outcome.value : null, words, text);
  }
});
