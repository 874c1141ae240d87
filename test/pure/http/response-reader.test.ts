// Responses of one connection as the own upstream client reads them: whatever was written comes out, however it is cut
// into chunks; what two readers could read in two ways is a fault.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ResponseReader } from '../../../gateway/http/response-reader.ts';

const HEAD_BYTES = 32_768;

/** What was told, content in a row joined. */
type Told =
  | { readonly head: number; readonly fields: readonly string[] }
  | { readonly content: string }
  | { readonly end: readonly string[]; readonly reusable: boolean };

interface Read {
  readonly told: Told[];
  readonly problem: string | null;
  /** What close() said; null = it was not called. */
  readonly closed: boolean | null;
}

/** Reads these chunks; a request of the next method is sent when the response before is told, as long as it may be. */
function readAll(chunks: readonly Buffer[], methods: readonly string[] = ['GET'], close = false): Read {
  const told: Told[] = [];
  const left = [...methods];
  const reader = new ResponseReader(
    {
      onResponseHead: (head, fields) => told.push({ head, fields: [...fields] }),
      onContent(chunk) {
        const last = told.at(-1);
        const text = chunk.toString('latin1');
        assert.notEqual(text, '');
        if (last !== undefined && 'content' in last) told[told.length - 1] = { content: last.content + text };
        else told.push({ content: text });
      },
      onResponseEnd(end, reusable) {
        told.push({ end: [...end], reusable });
        const next = left.shift();
        if (reusable && next !== undefined) reader.begin(next);
      },
    },
    { headBytes: HEAD_BYTES },
  );
  reader.begin(left.shift() ?? 'GET');
  for (const chunk of chunks) {
    const problem = reader.read(chunk);
    if (problem !== null) return { told, problem, closed: null };
  }
  return { told, problem: null, closed: close ? reader.close() : null };
}

const readText = (text: string, method = 'GET', close = false): Read =>
  readAll([Buffer.from(text, 'latin1')], [method], close);

/** The bytes cut at these places, each a number that is taken by the length. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set([0, ...places.map((place) => place % (bytes.length + 1)), bytes.length])].sort(
    (a, b) => a - b,
  );
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

const NAME = fc
  .stringMatching(/^[a-z!#$%&'*+.^_`|~-]{1,12}$/)
  .filter((name) => !/^(content-length|transfer-encoding|connection)$/.test(name));
const VALUE = fc.stringMatching(/^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]{0,18}[!-~\x80-\xff])?)?$/);
const FIELDS = fc.array(fc.tuple(NAME, VALUE), { maxLength: 6 });
const BLANK = fc.constantFrom('', ' ', '\t', '  \t');
const CONTENT = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 60,
});

interface Written {
  readonly text: string;
  readonly told: readonly Told[];
  readonly method: string;
}

/** One response as it is written, and what must be told of it when another follows. */
const RESPONSE: fc.Arbitrary<Written> = fc
  .record({
    interims: fc.array(fc.tuple(fc.constantFrom(100, 102, 103, 199), FIELDS), { maxLength: 2 }),
    status: fc.constantFrom(200, 201, 204, 206, 304, 404, 500, 599),
    reason: fc.constantFrom('', ' ', ' OK', ' Not\tFound \xe9'),
    fields: FIELDS,
    blank: BLANK,
    contents: fc.array(
      CONTENT.filter((text) => text !== ''),
      { maxLength: 3 },
    ),
    framing: fc.constantFrom('length', 'chunked'),
    extension: fc.constantFrom('', ';a', ' ;a="b\\""', ';a=b;c'),
    upper: fc.boolean(),
    zeros: fc.constantFrom('', '0', '000'),
    trailers: FIELDS,
    method: fc.constantFrom('GET', 'GET', 'HEAD'),
  })
  .map((made): Written => {
    const { status, framing, method, blank } = made;
    const lines = (fields: readonly (readonly [string, string])[]): string =>
      fields.map(([name, value]) => `${made.upper ? name.toUpperCase() : name}:${blank}${value}${blank}\r\n`).join('');
    const flat = (fields: readonly (readonly [string, string])[]): string[] => fields.flat();
    const whole = made.contents.join('');
    const framed: [string, string] =
      framing === 'length' ? ['content-length', String(whole.length)] : ['transfer-encoding', 'chunked'];
    const fields: [string, string][] = [...made.fields, framed];
    const isEmpty = method === 'HEAD' || status === 204 || status === 304;
    let text = made.interims.map(([code, some]) => `HTTP/1.1 ${code} Wait\r\n${lines(some)}\r\n`).join('');
    text += `HTTP/1.1 ${status}${made.reason}\r\n${lines(fields)}\r\n`;
    if (!isEmpty) {
      if (framing === 'length') text += whole;
      else {
        for (const content of made.contents)
          text += `${made.zeros}${content.length.toString(16)}${made.extension}\r\n${content}\r\n`;
        text += `${made.zeros}0${made.extension}\r\n${lines(made.trailers)}\r\n`;
      }
    }
    const told: Told[] = made.interims.map(([head, some]) => ({ head, fields: flat(some) }));
    told.push({ head: status, fields: flat(fields) });
    if (!isEmpty && whole !== '') told.push({ content: whole });
    told.push({ end: isEmpty || framing === 'length' ? [] : flat(made.trailers), reusable: true });
    return { text, told, method };
  });

