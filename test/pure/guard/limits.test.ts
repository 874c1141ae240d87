// Rate limits: the algorithm, the shared table, and whose requests count together.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { admitCell, cellOf, remaining, tatNow, waitUs } from '../../../gateway/guard/gcra.ts';
import { compileGuard, mayCome, whoIs } from '../../../gateway/guard/limit.ts';
import { networkOf } from '../../../gateway/http/address.ts';
import type { RequestHead } from '../../../gateway/http/request.ts';
import { createRateMemory, Rates } from '../../../gateway/store/rates.ts';

test('a burst at once, then one by one as time goes by', () => {
  const cell = cellOf(10, 1000, 3);
  let tat = 0;
  const come = (nowUs: number): boolean => {
    const next = admitCell(cell, tatNow(cell, tat, nowUs), nowUs);
    if (next !== null) tat = next;
    return next !== null;
  };
  assert.deepEqual([0, 0, 0, 0].map(come), [true, true, true, false]);
  assert.deepEqual([99_999, 100_000, 100_001, 200_000].map(come), [false, true, false, true]);
  assert.equal(remaining(cell, tatNow(cell, tat, 200_000), 200_000), 0);
  assert.equal(remaining(cell, tatNow(cell, tat, 400_000), 400_000), 2);
  assert.equal(remaining(cell, tatNow(cell, tat, 9_000_000), 9_000_000), 3);
});

const limits = fc.record({
  count: fc.integer({ min: 1, max: 1000 }),
  perMs: fc.constantFrom(1000, 60_000),
  burst: fc.integer({ min: 1, max: 50 }),
});

test('never more than the burst and what the rate allows, in any stretch of time; and never less than may be', () => {
  fc.assert(
    fc.property(limits, fc.array(fc.integer({ min: 0, max: 300_000 }), { maxLength: 200 }), (limit, gaps) => {
      const cell = cellOf(limit.count, limit.perMs, limit.burst);
      let tat = 0;
      let nowUs = 0;
      const admitted: number[] = [];
      for (const gap of gaps) {
        nowUs += gap;
        const current = tatNow(cell, tat, nowUs);
        const next = admitCell(cell, current, nowUs);
        const wait = waitUs(cell, current, nowUs);
        assert.equal(next !== null, wait === 0);
        assert.equal(remaining(cell, current, nowUs) > 0, wait === 0);
        if (wait > 0) {
          // Exactly then, and not a moment before.
          assert.notEqual(admitCell(cell, tatNow(cell, tat, nowUs + wait), nowUs + wait), null);
          assert.equal(admitCell(cell, tatNow(cell, tat, nowUs + wait - 1), nowUs + wait - 1), null);
        }
        if (next === null) continue;
        tat = next;
        admitted.push(nowUs);
      }
      for (let from = 0; from < admitted.length; from++) {
        for (let to = from; to < admitted.length; to++) {
          const overUs = (admitted[to] as number) - (admitted[from] as number);
          assert.ok(to - from + 1 <= limit.burst + overUs / cell.emissionUs + 1e-6);
        }
      }
    }),
  );
});

test('a clock that was set back keeps nobody out for longer than a burst takes', () => {
  const cell = cellOf(1, 1000, 5);
  const tat = 1e15;
  assert.ok(waitUs(cell, tatNow(cell, tat, 1000), 1000) <= 5_000_000);
});

test('the table: two views, exactly the burst between them, each somebody for itself', () => {
  const memory = createRateMemory(12_345);
  const views = [new Rates(memory), new Rates(memory)];
  const cell = cellOf(1, 3_600_000, 50);
  const counts = new Map<string, number>();
  for (let i = 0; i < 600; i++) {
    const who = `10.0.0.${i % 3}`;
    if ((views[i % 2] as Rates).take('api', who, cell, 1_000_000 + i).admitted)
      counts.set(who, (counts.get(who) ?? 0) + 1);
  }
  assert.deepEqual([...counts.values()], [50, 50, 50]);
  assert.equal(views[0]?.take('other', '10.0.0.1', cell, 1_000_000).admitted, true, 'another limit');
  assert.equal(views[0]?.take('api', '10.0.0.1', cell, 1_000_000 + 3_601_000).admitted, true, 'an hour later');
  const peeked = views[1]?.peek('api', '10.0.0.2', cell, 1_000_600);
  assert.deepEqual([peeked?.remaining, (peeked?.waitMs ?? 0) > 3_000_000], [0, true]);
  assert.equal(views[1]?.peek('api', 'nobody', cell, 1_000_600).remaining, 50);
});

