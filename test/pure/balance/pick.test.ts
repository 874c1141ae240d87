import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Candidate,
  gather,
  mostAreIll,
  type PickAsk,
  type Standing,
  weightNow,
} from '../../../gateway/balance/candidate.ts';
import { hashText, LOAD_FACTOR } from '../../../gateway/balance/hash.ts';
import { newLatency } from '../../../gateway/balance/latency.ts';
import { PICKS, type PickName, pick } from '../../../gateway/balance/pick.ts';
import { stickyToken } from '../../../gateway/balance/sticky.ts';

type Server = { -readonly [key in keyof Candidate]: Candidate[key] };

function server(id: string, changes: Partial<Server> = {}): Server {
  return {
    id,
    weight: 1,
    tier: 0,
    standing: 'good',
    inflight: 0,
    isFull: false,
    returnedMs: 0,
    latency: newLatency(0),
    hash: hashText(id),
    token: '',
    turn: 0,
    ...changes,
  };
}

const none: ReadonlySet<unknown> = new Set();

function ask(changes: Partial<PickAsk> = {}): PickAsk {
  return { tried: none, affinity: '', nowMs: 0, rnd: () => 0.5, anyLoad: false, slowStartMs: 0, ...changes };
}

/** Chance from a seed, the same every time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** Who was picked, by id. */
function idOf(picked: Candidate | string): string {
  return typeof picked === 'string' ? picked : picked.id;
}

function countsOf(name: PickName, servers: readonly Server[], times: number, changes: Partial<PickAsk> = {}): number[] {
  const counts = new Map<string, number>();
  const rnd = seeded(7);
  for (let i = 0; i < times; i++) {
    const id = idOf(pick(name, servers, ask({ rnd, ...changes })));
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return servers.map(({ id }) => counts.get(id) ?? 0);
}

const POLICIES = Object.keys(PICKS) as PickName[];

// Who may be picked.

const who: readonly (readonly [what: string, servers: Partial<Server>[], tried: string, found: string])[] = [
  ['all that are good', [{}, {}], '', 'ab'],
  ['nobody there', [], '', 'away'],
  ['nobody may', [{ standing: 'out' }, { standing: 'draining' }, { weight: 0 }], '', 'away'],
  ['those that had it do not get it again', [{}, {}], 'a', 'b'],
  ['all had it', [{}, {}], 'ab', 'tried'],
  ['all that may had it', [{}, { standing: 'out' }], 'a', 'tried'],
  ['full ones are passed over', [{ isFull: true }, {}], '', 'b'],
  ['all are full', [{ isFull: true }, { isFull: true }], '', 'full'],
  ['the rest is full', [{}, { isFull: true }], 'a', 'full'],
  ['one of two is ill: the other bears it', [{}, { standing: 'doubtful' }], '', 'a'],
  [
    'two of three are ill: it is likelier that the signs deceive',
    [{}, { standing: 'doubtful' }, { standing: 'doubtful' }],
    '',
    'abc',
  ],
  ['two of four: not fewer than half', [{}, {}, { standing: 'doubtful' }, { standing: 'doubtful' }], '', 'ab'],
  [
    'those that are out do not count',
    [{}, { standing: 'doubtful' }, { standing: 'out' }, { standing: 'out' }],
    '',
    'a',
  ],
  ['all are ill', [{ standing: 'doubtful' }, { standing: 'doubtful' }], '', 'ab'],
  ['one alone is ill', [{ standing: 'doubtful' }], '', 'a'],
  ['the good ones had it: then the ill', [{}, {}, { standing: 'doubtful' }], 'ab', 'c'],
  ['the first tier first', [{}, { tier: 1 }], '', 'a'],
  ['the next when none of it may', [{ standing: 'out' }, { tier: 1 }, { tier: 2 }], '', 'b'],
  ['the next before the ill', [{ standing: 'doubtful' }, { tier: 1 }], '', 'b'],
  [
    'most of the first are ill, but there is another tier',
    [{}, { standing: 'doubtful' }, { standing: 'doubtful' }, { tier: 1 }],
    '',
    'a',
  ],
  ['a retry may go to the next tier', [{}, { tier: 1 }], 'a', 'b'],
  ['full is no reason to leave a tier', [{ isFull: true }, { tier: 1 }], '', 'full'],
  [
    'nobody is well anywhere: the ill of the first tier',
    [{ standing: 'doubtful' }, { standing: 'doubtful', tier: 1 }],
    '',
    'a',
  ],
];
for (const [what, drawn, tried, found] of who) {
  test(`who may: ${what}`, () => {
    const servers = drawn.map((changes, at) => server('abcd'[at] as string, changes));
    const into: Server[] = [];
    const nobody = gather(servers, ask({ tried: new Set(servers.filter(({ id }) => tried.includes(id))) }), into);
    assert.equal(nobody ?? into.map(({ id }) => id).join(''), found);
  });
}

const standing = fc.constantFrom<Standing>('good', 'doubtful', 'draining', 'out');
const anyServer = fc.record({
  standing,
  tier: fc.nat(2),
  weight: fc.nat(3),
  inflight: fc.nat(9),
  isFull: fc.boolean(),
  returnedMs: fc.nat(2000),
  ewmaMs: fc.nat(999),
  tried: fc.boolean(),
});

test('no policy ever picks one that may not, and each finds one when there is one', () => {
  fc.assert(
    fc.property(
      fc.array(anyServer, { maxLength: 8 }),
      fc.constantFrom(...POLICIES),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      fc.string(),
      (drawn, name, chance, affinity) => {
        const servers = drawn.map(({ ewmaMs, tried: _, ...rest }, at) =>
          server(String(at), { ...rest, latency: { ewmaMs, atMs: 0 } }),
        );
        const tried = new Set(servers.filter((_, at) => drawn[at]?.tried));
        const question = ask({ tried, nowMs: 1000, rnd: () => chance, slowStartMs: 500, affinity });
        const picked = pick(name, servers, question);
        const may = servers.filter(
          (one) => (one.standing === 'good' || one.standing === 'doubtful') && one.weight > 0 && !tried.has(one),
        );
        if (typeof picked !== 'string') {
          assert.ok(may.includes(picked) && !picked.isFull);
          const better = may.some((one) => one.standing === 'good' && one.tier < picked.tier);
          assert.ok(!better, 'a lower tier was passed over');
          if (picked.standing === 'doubtful')
            assert.ok(
              !may.some((one) => one.standing === 'good') || mostAreIll(servers, picked.tier),
              'one that is ill although enough are well',
            );
        } else if (picked === 'full') assert.ok(may.some((one) => one.isFull));
        else assert.equal(may.length, 0, picked);
      },
    ),
  );
});

// What the policies do.

test('round robin is smooth: 5:1:1 never gives one server five in a row', () => {
  const servers = [server('a', { weight: 5 }), server('b'), server('c')];
  const order = Array.from({ length: 14 }, () => idOf(pick('round_robin', servers, ask()))).join('');
  assert.equal(order, 'aabacaaaabacaa');
});

test('round robin gives each its weight’s part over a cycle', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }), (weights) => {
      const servers = weights.map((weight, at) => server(String(at), { weight }));
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      assert.deepEqual(
        countsOf('round_robin', servers, 3 * total),
        weights.map((weight) => 3 * weight),
      );
    }),
  );
});

