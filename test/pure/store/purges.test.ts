// The purge log against a naive model that keeps every purge and compares texts: the same answers while the log has room,
// and never too little when it has not.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { tagName } from '../../../gateway/policy/tags.ts';
import { TICK_MS } from '../../../gateway/store/purge-table.ts';
import { createPurgeMemory, GONE, type PurgeSubject, Purges, UNTOUCHED } from '../../../gateway/store/purges.ts';
import { hashTag } from '../../../gateway/store/tag-hash.ts';
import { LIMITS } from '../../../gateway/tables/limits.ts';

interface Purged {
  readonly subject: PurgeSubject;
  readonly soft: boolean;
  readonly atMs: number;
}

/** What a purge means, in plain words. */
class Model {
  readonly purges: Purged[] = [];
  #newestMs = 0;

  purge(subject: PurgeSubject, soft: boolean, nowMs: number): void {
    // Each is newer than the one before, also with a clock that was set back.
    this.#newestMs = Math.max(this.#newestMs + TICK_MS, nowMs);
    this.purges.push({ subject, soft, atMs: this.#newestMs });
  }

  goodUntil(key: string, tags: readonly string[], storedMs: number): number {
    const matching = this.purges.filter(({ subject, atMs }) => atMs >= storedMs && names(subject, key, tags));
    if (matching.some(({ soft }) => !soft)) return GONE;
    return matching.length === 0 ? UNTOUCHED : Math.floor(Math.max(...matching.map(({ atMs }) => atMs)));
  }
}

function names(subject: PurgeSubject, key: string, tags: readonly string[]): boolean {
  const url = key.split('\n')[0] as string;
  const { protocol, hostname, port } = new URL(url);
  const path = url.slice(url.indexOf('/', url.indexOf('//') + 2));
  const withPort = `${hostname}:${port === '' ? (protocol === 'https:' ? 443 : 80) : port}`;
  const isThere = !('host' in subject) || ['', hostname, withPort].includes(subject.host);
  switch (subject.kind) {
    case 'url':
      return url === subject.text.split('\n')[0];
    case 'prefix':
      return url.startsWith(subject.text);
    case 'target':
      return isThere && path === subject.text;
    case 'path':
      return isThere && path.startsWith(subject.text);
    case 'tag':
      return isThere && tags.some((tag) => tagName(tag) === subject.text);
    case 'group':
      return url.startsWith(`${subject.origin}/`) && tags.includes(`"${subject.text}"`);
    case 'all':
      return isThere;
  }
}

const ORIGINS = [
  'http://a',
  'https://a',
  'https://a:8443',
  'http://a:443',
  'https://ab',
  'https://[::1]',
  'https://[::1]:8443',
];
const TARGETS = ['/', '/a', '/a/b', '/a/b?c=1', '/a/bb', '/?a', '/a/b/c', '//a/b'];
const TAGS = ['t', 'u', '"t"', '"g"', 'g', 'tt'];
const HOSTS = ['', '', 'a', 'a:443', 'a:80', 'a:8443', '[::1]', '[::1]:443', '[::1]:8443', 'ab'];

const url = fc
  .tuple(fc.constantFrom(...ORIGINS), fc.constantFrom(...TARGETS))
  .map(([origin, target]) => origin + target);
const host = fc.constantFrom(...HOSTS);
const prefixOf = (text: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(text, fc.nat({ max: 30 })).map(([whole, cut]) => whole.slice(0, Math.max(1, whole.length - cut)));
const subject: fc.Arbitrary<PurgeSubject> = fc.oneof(
  url.map((text) => ({ kind: 'url' as const, text })),
  url.map((text) => ({ kind: 'url' as const, text: `${text}\nvary accept=1:x` })),
  prefixOf(url).map((text) => ({ kind: 'prefix' as const, text })),
  fc.record({ kind: fc.constant('target' as const), text: fc.constantFrom(...TARGETS), host }),
  fc.record({ kind: fc.constant('path' as const), text: prefixOf(fc.constantFrom(...TARGETS)), host }),
  fc.record({ kind: fc.constant('tag' as const), text: fc.constantFrom(...TAGS.map(tagName)), host }),
  fc.record({
    kind: fc.constant('group' as const),
    text: fc.constantFrom('t', 'g'),
    origin: fc.constantFrom(...ORIGINS),
  }),
  fc.record({ kind: fc.constant('all' as const), host: fc.constantFrom(...HOSTS, 'elsewhere') }),
);
const purge = fc.record({ subject, soft: fc.boolean(), nowMs: fc.integer({ min: 1, max: 60 }) });
const asked = fc.record({
  key: fc.tuple(url, fc.constantFrom('', '\nmethod POST', '\nvary accept=3:ümĊ')).map(([one, more]) => one + more),
  tags: fc.subarray(TAGS),
  storedMs: fc.integer({ min: 0, max: 70 }),
});

test('answers as the model does', () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof({ weight: 1, arbitrary: purge }, { weight: 3, arbitrary: asked }), { maxLength: 60 }),
      (steps) => {
        const memory = createPurgeMemory();
        const [own, other] = [new Purges(memory), new Purges(memory)];
        const model = new Model();
        for (const step of steps) {
          if ('subject' in step) {
            own.purge(step.subject, step.soft, step.nowMs);
            model.purge(step.subject, step.soft, step.nowMs);
            continue;
          }
          const { key, tags, storedMs } = step;
          const expected = model.goodUntil(key, tags, storedMs);
          assert.equal(other.goodUntil(key, tags, storedMs), expected);
          assert.equal(own.isPurged(key, tags, storedMs), expected === GONE);
          assert.equal(other.newestOf(key, tags), newest(model, key, tags));
          assert.equal(atPlace(other, key, tags, storedMs), expected);
        }
      },
    ),
    { numRuns: 4000 },
  );
});

