// A differential fuzz (faults.md S18 in small): right requests, one or several in a row, mutated the way http-garden does it,
// through the whole program to the upstream. What the upstream sees must be what a strict reader of the same bytes sees, every
// whole request there must have its answer on the connection it came from, and nobody else may notice.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import type { OriginRequest } from '../helpers/origin.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { type Field, startField, within } from './field.ts';
import { readRequests } from './reference.ts';

const SEED = 20261123;
const CASES = 2000;
const AT_ONCE = 100;

let field: Field;

before(async () => {
  field = await startField(
    (url) => `
cache: { default: off }
limits: { header_timeout: 300ms, body_idle: 300ms, body_total: 1s, idle: 300ms }
upstreams: { api: { servers: ["${url}"], timeouts: { first_byte: 10s } } }
routes: [{ match: "/*", upstream: api }]
`,
  );
});

after(() => field.stop());

/** A request within requests: were it ever taken for one, the upstream would see it. */
const INNER = 'GET /inner HTTP/1.1\r\nHost: a\r\nX-Case: inner\r\n\r\n';

const pieces = fc.constantFrom('', 'a', 'hello', INNER, '0\r\n\r\n', `0\r\n\r\n${INNER}`, '\r\n', 'x'.repeat(300));
const chunked = fc
  .tuple(
    fc.array(fc.tuple(pieces, fc.constantFrom('', ';a', ';a=b', ';a="b;c"')), { maxLength: 3 }),
    fc.constantFrom('', 'X-T: 1\r\n'),
  )
  .map(([chunks, trailer]) => {
    const parts = chunks
      .filter(([data]) => data !== '')
      .map(([data, extension]) => `${data.length.toString(16)}${extension}\r\n${data}\r\n`);
    return `Transfer-Encoding: chunked\r\n\r\n${parts.join('')}0\r\n${trailer}\r\n`;
  });
const counted = pieces.map((body) => `Content-Length: ${body.length}\r\n\r\n${body}`);
const request = fc
  .tuple(
    fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'),
    fc.constantFrom('/', '/p', '/p?q=1', '/a/b;c', '/%41'),
    fc.constantFrom(
      '',
      '',
      '',
      'Accept: */*\r\n',
      'Connection: keep-alive\r\n',
      'Cookie: a=1\r\n',
      'Expect: 100-continue\r\n',
      'TE: trailers\r\n',
    ),
    fc.oneof(fc.constant('\r\n'), counted, chunked, chunked),
  )
  .map(([method, target, field, rest]) => `${method} ${target} HTTP/1.1\r\nHost: a\r\nX-Case: CASE\r\n${field}${rest}`);

const INSERTS = [
  '\r\n',
  '\r',
  '\n',
  '\0',
  ':',
  '\t',
  ' ',
  ',',
  ';',
  '"',
  '0',
  '1',
  'f',
  '-',
  '+',
  '\x0b',
  '\x80',
  '\xff',
  'x',
];
const LINES = [
  'Content-Length: 0\r\n',
  'Content-Length: 5\r\n',
  'Content-Length: 47\r\n',
  'content-length:5\r\n',
  'Content-Length : 5\r\n',
  'Content_Length: 5\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding: identity\r\n',
  'transfer-encoding:\tchunked\r\n',
  'Transfer-Encoding: x\r\n chunked\r\n',
  'Transfer-Encoding: \r\n',
  'Connection: content-length\r\n',
  'Connection: transfer-encoding\r\n',
  'Connection: close\r\n',
  'Upgrade: h2c\r\nConnection: upgrade\r\n',
  'Upgrade: websocket\r\nConnection: upgrade\r\n',
  'Host: b\r\n',
  ' X: folded\r\n',
];

type Mutation = (bytes: string) => string;
const at = (bytes: string, place: number): number => Math.floor(place * bytes.length);
const afterLine = (bytes: string, place: number): number => bytes.indexOf('\r\n', at(bytes, place)) + 2;
const place = fc.double({ min: 0, max: 0.999, noNaN: true });
const byte = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code));

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  place.map<Mutation>((p) => (b) => b.slice(0, at(b, p)) + b.slice(at(b, p) + 1)),
  fc.tuple(place, byte).map<Mutation>(
    ([p, c]) =>
      (b) =>
        b.slice(0, at(b, p)) + c + b.slice(at(b, p) + 1),
  ),
  fc.tuple(place, fc.oneof(byte, fc.constantFrom(...INSERTS))).map<Mutation>(
    ([p, c]) =>
      (b) =>
        b.slice(0, at(b, p)) + c + b.slice(at(b, p)),
  ),
  fc.tuple(place, fc.constantFrom(...LINES)).map<Mutation>(
    ([p, line]) =>
      (b) =>
        b.slice(0, afterLine(b, p)) + line + b.slice(afterLine(b, p)),
  ),
  // Into the first head, where framing is decided.
  fc
    .constantFrom(...LINES)
    .map<Mutation>((line) => (b) => b.slice(0, afterLine(b, 0)) + line + b.slice(afterLine(b, 0))),
  // A line twice, and a line less.
  place.map<Mutation>((p) => (b) => {
    const start = afterLine(b, p);
    return b.slice(0, start) + b.slice(start, b.indexOf('\r\n', start) + 2) + b.slice(start);
  }),
  place.map<Mutation>((p) => (b) => b.slice(0, afterLine(b, p)) + b.slice(b.indexOf('\r\n', afterLine(b, p)) + 2)),
  fc.tuple(place, fc.constantFrom('\n', '\r', '\r\r\n', '\n\r\n')).map<Mutation>(([p, end]) => (b) => {
    const line = b.indexOf('\r\n', at(b, p));
    return line < 0 ? b : b.slice(0, line) + end + b.slice(line + 2);
  }),
  // Digits of lengths and sizes: the boundary between requests moves.
  fc.tuple(place, fc.constantFrom('0', '1', '9', 'a', '')).map<Mutation>(([p, digit]) => (b) => {
    const found = b.slice(at(b, p)).search(/[0-9]/);
    return found < 0 ? b : b.slice(0, at(b, p) + found) + digit + b.slice(at(b, p) + found + 1);
  }),
  // What is kept back never comes.
  place.map<Mutation>((p) => (b) => b.slice(0, at(b, 0.5 + p / 2))),
);

