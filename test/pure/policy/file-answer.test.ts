// What a request for a file is answered, from the file's facts alone.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDate } from '../../../gateway/http/dates.ts';
import { fieldOf } from '../../../gateway/http/fields.ts';
import {
  chooseSibling,
  dependsOnCoding,
  type FileVerdict,
  fileCacheControl,
  judgeFile,
} from '../../../gateway/policy/file-answer.ts';
import { requestOf, routeOf } from '../route/routes.ts';

const NOW = Date.UTC(2026, 7, 22, 12);
const MODIFIED = NOW - 3_600_000;
const FILE = { bytes: 1000, modifiedMs: MODIFIED };
const DATE = formatDate(MODIFIED);
const { cache } = routeOf('/*');

function judge(
  fields: readonly string[],
  changes: { file?: typeof FILE; coding?: string; method?: string } = {},
): FileVerdict {
  const request = requestOf('h/x', { fields: [...fields], method: changes.method ?? 'GET' });
  return judgeFile(request, changes.file ?? FILE, changes.coding ?? '', ['content-type', 'text/css'], NOW);
}

function fieldsOf(verdict: FileVerdict): readonly string[] {
  assert.ok('fields' in verdict);
  return verdict.fields;
}

const ETAG = fieldOf(fieldsOf(judge([])), 'etag') as string;

test('a plain answer has the validators and says that ranges work', () => {
  const fields = fieldsOf(judge([]));
  assert.equal(fieldOf(fields, 'last-modified'), DATE);
  assert.match(ETAG, /^"[0-9a-z]+-[0-9a-z]+"$/);
  assert.equal(fieldOf(fields, 'accept-ranges'), 'bytes');
  assert.equal(fieldOf(fields, 'content-encoding'), undefined);
});

test('an entity tag changes with length, time and coding', () => {
  const tags = [
    fieldsOf(judge([])),
    fieldsOf(judge([], { file: { ...FILE, bytes: 1001 } })),
    fieldsOf(judge([], { file: { ...FILE, modifiedMs: MODIFIED + 0.1 } })),
    fieldsOf(judge([], { coding: 'br' })),
    fieldsOf(judge([], { coding: 'gzip' })),
  ].map((fields) => fieldOf(fields, 'etag'));
  assert.equal(new Set(tags).size, tags.length);
});