const PLACES = fc.array(fc.nat(), { maxLength: 12 });

test('what was written is what is told, however it is cut, one response behind the other', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(RESPONSE, PLACES), { minLength: 1, maxLength: 3 }), fc.boolean(), (all, single) => {
      const chunks = all.flatMap(([{ text }, places]) => {
        const bytes = Buffer.from(text, 'latin1');
        return cut(bytes, single ? Array.from(bytes.keys()) : places);
      });
      const read = readAll(
        chunks,
        all.map(([{ method }]) => method),
      );
      assert.deepEqual(read, { told: all.flatMap(([{ told }]) => told), problem: null, closed: null });
    }),
    { numRuns: 1000 },
  );
});

test('whatever comes, a reader tells the same however it is cut, and no more than one end', () => {
  const mutated = fc
    .tuple(RESPONSE, fc.nat(), CONTENT, fc.nat({ max: 4 }))
    .map(([{ text, method }, place, other, lost]) => {
      const at = place % (text.length + 1);
      return { text: text.slice(0, at) + other + text.slice(at + lost), method };
    });
  fc.assert(
    fc.property(mutated, PLACES, ({ text, method }, places) => {
      const bytes = Buffer.from(text, 'latin1');
      const whole = readAll([bytes], [method]);
      const parts = readAll(cut(bytes, places), [method]);
      const ends = whole.told.filter((one) => 'end' in one);
      assert.ok(ends.length <= 1);
      // Bytes behind the end make the connection useless at once or at the next chunk.
      if (ends.length === 1) {
        const bare = (read: Read): unknown[] => read.told.map((one) => ('end' in one ? { end: one.end } : one));
        assert.deepEqual(bare(parts), bare(whole));
      } else {
        assert.deepEqual(parts.told, whole.told);
        assert.equal(parts.problem === null, whole.problem === null);
      }
    }),
    { numRuns: 3000 },
  );
});

test('what ends with the connection is whole only where that is its framing', () => {
  const rest = readText('HTTP/1.1 200 OK\r\na: b\r\n\r\nhello', 'GET', true);
  assert.deepEqual(rest.told, [{ head: 200, fields: ['a', 'b'] }, { content: 'hello' }, { end: [], reusable: false }]);
  assert.equal(rest.closed, true);
  const missing = [
    'HTTP/1.1 200 OK\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n',
    'HTTP/1.1 100 Continue\r\n\r\n',
  ];
  for (const text of missing) assert.equal(readText(text, 'GET', true).closed, false, JSON.stringify(text));
});

test('whether a connection may be used again', () => {
  const rows: [text: string, method: string, reusable: boolean][] = [
    ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 'GET', true],
    ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: a, Close\r\n\r\n', 'GET', false],
    ['HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n', 'GET', false],
    ['HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n', 'GET', true],
    ['HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n', 'GET', false],
    ['HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n', 'GET', true],
    ['HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n', 'HEAD', true],
    ['HTTP/1.1 200 OK\r\n\r\n', 'HEAD', true],
    // More than it has: somebody's answer, but not that of the next request.
    ['HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n', 'GET', false],
    ['HTTP/1.1 204 No Content\r\n\r\nx', 'GET', false],
    ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n0', 'GET', false],
  ];
  for (const [text, method, reusable] of rows) {
    const { told, problem } = readText(text, method);
    assert.equal(problem, null, text);
    const end = told.at(-1);
    assert.ok(end !== undefined && 'end' in end, text);
    assert.equal(end.reusable, reusable, text);
  }
});