test('p2c takes the better of two: faster, emptier; and a faster one bears more', () => {
  const slow = server('slow', { latency: { ewmaMs: 50, atMs: 0 } });
  const fast = server('fast', { latency: { ewmaMs: 5, atMs: 0 } });
  for (const chance of [0, 0.3, 0.5, 0.99]) {
    const rnd = () => chance;
    assert.equal(idOf(pick('p2c', [slow, fast], ask({ rnd }))), 'fast');
    assert.equal(idOf(pick('p2c', [server('busy', { inflight: 3 }), fast], ask({ rnd }))), 'busy');
    assert.equal(idOf(pick('p2c', [server('busy', { inflight: 9 }), fast], ask({ rnd }))), 'fast');
    assert.equal(
      idOf(pick('p2c', [server('light', { inflight: 2 }), server('heavy', { weight: 4, inflight: 4 })], ask({ rnd }))),
      'heavy',
    );
  }
});

test('idle or loaded, p2c gives equal servers the same and heavier ones more', () => {
  for (const weights of [
    [1, 1],
    [1, 1, 1, 1],
    [2, 1],
    [5, 3, 2],
  ]) {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    const idle = weights.map((weight, at) => server(String(at), { weight }));
    const counts = countsOf('p2c', idle, 6000);
    for (const [at, weight] of weights.entries()) {
      const share = (counts[at] as number) / 6000;
      // Of three or more, two different ones are drawn: the heaviest is drawn a little less often than its weight says.
      assert.ok(Math.abs(share - weight / total) < 0.08, `idle ${weights}: ${share} of ${weight}`);
    }
    const loaded = weights.map((weight, at) => server(String(at), { weight }));
    const rnd = seeded(3);
    for (let i = 0; i < 4000; i++) (pick('p2c', loaded, ask({ rnd })) as Server).inflight++;
    for (const { inflight, weight } of loaded)
      assert.ok(Math.abs(inflight - (4000 * weight) / total) < 40, `loaded ${weights}: ${inflight} of ${weight}`);
  }
});

test('least requests: the emptiest for its weight, among equals anyone', () => {
  const servers = [server('a', { inflight: 3 }), server('b', { inflight: 5, weight: 4 }), server('c', { inflight: 2 })];
  assert.deepEqual(countsOf('least_requests', servers, 10), [0, 10, 0]);
  const idle = ['a', 'b', 'c'].map((id) => server(id));
  for (const count of countsOf('least_requests', idle, 3000)) assert.ok(Math.abs(count - 1000) < 100, String(count));
});