test('a file that changed a moment ago has a weak entity tag, and none where its time says nothing', () => {
  const tag = (modifiedMs: number): string | undefined =>
    fieldOf(fieldsOf(judge([], { file: { bytes: 1, modifiedMs } })), 'etag');
  assert.match(tag(NOW - 2000) ?? '', /^"/);
  assert.match(tag(NOW - 1999) ?? '', /^W\//);
  assert.match(tag(NOW + 5000) ?? '', /^W\//);
  for (const modifiedMs of [-5000, 0, 1000]) {
    const fields = fieldsOf(judge(['if-modified-since', formatDate(NOW)], { file: { bytes: 1, modifiedMs } }));
    assert.equal(fieldOf(fields, 'etag'), undefined);
    assert.equal(fieldOf(fields, 'last-modified'), undefined);
  }
});

test('Last-Modified never lies ahead of Date', () => {
  const fields = fieldsOf(judge([], { file: { bytes: 1, modifiedMs: NOW + 60_000 } }));
  assert.equal(fieldOf(fields, 'last-modified'), formatDate(NOW));
});

test('conditions', () => {
  const before = formatDate(MODIFIED - 1000);
  const rows: readonly (readonly [fields: readonly string[], answer: FileVerdict['answer']])[] = [
    [['if-none-match', ETAG], 'not-modified'],
    [['if-none-match', `"x", W/${ETAG}`], 'not-modified'],
    [['if-none-match', '*'], 'not-modified'],
    [['if-none-match', '"x"'], 'whole'],
    [['if-none-match', '"x"', 'if-modified-since', DATE], 'whole'],
    [['if-modified-since', DATE], 'not-modified'],
    [['if-modified-since', before], 'whole'],
    [['if-modified-since', 'yesterday'], 'whole'],
    [['if-match', ETAG], 'whole'],
    [['if-match', '*'], 'whole'],
    [['if-match', '"x"', 'if-match', ETAG], 'whole'],
    [['if-match', '"x"'], 'precondition-failed'],
    [['if-match', `W/${ETAG}`], 'precondition-failed'],
    [['if-match', '"x"', 'if-none-match', ETAG], 'precondition-failed'],
    [['if-unmodified-since', DATE], 'whole'],
    [['if-unmodified-since', before], 'precondition-failed'],
    [['if-unmodified-since', before, 'if-match', ETAG], 'whole'],
    [['if-unmodified-since', 'yesterday'], 'whole'],
    [['if-none-match', ETAG, 'range', 'bytes=0-1'], 'not-modified'],
  ];
  for (const [fields, answer] of rows) assert.equal(judge(fields).answer, answer, fields.join(' '));
});

test('If-Match never holds for a weak entity tag but by *', () => {
  const file = { bytes: 1, modifiedMs: NOW };
  const etag = fieldOf(fieldsOf(judge([], { file })), 'etag') as string;
  assert.equal(judge(['if-match', etag], { file }).answer, 'precondition-failed');
  assert.equal(judge(['if-match', '*'], { file }).answer, 'whole');
});

test('ranges', () => {
  const rows: readonly (readonly [fields: readonly string[], answer: string])[] = [
    [['range', 'bytes=0-99'], 'bytes 0-99/1000'],
    [['range', 'bytes=900-'], 'bytes 900-999/1000'],
    [['range', 'bytes=-1'], 'bytes 999-999/1000'],
    [['range', 'bytes=-5000'], 'bytes 0-999/1000'],
    [['range', 'bytes=0-5000'], 'bytes 0-999/1000'],
    [['range', 'bytes=1000-'], 'bytes */1000'],
    [['range', 'bytes=-0'], 'bytes */1000'],
    [['range', 'bytes=5-1'], 'whole'],
    [['range', 'bytes=x'], 'whole'],
    [['range', 'items=0-1'], 'whole'],
    [['range', 'bytes=0-0', 'if-range', ETAG], 'bytes 0-0/1000'],
    [['range', 'bytes=0-0', 'if-range', `W/${ETAG}`], 'whole'],
    [['range', 'bytes=0-0', 'if-range', '"x"'], 'whole'],
    [['range', 'bytes=0-0', 'if-range', DATE], 'bytes 0-0/1000'],
    [['range', 'bytes=0-0', 'if-range', formatDate(NOW)], 'whole'],
  ];
  for (const [fields, answer] of rows) {
    const verdict = judge(fields);
    const told = fieldOf(fieldsOf(verdict), 'content-range') ?? verdict.answer;
    assert.equal(told, answer, fields.join(' '));
    assert.equal(judge(fields, { method: 'HEAD' }).answer, 'whole', 'HEAD has no ranges');
  }
  assert.equal(judge(['range', 'bytes=0-'], { file: { ...FILE, bytes: 0 } }).answer, 'unsatisfiable');
  assert.equal(judge(['range', 'bytes=-1'], { file: { ...FILE, bytes: 0 } }).answer, 'whole');
});

test('whatever is asked, a part lies inside the file', () => {
  const number = fc.oneof(fc.nat({ max: 12 }), fc.constantFrom(2 ** 31, 2 ** 53, 1e21)).map(String);
  const range = fc.tuple(
    fc.constantFrom('bytes=', 'bytes=-', 'b=', ''),
    number,
    fc.constantFrom('-', '', ',', '--'),
    number,
  );
  fc.assert(
    fc.property(range, fc.nat({ max: 10 }), (parts, bytes) => {
      const verdict = judge(['range', parts.join('')], { file: { bytes, modifiedMs: MODIFIED } });
      if (verdict.answer !== 'part') return;
      assert.ok(verdict.start >= 0 && verdict.start <= verdict.end && verdict.end < bytes);
    }),
  );
});

test('siblings: the most welcome one that belongs to this version of the file', () => {
  const sibling = (coding: string, changes: Partial<typeof FILE> = {}) => ({
    coding,
    file: { ...FILE, bytes: 9, ...changes },
  });
  const br = sibling('br');
  const gzip = sibling('gzip');
  const accepting = (value: string) => requestOf('h/x', { fields: ['accept-encoding', value] });
  assert.equal(chooseSibling(FILE, [br, gzip], accepting('gzip, br')), br);
  assert.equal(chooseSibling(FILE, [br, gzip], accepting('gzip, br;q=0.5')), gzip);
  assert.equal(chooseSibling(FILE, [br, gzip], accepting('identity')), null);
  assert.equal(chooseSibling(FILE, [br, gzip], requestOf('h/x')), null);
  assert.equal(chooseSibling(FILE, [br], accepting('gzip')), null);
  const lines = requestOf('h/x', { fields: ['accept-encoding', 'gzip;q=0.1', 'accept-encoding', 'br'] });
  assert.equal(chooseSibling(FILE, [gzip, br], lines), br);

  const older = sibling('br', { modifiedMs: MODIFIED - 1000 });
  assert.equal(chooseSibling(FILE, [older, gzip], accepting('br, gzip')), gzip);
  assert.equal(dependsOnCoding(FILE, [older]), false);
  assert.equal(dependsOnCoding(FILE, [older, gzip]), true);
  // brotli copies the time of the file without its fraction.
  const whole = sibling('br', { modifiedMs: Math.floor((MODIFIED + 900) / 1000) * 1000 });
  assert.equal(chooseSibling({ ...FILE, modifiedMs: MODIFIED + 900 }, [whole], accepting('br')), whole);
  const empty = sibling('br', { bytes: 0 });
  assert.equal(chooseSibling(FILE, [empty], accepting('br')), null);
});

test('Cache-Control', () => {
  const rows: readonly (readonly [name: string, ttlMs: number | null, defaultTtlMs: number | null, control: string])[] =
    [
      ['app.js', null, null, 'no-cache'],
      ['app.js', 86_400_000, null, 'max-age=86400'],
      ['app.js', null, 30_000, 'max-age=30'],
      ['app.js', 60_000, 30_000, 'max-age=60'],
      ['app.js', 0, 30_000, 'no-cache'],
      ['app.js', 999, null, 'no-cache'],
      ['app.js', 365 * 86_400_000, null, 'max-age=31536000, immutable'],
      ['app.3f9a1c2b.js', null, null, 'max-age=31536000, immutable'],
      ['app.3f9a1c2b.js', 60_000, null, 'max-age=31536000, immutable'],
    ];
  for (const [name, ttlMs, defaultTtlMs, control] of rows) {
    assert.equal(fileCacheControl(name, { ...cache, ttlMs, defaultTtlMs }), control);
  }
});