test('what is no response, or could be two, is a fault', () => {
  const ok = 'HTTP/1.1 200 OK\r\n';
  const chunked = `${ok}Transfer-Encoding: chunked\r\n\r\n`;
  const rows: [text: string, problem: RegExp][] = [
    ['SSH-2.0-OpenSSH\r\n\r\n', /status line/],
    ['HTTP/2 200\r\n\r\n', /status line/],
    ['HTTP/1.1 20\r\n\r\n', /status line/],
    ['HTTP/1.1 2000 OK\r\n\r\n', /status line/],
    ['HTTP/1.1  200 OK\r\n\r\n', /status line/],
    ['HTTP/1.1 200 O\0K\r\n\r\n', /status line/],
    ['\r\n\r\n', /status line/],
    [' HTTP/1.1 200 OK\r\n\r\n', /status line/],
    ['HTTP/1.1 200 OK\n\n', /CRLF/],
    [`${ok}a: b\n\r\n\r\n`, /field line/],
    [`${ok}a : b\r\n\r\n`, /field line/],
    [`${ok}: b\r\n\r\n`, /field line/],
    [`${ok}ab\r\n\r\n`, /field line/],
    [`${ok}a: b\r\n folded\r\n\r\n`, /field line/],
    [`${ok}a: b\rc: d\r\n\r\n`, /field line/],
    [`${ok}a: \0\r\n\r\n`, /field line/],
    [`${ok}caf\xe9: b\r\n\r\n`, /field line/],
    [`${ok}Content-Length: 1\r\nContent-Length: 1\r\n\r\n`, /Content-Length/],
    [`${ok}Content-Length: 1, 1\r\n\r\n`, /Content-Length/],
    [`${ok}Content-Length: +1\r\n\r\n`, /Content-Length/],
    [`${ok}Content-Length: 0x1\r\n\r\n`, /Content-Length/],
    [`${ok}Content-Length:\r\n\r\n`, /Content-Length/],
    [`${ok}Content-Length: ${'9'.repeat(20)}\r\n\r\n`, /Content-Length/],
    [`${ok}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`, /both/],
    [`${ok}Transfer-Encoding: gzip\r\n\r\n`, /Transfer-Encoding/],
    [`${ok}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`, /Transfer-Encoding/],
    [`${chunked}x\r\n`, /chunk/],
    [`${chunked}\r\n`, /chunk/],
    [`${chunked}-1\r\n`, /chunk/],
    [`${chunked}0x1\r\n`, /chunk/],
    [`${chunked}1 \r\n`, /chunk/],
    [`${chunked}1\n`, /chunk/],
    [`${chunked}1;\0\r\n`, /chunk/],
    [`${chunked}${'1'.repeat(13)}\r\n`, /chunk/],
    [`${chunked}1;${'a'.repeat(2000)}`, /chunk/],
    [`${chunked}2\r\nabc`, /chunk/],
    [`${chunked}2\r\nab\n`, /chunk/],
    [`${chunked}0\r\na b\r\n\r\n`, /trailers/],
    [`${ok}a: ${'x'.repeat(HEAD_BYTES)}`, /too large/],
    [`${chunked}0\r\na: ${'x'.repeat(HEAD_BYTES)}`, /too large/],
  ];
  for (const [text, problem] of rows) {
    assert.match(readText(text).problem ?? 'none', problem, JSON.stringify(text.slice(0, 80)));
    // And byte by byte, nothing behind the fault being told.
    if (text.length < 200) {
      const bytes = Buffer.from(text, 'latin1');
      assert.notEqual(readAll(cut(bytes, [...bytes.keys()])).problem, null, JSON.stringify(text));
    }
  }
});

test('what comes while nothing was asked for is a fault', () => {
  const answer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
  assert.match(readAll([answer, answer]).problem ?? '', /nobody asked/);
});

test('stopped from within, it tells nothing more', () => {
  for (const when of ['head', 'content'] as const) {
    const told: string[] = [];
    const stop = (what: string): void => {
      told.push(what);
      if (what === when) reader.stop();
    };
    const reader = new ResponseReader(
      { onResponseHead: () => stop('head'), onContent: () => stop('content'), onResponseEnd: () => stop('end') },
      { headBytes: HEAD_BYTES },
    );
    reader.begin('GET');
    assert.equal(reader.read(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')), null);
    assert.deepEqual(told, when === 'head' ? ['head'] : ['head', 'content']);
    assert.equal(reader.close(), false);
  }
});
