// What completes a part: which answers do, and that both together are the true bytes.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Completing } from '../../../gateway/fetch/completing.ts';
import { fieldOf } from '../../../gateway/http/fields.ts';
import { mayStorePart, missingOf } from '../../../gateway/policy/parts.ts';
import { autoRules, input } from '../policy/samples.ts';

const FIELDS = ['cache-control', 'max-age=60', 'etag', '"v1"', 'x-a', 'old'];

/** A part of `body` from `first` that is completed for a request with this Range; null when it cannot be. */
function completing(
  body: Buffer,
  first: number,
  bytes: number,
  range: string | null,
  fields = FIELDS,
): Completing | null {
  const verdict = mayStorePart(input(fields, { status: 206 }), { first, bytes, total: body.length });
  if (!verdict.store) throw new Error(verdict.reason);
  const missing = missingOf(verdict.head, range === null ? [] : ['range', range], autoRules.maxObjectBytes);
  const held = { key: 'k', head: verdict.head, body: body.subarray(first, first + bytes) };
  return missing === null ? null : new Completing(held, missing);
}

function must(first: number, bytes: number, range: string | null, fields = FIELDS): Completing {
  const one = completing(Buffer.from('0123456789'), first, bytes, range, fields);
  assert.ok(one !== null);
  return one;
}

test("it asks for what is missing, without the client's own conditions", () => {
  const fields = ['accept', '*/*', 'range', 'bytes=3-7', 'if-range', '"v1"', 'if-none-match', '"v0"'];
  assert.deepEqual(must(2, 4, 'bytes=3-7').ask(fields), ['accept', '*/*', 'range', 'bytes=6-7', 'if-range', '"v1"']);
});

test('only exactly that completes it', () => {
  const same = ['etag', '"v1"', 'content-range', 'bytes 4-9/10'];
  const rows: readonly (readonly [
    status: number,
    fields: readonly string[],
    'fits' | 'again' | 'other',
    disproved?: boolean,
  ])[] = [
    [206, same, 'fits'],
    [206, [...same, 'content-length', '6'], 'fits'],
    [206, [...same, 'content-length', '5'], 'again'],
    [206, [...same, 'content-encoding', 'gzip'], 'again', true],
    [206, ['etag', '"v1"', 'content-range', 'bytes 4-8/10'], 'again'],
    [206, ['etag', '"v1"', 'content-range', 'bytes 5-9/10'], 'again'],
    [206, ['etag', '"v1"', 'content-range', 'bytes 4-9/*'], 'again', true],
    [206, ['etag', '"v1"', 'content-range', 'bytes 4-9/11'], 'again', true],
    [206, ['etag', '"v2"', 'content-range', 'bytes 4-9/10'], 'again', true],
    [206, ['etag', 'W/"v1"', 'content-range', 'bytes 4-9/10'], 'again', true],
    [206, ['content-range', 'bytes 4-9/10'], 'again', true],
    [206, [...same, 'content-range', 'bytes 4-9/10'], 'again'],
    [206, ['etag', '"v1"'], 'again'],
    [416, [], 'again', true],
    [304, ['etag', '"v1"'], 'again'],
    [200, [], 'other'],
    [404, [], 'other'],
    [503, [], 'other'],
  ];
  for (const [status, fields, judged, disproved = false] of rows) {
    const one = must(0, 4, null);
    assert.equal(one.judge(status, fields), judged, `${status} ${fields.join()}`);
    if (judged === 'again') assert.equal(one.disproves(status, fields), disproved, `${status} ${fields.join()}`);
  }
});

test('the client gets a 200 for the whole, and a 206 for its range, with the newer fields', () => {
  const received = ['etag', '"v1"', 'content-range', 'bytes 4-9/10', 'x-a', 'new', 'x-b', '1'];
  const whole = must(0, 4, null).headOf(received);
  assert.deepEqual([whole.status, whole.bodyBytes, fieldOf(whole.fields, 'content-range')], [200, 10, undefined]);
  assert.deepEqual([fieldOf(whole.fields, 'x-a'), fieldOf(whole.fields, 'x-b')], ['new', '1']);
  const part = must(0, 4, 'bytes=3-7').headOf(received);
  assert.deepEqual([part.status, part.bodyBytes, fieldOf(part.fields, 'content-range')], [206, 5, 'bytes 3-7/10']);
});

test('the content in its encoding stays in it, though the newer answer does not name it', () => {
  const { fields } = must(0, 4, null, [...FIELDS, 'content-encoding', 'gzip']).headOf(['etag', '"v1"']);
  assert.equal(fieldOf(fields, 'content-encoding'), 'gzip');
});

test('held and missing bytes are the range that was asked for, and all of them a true part', () => {
  const body = fc.uint8Array({ minLength: 1, maxLength: 80 }).map((bytes) => Buffer.from(bytes));
  const bound = fc.option(fc.nat({ max: 90 }), { nil: '' });
  const range = fc.option(fc.tuple(bound, bound).map(([first, last]) => `bytes=${first}-${last}`));
  let completed = 0;
  fc.assert(
    fc.property(body, fc.nat(), fc.nat(), range, fc.nat(), (whole, a, b, asked, at) => {
      const first = a % whole.length;
      const bytes = 1 + (b % (whole.length - first));
      const one = completing(whole, first, bytes, asked);
      if (one === null) return;
      completed++;
      const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(one.ask([])[1] as string) ?? [];
      const arrived = whole.subarray(Number(start), Number(end) + 1);
      const middle = at % arrived.length;
      const chunks = [arrived.subarray(0, middle), arrived.subarray(middle)];
      const all = [...one.before, ...chunks, ...one.behind];
      const { status, fields, bodyBytes } = one.headOf(['etag', '"v1"']);
      const [, from, to] = /^bytes (\d+)-(\d+)\//.exec(fieldOf(fields, 'content-range') ?? '') ?? [
        '',
        '0',
        String(whole.length - 1),
      ];
      assert.equal(status, bodyBytes === whole.length ? 200 : 206);
      assert.ok(Buffer.concat(all).equals(whole.subarray(Number(from), Number(to) + 1)));
      assert.equal(Buffer.concat(all).length, bodyBytes);
      const { union } = one;
      assert.ok(Buffer.concat(one.join(all)).equals(whole.subarray(union.first, union.first + union.bytes)));
      // Counted to the byte.
      assert.ok(!one.isComplete && one.take(arrived.length) && one.isComplete && !one.take(1));
    }),
    { numRuns: 1000 },
  );
  assert.ok(completed > 100, `${completed} of 1000 could be completed`);
});