const stream = fc
  .tuple(
    fc.array(request, { minLength: 1, maxLength: 3 }),
    fc.array(mutation, { minLength: 0, maxLength: 3 }),
    fc.constantFrom('whole', 'halves', 'bytes'),
  )
  .map(([requests, mutations, how]) => ({
    bytes: mutations.reduce((bytes, mutate) => mutate(bytes), requests.join('')),
    how,
    // Node ends a connection whose Expect saw no 100, as it does when there is no body. Byte by byte, a loaded machine may
    // be slower than the limits of above allow.
    right: mutations.length === 0 && how !== 'bytes' && !requests.join('').includes('Expect'),
  }));

interface Result {
  readonly id: string;
  readonly bytes: string;
  /** Nothing was mutated. */
  readonly right: boolean;
  /** Upstream numbers of the answers that came. */
  readonly answered: readonly number[];
}

/** Sends one stream over a connection of its own and collects the answers until the gateway, left alone, closes it. */
async function run(id: string, { bytes, how, right }: { bytes: string; how: string; right: boolean }): Promise<Result> {
  const client = await RawClient.connect({ port: field.gateway.http });
  const sent = bytes.replaceAll('CASE', id);
  const parts =
    how === 'whole'
      ? [sent]
      : how === 'halves'
        ? [sent.slice(0, sent.length / 2), sent.slice(sent.length / 2)]
        : [...sent];
  for (const part of parts) {
    await client.send(part).catch(() => {});
    if (how !== 'whole') await new Promise(setImmediate);
  }
  const text = await within(client.readAll(), `it stays open: ${JSON.stringify(sent)}`, 10_000);
  client.destroy();
  const answered = [...text.matchAll(/\r\nx-n: (\d+)\r\n/gi)].map((match) => Number(match[1]));
  return { id, bytes: sent, right, answered };
}

test(`${CASES} mutated streams: what the upstream sees is what a strict reader sees, and each request has its answer`, async (context) => {
  const cases = fc.sample(stream, { seed: SEED, numRuns: CASES });
  const results: Result[] = [];
  let next = 0;
  let over = false;
  const victims = (async () => {
    let count = 0;
    for (; !over; count++) await field.victim();
    return count;
  })();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (next < cases.length) {
        const i = next++;
        const one = cases[i];
        if (one !== undefined) results.push(await run(`c${i}`, one));
      }
    }),
  );
  over = true;
  const victimCount = await victims;

  const { requests } = field.origin;
  const whole = new Set<OriginRequest>(field.whole);
  const owners = new Map<number, Result>();
  for (const result of results) {
    for (const n of result.answered) {
      assert.ok(!owners.has(n), `answer ${n} was given twice`);
      owners.set(n, result);
    }
  }
  let forwarded = 0;
  let strict = 0;
  const seen = new Map<string, OriginRequest[]>();
  for (const [i, request] of requests.entries()) {
    if (request.target.startsWith('/victim/')) continue;
    const owner = owners.get(i + 1);
    const told = /c\d+/.exec(request.header('x-case') ?? '')?.[0];
    if (whole.has(request)) {
      forwarded++;
      const why = `request ${i + 1} (${told}) has no answer: ${JSON.stringify(results.find(({ id }) => id === told)?.bytes)}`;
      assert.ok(owner !== undefined, why);
      if (told !== undefined && results.some(({ id }) => id === told))
        assert.equal(owner.id, told, 'an answer went to another client');
      seen.set(owner.id, [...(seen.get(owner.id) ?? []), request]);
    }
  }
  const differences: string[] = [];
  for (const result of results) {
    const read = readRequests(result.bytes);
    strict += read.length;
    if (result.right)
      assert.equal(seen.get(result.id)?.length, read.length, `not all went on of ${JSON.stringify(result.bytes)}`);
    let from = 0;
    for (const request of seen.get(result.id) ?? []) {
      const body = (await request.body()).toString('latin1');
      // Those in between were answered by the gateway itself.
      const found = read.findIndex((one, i) => i >= from && one.method === request.method && one.body === body);
      if (found < 0)
        differences.push(`${request.method} with ${JSON.stringify(body)} in ${JSON.stringify(result.bytes)}`);
      else from = found + 1;
    }
  }
  assert.deepEqual(differences, [], 'the upstream saw what no strict reader sees');
  context.diagnostic(
    `${forwarded} requests forwarded, ${strict} right by the letter, ${victimCount} victims between them`,
  );
  assert.ok(forwarded > CASES / 3, `only ${forwarded} were forwarded: the mutations hit too hard`);
  assert.ok(victimCount > 0);
});
