// The one rule of the fleet: a value that was fetched under generation g is newer here than purge g and all before it, and
// older than every other, also than those that this gateway made and the others did not know of.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { createPurgeMemory, GONE, Purges, UNTOUCHED } from '../../../../gateway/store/purges.ts';
import { createGenerationMemory, Generations, generationOf } from '../../../../gateway/store/remote/generations.ts';

const KEY = 'http://a/x';
const NONE = Number.POSITIVE_INFINITY;

test('ids of the log order as Redis gives them', () => {
  assert.equal(generationOf('1700000000000-0'), 1_700_000_000_000);
  assert.ok(generationOf('1700000000000-1') > generationOf('1700000000000-0'));
  assert.ok(generationOf('1700000000001-0') > generationOf('1700000000000-4095'));
  for (const text of ['', '5', '5-', '-5', '5-x', 'x-5', '5-5-5']) assert.ok(Number.isNaN(generationOf(text)), text);
});

describe('a value of generation', () => {
  test('is as new as the purge it has seen, and older than the next', () => {
    const purges = new Purges(createPurgeMemory());
    const generations = new Generations(createGenerationMemory());
    generations.join(10, 1_000, NONE);
    generations.note(10, 1_000, NONE);
    const stored = (generation: number): number => generations.storedMs(generation) as number;
    assert.equal(generations.storedMs(9), null, 'older than the log');
    const atMs = purges.purge({ kind: 'url', text: KEY }, false, 2_000);
    generations.note(11, atMs, NONE);
    assert.equal(generations.applied, 11);
    assert.equal(purges.goodUntil(KEY, [], stored(10)), GONE);
    assert.equal(purges.goodUntil(KEY, [], stored(11)), UNTOUCHED);
    assert.equal(generations.storedMs(12), null, 'from a gateway that is ahead of us');
    assert.equal(purges.goodUntil('http://a/other', [], stored(10)), UNTOUCHED);
  });

  test('does not hide a purge of our own that the others learn of later', () => {
    const purges = new Purges(createPurgeMemory());
    const generations = new Generations(createGenerationMemory());
    generations.join(1, 1_000, NONE);
    generations.note(1, 1_000, NONE);
    // Ours, at 2,000, not yet in the log; another gateway's comes first.
    const ownMs = purges.purge({ kind: 'url', text: KEY }, false, 2_000);
    const theirsMs = purges.purge({ kind: 'url', text: 'http://a/y' }, false, 2_500);
    generations.note(2, theirsMs, ownMs);
    assert.equal(purges.goodUntil(KEY, [], generations.storedMs(2) as number), GONE);
    generations.noteOwn(3, ownMs, 3_000, NONE);
    assert.equal(purges.goodUntil(KEY, [], generations.storedMs(2) as number), GONE);
    assert.equal(purges.goodUntil(KEY, [], generations.storedMs(3) as number), UNTOUCHED);
  });

  test('does not hide a purge of a worker that control has not heard of', () => {
    const purges = new Purges(createPurgeMemory());
    const memory = createGenerationMemory();
    const generations = new Generations(memory);
    const worker = new Generations(memory);
    generations.join(1, purges.newestMs, NONE);
    generations.note(1, purges.newestMs, NONE);
    worker.begin(3);
    const ownMs = purges.purge({ kind: 'url', text: KEY }, false, 2_000);
    purges.purge({ kind: 'url', text: 'http://a/y' }, false, 2_500);
    generations.note(2, purges.newestMs, NONE);
    assert.equal(purges.goodUntil(KEY, [], worker.storedMs(2) as number), GONE);
    // Now control has: it is pending, then numbered.
    generations.settle(3);
    generations.note(3, purges.newestMs, ownMs);
    assert.equal(purges.goodUntil(KEY, [], worker.storedMs(3) as number), GONE);
    generations.noteOwn(4, ownMs, purges.newestMs, NONE);
    assert.equal(purges.goodUntil(KEY, [], worker.storedMs(3) as number), GONE);
    assert.equal(purges.goodUntil(KEY, [], worker.storedMs(4) as number), UNTOUCHED);
    // A worker that ends between the two is forgotten, and its last word counts for nobody else.
    worker.begin(3);
    generations.forget(3);
    generations.settle(3);
    worker.begin(3);
    purges.purge({ kind: 'url', text: KEY }, false, 3_000);
    generations.note(5, purges.newestMs, NONE);
    assert.equal(purges.goodUntil(KEY, [], worker.storedMs(5) as number), GONE);
  });

  test('any order of purges, ours and theirs: what was fetched before is gone, what was fetched after stays', () => {
    // The clock may stand still from one purge to the next, and go on in between.
    const step = fc.record({
      advance: fc.integer({ min: 0, max: 2 }),
      own: fc.boolean(),
      url: fc.integer({ min: 0, max: 3 }),
      late: fc.integer({ min: 0, max: 3 }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 30 }), (steps) => {
        const purges = new Purges(createPurgeMemory());
        const generations = new Generations(createGenerationMemory());
        generations.join(1, purges.newestMs, NONE);
        generations.note(1, purges.newestMs, NONE);
        let nowMs = 2_000;
        let generation = 1;
        /** The last generation that purged a URL, as the log has it. */
        const purgedBy = new Map<string, number>();
        const pending: { url: string; atMs: number }[] = [];
        const first = (): number => Math.min(...pending.map((each) => each.atMs));
        const confirm = (): void => {
          const own = pending.shift();
          if (own === undefined) return;
          generation++;
          generations.noteOwn(generation, own.atMs, purges.newestMs, first());
          purgedBy.set(own.url, generation);
        };
        for (const { own, url, late, advance } of steps) {
          const text = `http://a/${url}`;
          nowMs += advance;
          const atMs = purges.purge({ kind: 'url', text }, false, nowMs);
          if (own) pending.push({ url: text, atMs });
          else {
            generation++;
            purgedBy.set(text, generation);
            generations.note(generation, purges.newestMs, first());
          }
          if (pending.length > late) confirm();
        }
        while (pending.length > 0) confirm();
        for (const [text, by] of purgedBy) {
          for (let each = 1; each < by; each++)
            assert.equal(
              purges.goodUntil(text, [], generations.storedMs(each) as number),
              GONE,
              `${text} ${each} < ${by}`,
            );
          assert.equal(purges.goodUntil(text, [], generations.storedMs(generation) as number), UNTOUCHED);
        }
      }),
    );
  });

  test('more purges than are remembered one by one: old values are at most older than they are', () => {
    const purges = new Purges(createPurgeMemory());
    const generations = new Generations(createGenerationMemory());
    generations.join(1, 1_000, NONE);
    for (let each = 2; each < 10_000; each++)
      generations.note(each, purges.purge({ kind: 'url', text: `http://a/${each % 50}` }, false, 1_000 + each), NONE);
    assert.equal(purges.goodUntil('http://a/never', [], generations.storedMs(5) as number), UNTOUCHED);
    assert.equal(purges.goodUntil('http://a/7', [], generations.storedMs(5) as number), GONE);
    assert.equal(purges.goodUntil('http://a/7', [], generations.storedMs(9_999) as number), UNTOUCHED);
  });
});