function newest(model: Model, key: string, tags: readonly string[]): number {
  return Math.max(0, ...model.purges.filter((one) => names(one.subject, key, tags)).map(({ atMs }) => atMs));
}

/** The same question about a key as it stands in the arena: ASCII as bytes, anything else as UTF-16. */
function atPlace(purges: Purges, key: string, tags: readonly string[], storedMs: number): number {
  const wide = Buffer.byteLength(key) !== key.length;
  const words = new Int32Array(200);
  const bytes = Buffer.from(words.buffer);
  bytes.fill('x');
  bytes.write(key, 4, wide ? 'utf16le' : 'latin1');
  for (const [i, tag] of tags.entries()) hashTag(tag, words, 101 + 2 * i);
  const place = { bytes, words, keyAt: 1, keyLength: key.length, keyStep: wide ? 2 : 1 };
  return purges.goodUntilAt({ ...place, tagsAt: 101, tags: tags.length, storedMs });
}

test('when there are more purges than it has room for, it purges too much and never too little', () => {
  const random = generator(7);
  for (const soft of [false, true]) {
    const purges = new Purges(createPurgeMemory());
    for (let i = 0; i < 60_000; i++) purges.add(`https://a/${i}`, 1_000 + i);
    for (let i = 0; i < 20_000; i++) purges.purge({ kind: 'tag', text: `t${i}`, host: '' }, soft, 61_000 + i);
    for (let n = 0; n < 5_000; n++) {
      const i = random(60_000);
      assert.equal(purges.goodUntil(`https://a/${i}`, [], 1_000 + i), GONE);
      const tag = random(20_000);
      const until = purges.goodUntil('https://a/x', [`t${tag}`], 61_000 + tag);
      assert.ok(until === GONE || (soft && until >= 61_000 + tag && until !== UNTOUCHED), `${tag}: ${until}`);
    }
    assert.equal(purges.goodUntil('https://a/1', ['t1'], 81_000), UNTOUCHED);
  }
});

test('no few thousand purges cost what is older its place', () => {
  const purges = new Purges(createPurgeMemory());
  for (let i = 0; i < 4_000; i++) purges.add(`https://a/${i}`, 1_000 + i);
  assert.equal(purges.goodUntil('https://a/other', [], 1), UNTOUCHED);
});

describe('longest texts', () => {
  const longest = `https://a/${'x'.repeat(LIMITS.cacheKeyBytes - 10)}`;
  const rows: [what: string, subject: PurgeSubject, until: number][] = [
    ['its URL', { kind: 'url', text: longest }, GONE],
    ['all of it as a prefix', { kind: 'prefix', text: longest }, GONE],
    ['all but one', { kind: 'prefix', text: longest.slice(0, -1) }, GONE],
    ['one more', { kind: 'prefix', text: `${longest}x` }, UNTOUCHED],
    ['far more', { kind: 'prefix', text: longest.repeat(3) }, UNTOUCHED],
    ['its path', { kind: 'path', text: longest.slice(9), host: '' }, GONE],
    ['far more than its path', { kind: 'path', text: longest.slice(9).repeat(3), host: '' }, UNTOUCHED],
  ];
  for (const [what, named, until] of rows) {
    test(what, () => {
      const purges = new Purges(createPurgeMemory());
      purges.purge(named, false, 10);
      assert.equal(purges.goodUntil(longest, [], 5), until);
    });
  }
});

test('as many tags as may be, and those of what is replaced', () => {
  const tags = Array.from({ length: 2 * LIMITS.tags }, (_, i) => `t${i}`);
  const purges = new Purges(createPurgeMemory());
  purges.purge({ kind: 'tag', text: `t${2 * LIMITS.tags - 1}`, host: '' }, true, 10);
  assert.equal(purges.goodUntil('https://a/', tags, 5), 10);
});

test('the epoch changes with every purge, also within one ms', () => {
  const purges = new Purges(createPurgeMemory());
  const seen = new Set([purges.epoch]);
  for (const soft of [false, true, true]) {
    purges.purge({ kind: 'all', host: '' }, soft, 10);
    seen.add(purges.epoch);
    purges.purge({ kind: 'tag', text: 't', host: '' }, soft, 10);
    seen.add(purges.epoch);
  }
  assert.equal(seen.size, 7);
});

test('a copy does not see what comes later', () => {
  const purges = new Purges(createPurgeMemory());
  purges.add('https://a/1', 10);
  const before = purges.copy();
  purges.add('https://a/2', 11);
  assert.equal(before.goodUntil('https://a/1', [], 5), GONE);
  assert.equal(before.goodUntil('https://a/2', [], 5), UNTOUCHED);
});

test('whatever bytes a key and its tags are, there is an answer', () => {
  const purges = new Purges(createPurgeMemory());
  purges.purge({ kind: 'prefix', text: 'h' }, true, 10);
  purges.purge({ kind: 'all', host: 'a' }, false, 11);
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.array(fc.string({ unit: 'binary' })),
      fc.nat(),
      (key, tags, storedMs) => {
        const until = purges.goodUntil(key, tags, storedMs);
        assert.ok(until >= 0);
        purges.purge({ kind: 'url', text: key }, true, 11);
        for (const kind of ['tag', 'path'] as const) purges.purge({ kind, text: key, host: key }, true, 11);
      },
    ),
  );
});

function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