test('random: as often as the weight says', () => {
  const servers = [server('a', { weight: 1 }), server('b', { weight: 3 })];
  const [a = 0] = countsOf('random', servers, 8000);
  assert.ok(Math.abs(a - 2000) < 150, String(a));
});

const keys = Array.from({ length: 3000 }, (_, at) => `tenant-${at}`);

function owners(servers: readonly Server[]): string[] {
  return keys.map((affinity) => idOf(pick('hash', servers, ask({ affinity }))));
}

test('hash: every key has its instance, whatever the order; one that leaves moves only its own keys', () => {
  for (const size of [2, 3, 9, 50]) {
    const servers = Array.from({ length: size }, (_, at) => server(`api/10.0.0.${at}:8000`));
    const before = owners(servers);
    assert.deepEqual(owners([...servers].reverse()), before);
    const gone = servers[1] as Server;
    const after = owners(servers.filter((one) => one !== gone));
    for (const [at, owner] of before.entries()) if (owner !== gone.id) assert.equal(after[at], owner);
    for (const one of servers) {
      const share = before.filter((owner) => owner === one.id).length / keys.length;
      assert.ok(Math.abs(share * size - 1) < 0.5, `${share} of ${size}`);
    }
  }
});

test('hash: heavier ones have more keys; a changed weight moves keys to or from that one only', () => {
  const servers = ['a', 'b', 'c'].map((id) => server(id));
  const before = owners(servers);
  (servers[0] as Server).weight = 2;
  const after = owners(servers);
  const share = after.filter((owner) => owner === 'a').length / keys.length;
  assert.ok(Math.abs(share - 0.5) < 0.05, String(share));
  for (const [at, owner] of after.entries()) assert.ok(owner === before[at] || owner === 'a');
});

test('hash: one key for all never loads one instance beyond its bound; then its next ones help', () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 12 }), fc.integer({ min: 1, max: 300 }), fc.string(), (size, load, key) => {
      const servers = Array.from({ length: size }, (_, at) => server(String(at)));
      for (let i = 0; i < load; i++) (pick('hash', servers, ask({ affinity: `${key}x` })) as Server).inflight++;
      for (const { inflight } of servers) assert.ok(inflight <= Math.ceil((LOAD_FACTOR * load) / size));
    }),
  );
});

test('hash without anything to hash is p2c', () => {
  const servers = [server('a', { inflight: 9 }), server('b')];
  assert.deepEqual(countsOf('hash', servers, 20), [0, 20]);
});

test('sticky: to the one its token names, also while it drains; else anybody who may', () => {
  const servers = ['a', 'b', 'c'].map((id) => server(id, { token: stickyToken('secret', id) }));
  const [, b] = servers as [Server, Server, Server];
  const affinity = b.token;
  const found = (changes: Partial<Server>, asked: Partial<PickAsk> = {}): string => {
    const before = { ...b };
    Object.assign(b, changes);
    const id = idOf(pick('sticky', servers, ask({ affinity, ...asked })));
    Object.assign(b, before);
    return id;
  };
  assert.equal(found({ inflight: 1000 }), 'b');
  assert.equal(found({ standing: 'draining' }), 'b');
  assert.equal(found({ weight: 0 }), 'b');
  assert.equal(found({ isFull: true }), 'full');
  assert.notEqual(found({ standing: 'out' }), 'b');
  assert.notEqual(found({ standing: 'doubtful' }), 'b');
  assert.notEqual(found({}, { tried: new Set([b]) }), 'b');
  assert.notEqual(found({ inflight: 1000 }, { affinity: stickyToken('other', 'b') }), 'b');
  assert.match(affinity, /^[A-Za-z0-9_-]{22}$/);
});

test('slow start: from a tenth to all of it, never back; a clock that goes back forgives', () => {
  const back = server('a', { weight: 10, returnedMs: 1000 });
  const at = (nowMs: number): number => weightNow(back, { nowMs, slowStartMs: 10_000 });
  assert.deepEqual([1000, 1500, 3000, 6000, 11_000, 99_000, 0].map(at), [1, 1, 2, 5, 10, 10, 10]);
  assert.equal(weightNow(back, { nowMs: 1500, slowStartMs: 0 }), 10);
  fc.assert(
    fc.property(fc.nat(20_000), fc.nat(20_000), (one, other) => {
      const [early, late] = one < other ? [one, other] : [other, one];
      assert.ok(at(1000 + early) <= at(1000 + late));
    }),
  );
});

test('slow start: one that is back gets little at first, by every policy that looks at weights', () => {
  for (const name of ['p2c', 'round_robin', 'random'] as const) {
    const servers = [server('a'), server('b', { returnedMs: 1000 })];
    const [, soon = 0] = countsOf(name, servers, 2000, { nowMs: 1100, slowStartMs: 10_000 });
    assert.ok(soon > 0 && soon < 2000 * 0.15, `${name}: ${soon}`);
    const [, later = 0] = countsOf(name, servers, 2000, { nowMs: 11_000, slowStartMs: 10_000 });
    assert.ok(Math.abs(later - 1000) < 100, `${name}: ${later}`);
  }
});
