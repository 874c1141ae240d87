import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { jsonLine, prettyLine } from '../../../gateway/observe/line.ts';
import { LINE_BYTES } from '../../../gateway/observe/output.ts';
import type { AccessRecord } from '../../../gateway/observe/record.ts';
import { accessRecord } from '../../helpers/record.ts';

const RECORD = accessRecord({
  startedMs: Date.UTC(2026, 10, 23, 9, 1, 2, 3),
  id: 'r-1',
  client: '203.0.113.9',
  protocol: 'HTTP/2',
  host: 'api.example.com',
  target: '/v1/items?q=1',
  route: '/v1/*',
  cache: 'miss',
  upstream: 'api',
  instance: 'api/127.0.0.1:8001',
  tries: 2,
  durationMs: 12.3456,
  upstreamMs: 10.04,
  bytesOut: 12_345,
});

test('a record as JSON, its fields in the names of the contract', () => {
  assert.deepEqual(JSON.parse(jsonLine(RECORD, [])), {
    time: '2026-11-23T09:01:02.003Z',
    kind: 'access',
    id: 'r-1',
    client: '203.0.113.9',
    protocol: 'HTTP/2',
    method: 'GET',
    host: 'api.example.com',
    target: '/v1/items?q=1',
    route: '/v1/*',
    status: 200,
    cache: 'miss',
    upstream: 'api',
    instance: 'api/127.0.0.1:8001',
    tries: 2,
    duration_ms: 12.3,
    upstream_ms: 10,
    bytes_in: 0,
    bytes_out: 12_345,
    complete: true,
  });
});

test('times are told as Date tells them, whatever order they come in', () => {
  const time = fc.oneof(fc.integer({ min: 1.7e12, max: 1.7e12 + 5000 }), fc.integer({ min: -1e14, max: 1e14 }));
  fc.assert(
    fc.property(fc.array(time, { minLength: 1, maxLength: 20 }), (times) => {
      for (const startedMs of times) {
        const told = JSON.parse(jsonLine({ ...RECORD, startedMs }, [])).time;
        assert.equal(told, new Date(startedMs).toISOString());
      }
    }),
  );
});

test('a record without a cache, an upstream or a reason leaves them out', () => {
  const bare: AccessRecord = { ...RECORD, cache: '', upstream: '', instance: '', tries: 0, upstreamMs: -1, route: '' };
  const keys = Object.keys(JSON.parse(jsonLine(bare, [])));
  for (const key of ['cache', 'reason', 'upstream', 'instance', 'tries', 'upstream_ms', 'route']) {
    assert.ok(!keys.includes(key), key);
  }
});

// Faults case 69: what a client may put into a request line.
for (const target of [
  '/\\x22},{%1b[31m',
  '/"},{"status":200}',
  '/\x1b[2J\x1b[31m',
  '/a\nb\r\nc',
  '/\0',
  '/caf\u00e9\u009b31m',
  '/\u2028\u2029',
  '/\ud800 alone',
]) {
  test(`${JSON.stringify(target)} stays one line that says what came`, () => {
    const line = jsonLine({ ...RECORD, target }, []);
    assert.match(line, /^[\x20-\x7e]*\n$/);
    assert.equal(JSON.parse(line).target, target);
    const pretty = prettyLine({ ...RECORD, target }, [], false);
    assert.match(pretty, /^[\x20-\x7e]*\n$/);
  });
}

test('any record is one ASCII line of at most 4,096 bytes, valid JSON, and the target starts as it came', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc.string({ unit: 'binary-ascii', maxLength: 5000 }),
    fc.constantFrom('', '\x1b', '"'.repeat(3000), '\u00ff'.repeat(9000)),
  );
  const texts = fc.record({
    id: text,
    client: text,
    method: text,
    host: text,
    route: text,
    reason: text,
    instance: text,
  });
  fc.assert(
    fc.property(texts, text, fc.boolean(), (other, target, colour) => {
      const record = { ...RECORD, ...other, target: `/${target.replaceAll(/[?&;#=]/g, '')}` };
      const line = jsonLine(record, []);
      assert.ok(line.length <= LINE_BYTES, `${line.length} bytes`);
      assert.match(line, /^[\x20-\x7e]*\n$/);
      const parsed = JSON.parse(line);
      assert.ok(record.target.startsWith(parsed.target));
      if (parsed.target !== record.target) assert.equal(parsed.cut, true);
      const pretty = prettyLine(record, [], colour);
      assert.ok(pretty.length <= LINE_BYTES, `${pretty.length} bytes`);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: our own colours are the only ones
      assert.match(pretty.replaceAll(/\x1b\[\d+m/g, colour ? '' : '!'), /^[\x20-\x7e]*\n$/);
    }),
    { numRuns: 1000 },
  );
});

test('a long target is cut to what fits, no shorter', () => {
  const line = jsonLine({ ...RECORD, target: `/${'a'.repeat(8000)}` }, []);
  assert.equal(line.length, LINE_BYTES);
  assert.equal(JSON.parse(line).cut, true);
});

test('secrets in the query are not in either form', () => {
  const record = { ...RECORD, target: '/v1?access_token=s3cr3t&q=1' };
  for (const line of [jsonLine(record, []), prettyLine(record, [], true)]) {
    assert.ok(!line.includes('s3cr3t'));
    assert.ok(line.includes('access_token=***&q=1'));
  }
});

test('the pretty form says what an operator looks for', () => {
  const line = prettyLine({ ...RECORD, status: 502, reason: 'upstream-reset', complete: false }, [], false);
  for (const part of [
    '502',
    'GET',
    'api.example.com/v1/items?q=1',
    '[/v1/*]',
    'miss',
    '12.3ms',
    'api/127.0.0.1:8001',
    '2 tries',
    '12.3kB',
    'upstream-reset',
    'incomplete',
  ]) {
    assert.ok(line.includes(part), `${part} in ${line}`);
  }
  assert.ok(prettyLine(RECORD, [], true).includes('\x1b[32m200\x1b[0m'));
});