test('the table: names and somebodies that run together are others; any text will do', () => {
  const rates = new Rates(createRateMemory(1));
  const cell = cellOf(1, 3_600_000, 1);
  const pairs = [
    ['a', 'bc'],
    ['ab', 'c'],
    ['abc', ''],
    ['', 'abc'],
    ['abc', 'abc'],
    ['', ''],
  ] as const;
  for (const [name, who] of pairs) assert.equal(rates.take(name, who, cell, 1000).admitted, true, `${name}|${who}`);
  for (const [name, who] of pairs) assert.equal(rates.take(name, who, cell, 1000).admitted, false, `${name}|${who}`);
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (name, who) => {
      rates.take(`x${name}`, who, cell, 5000);
      assert.equal(rates.take(`x${name}`, who, cell, 5000).admitted, false);
    }),
  );
});

test('the table: more somebodies than places; those whose time is over make room, and it goes on', () => {
  const rates = new Rates(createRateMemory(7));
  const quick = cellOf(1000, 1000, 1);
  for (let i = 0; i < 200_000; i++) assert.equal(rates.take('api', `client ${i}`, quick, 1000 + i).admitted, true);
  const slow = cellOf(1, 3_600_000, 1);
  for (let i = 0; i < 100_000; i++) rates.take('slow', `client ${i}`, slow, 1_000_000);
  assert.equal(rates.take('slow', 'the last one', slow, 1_000_000).admitted, true);
  assert.equal(rates.take('slow', 'the last one', slow, 1_000_000).admitted, false);
});

test('an IPv6 customer is a /64, an IPv4 one an address', () => {
  assert.equal(networkOf('10.1.2.3'), '10.1.2.3');
  assert.equal(networkOf('::ffff:10.1.2.3'), '10.1.2.3');
  assert.equal(networkOf('2001:db8:0:7:1:2:3:4'), '2001:db8:0:7/64');
  assert.equal(networkOf('2001:db8:0:7::1'), networkOf('2001:db8:0:7:ffff::'));
  assert.notEqual(networkOf('2001:db8:0:7::1'), networkOf('2001:db8:0:8::1'));
  assert.equal(networkOf(''), '');
});

const request = (fields: readonly string[], clientAddress = '10.0.0.1'): RequestHead =>
  ({ fields, clientAddress }) as unknown as RequestHead;

test('whose requests count together; leaving the field out is no way around', () => {
  const header = { by: 'header', name: 'x-api-key' } as const;
  const cookie = { by: 'cookie', name: 'sid' } as const;
  assert.equal(whoIs({ by: 'route', name: '' }, request([])), '');
  assert.equal(whoIs({ by: 'ip', name: '' }, request([], '2001:db8::1')), '2001:db8:0:0/64');
  assert.equal(whoIs(header, request(['x-api-key', 'k'])), '=k');
  assert.equal(whoIs(header, request([])), '10.0.0.1');
  assert.equal(whoIs(header, request(['x-api-key', ''])), '10.0.0.1');
  assert.equal(whoIs(cookie, request(['cookie', 'a=1; sid=s'])), '=s');
  assert.equal(whoIs(cookie, request(['cookie', 'a=1'])), '10.0.0.1');
  // Nobody can pretend to be an address.
  assert.notEqual(whoIs(header, request(['x-api-key', '10.0.0.2'])), '10.0.0.2');
});

test('who may come: deny goes over allow; no list means all', () => {
  const guard = compileGuard({ allow: ['10.0.0.0/8', '2001:db8::/32'], deny: ['10.9.0.0/16'] }, null);
  assert.ok(guard !== null);
  for (const [address, may] of [
    ['10.1.1.1', true],
    ['::ffff:10.1.1.1', true],
    ['10.9.1.1', false],
    ['11.0.0.1', false],
    ['2001:db8::5', true],
    ['', false],
    ['no address', false],
  ] as const)
    assert.equal(mayCome(guard, address), may, address);
  const open = compileGuard({ allow: [], deny: ['10.0.0.0/8'] }, null);
  assert.ok(open !== null && mayCome(open, '11.0.0.1') && !mayCome(open, '10.0.0.1'));
  assert.equal(compileGuard(null, null), null);
});
