import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Counts,
  counted,
  ejectionMs,
  judge,
  type Member,
  type Reading,
  remember,
  timesLeft,
  WINDOW_MS,
} from '../../../gateway/balance/outlier.ts';

const config = { errors: 5, forMs: 10_000, max: 0.5 };

/** "ok/errors/failures/in a row", with "!" behind it when ejected, "-" when it may not take requests. */
function pool(...texts: string[]): Member[] {
  return texts.map((text, at) => {
    const [ok = 0, errors = 0, failures = 0, inRow = 0] = text.replace(/[!-]$/, '').split('/').map(Number);
    return {
      id: 'abcdefghijklmnop'[at] as string,
      counts: { ok, errors, failures },
      inRow,
      isUsable: !/[!-]$/.test(text),
      isEjected: text.endsWith('!'),
    };
  });
}

const rows: readonly (readonly [what: string, members: Member[], ejected: string])[] = [
  ['five failures in a row, its peer is well', pool('0/0/5/5', '20/0/0/0'), 'a'],
  ['four are not enough', pool('0/0/4/4', '20/0/0/0'), ''],
  ['5xx answers count like failures', pool('10/9/0/9', '20/0/0/0'), 'a'],
  ['five in a row after a hundred good ones are no worse than its peers by much', pool('100/0/5/5', '100/0/0/0'), ''],
  ['its peers have nothing to tell', pool('0/0/5/5', '0/0/0/0'), 'a'],
  ['a fault that both share', pool('0/10/0/10', '0/10/0/10'), ''],
  ['a fault that all of three share', pool('5/10/0/6', '5/9/0/8', '5/12/0/5'), ''],
  ['every second fails, never in a row', pool('20/20/0/1', '40/0/0/0', '40/0/0/0'), 'a'],
  ['every second fails, but few were tried', pool('5/5/0/1', '40/0/0/0', '40/0/0/0'), ''],
  ['every second fails, its peers do nothing', pool('20/20/0/1', '0/0/0/0'), ''],
  ['a tenth fails: that is for retries', pool('90/10/0/1', '100/0/0/0'), ''],
  ['two of two bad in turn: one goes, the last stays', pool('0/0/9/9', '1/0/8/8'), ''],
  ['the last usable one stays', pool('0/0/9/9', '40/0/0/0-'), ''],
  ['the worst of two bad ones of three goes; one is the cap', pool('0/0/9/9', '2/0/7/7', '90/0/0/0'), 'a'],
  ['half of four may go', pool('0/0/9/9', '0/0/7/7', '90/0/0/0', '90/0/0/0'), 'ab'],
  ['but not while one of the two is out already', pool('0/0/9/9!', '0/0/7/7', '90/0/0/0', '90/0/0/0'), 'b'],
  ['and none while both are', pool('0/0/9/9!', '0/0/7/7!', '0/0/7/7', '90/0/0/0'), ''],
  ['one alone', pool('0/0/9/9'), ''],
  ['nobody', [], ''],
];
for (const [what, members, ejected] of rows) {
  test(`judge: ${what}`, () => {
    const found = judge(members, config);
    assert.equal(found.map(({ id }) => id).join(''), ejected);
  });
}

test('the evidence names what happened to it and to its peers', () => {
  const [one] = judge(pool('1/0/6/6', '40/1/0/0', '40/0/1/0'), config);
  assert.deepEqual(one, {
    id: 'a',
    why: "6 in a row without an answer; 6 of 7 tries in 10 s, of its peers' 2 of 82",
    isUnreachable: true,
  });
  assert.equal(judge(pool('0/9/0/9', '40/0/0/0'), config)[0]?.isUnreachable, false);
});

const counts = fc.record({ ok: fc.nat(50), errors: fc.nat(50), failures: fc.nat(50) });
const member = fc.record({ counts, inRow: fc.nat(20), isUsable: fc.boolean() });

test('whatever happens: never more than the cap, never the last usable one, never one that is not usable', () => {
  fc.assert(
    fc.property(fc.array(member, { maxLength: 20 }), fc.double({ min: 0, max: 1, noNaN: true }), (drawn, max) => {
      const members = drawn.map((one, at) => ({ ...one, id: String(at), isEjected: !one.isUsable && at % 2 === 0 }));
      const found = judge(members, { ...config, max });
      const usable = members.filter(({ isUsable }) => isUsable).length;
      const out = members.filter(({ isEjected }) => isEjected).length;
      const cap = Math.max(1, Math.floor(members.length * max));
      assert.ok(found.length === 0 || usable - found.length >= 1);
      assert.ok(found.length === 0 || out + found.length <= cap);
      for (const { id } of found) assert.equal(members[Number(id)]?.isUsable, true);
    }),
  );
});

test('a pool in which all fare alike loses nobody', () => {
  fc.assert(
    fc.property(counts, fc.nat(30), fc.integer({ min: 2, max: 50 }), (same, inRow, size) => {
      fc.pre(same.errors + same.failures > 0);
      const members = Array.from({ length: size }, (_, at) => ({
        id: String(at),
        counts: same,
        inRow,
        isUsable: true,
        isEjected: false,
      }));
      assert.deepEqual(judge(members, config), []);
    }),
  );
});

test('one that always fails among good ones goes, in a pool of two to fifty', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 50 }), fc.integer({ min: 5, max: 100 }), (size, tries) => {
      const members = pool(`0/0/${tries}/${tries}`, ...Array.from({ length: size - 1 }, () => '30/0/0/0'));
      assert.deepEqual(
        judge(members, config).map(({ id }) => id),
        ['a'],
      );
    }),
  );
});

test('ejections last twice as long each time, up to six times, and are forgotten by being good', () => {
  assert.deepEqual(
    [1, 2, 3, 4, 5].map((times) => ejectionMs(config, times) / 1000),
    [10, 20, 40, 60, 60],
  );
  assert.deepEqual(
    [0, 29_999, 30_000, 65_000, 1e9, -5].map((goodMs) => timesLeft(config, 2, goodMs)),
    [2, 2, 1, 0, 0, 2],
  );
});

test('the window: what happened in the last ten seconds, give or take one, over wraps and clock steps', () => {
  const at = (n: number): Counts => ({ ok: (2 ** 31 - 50 + n) | 0, errors: 0, failures: 0 });
  let readings: readonly Reading[] = [];
  // One request every 100 ms, read as often.
  for (let n = 0; n <= 300; n++) {
    readings = remember(readings, at(n), n * 100);
    const { ok } = counted(readings, at(n));
    const whole = Math.min(n, WINDOW_MS / 100);
    assert.ok(ok >= whole && ok <= whole + 10, `${ok} at ${n}`);
    assert.ok(readings.length <= 12);
  }
  readings = remember(readings, at(301), 5);
  assert.deepEqual(readings, [{ ...at(301), atMs: 5 }]);
  assert.deepEqual(counted(readings, at(300)), { ok: 0, errors: 0, failures: 0 });
  assert.deepEqual(counted([], at(3)), { ok: 0, errors: 0, failures: 0 });
});
