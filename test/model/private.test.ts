// What is one client's reaches no other: random identities ask two workers for the same few URLs, whose answers are personal in
// every way that the standard and our config know, and no answer to one of them is ever made of what another one got.

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import type { Fields } from '../../gateway/http/fields.ts';
import type { ExchangeRecord, Watcher } from './records.ts';
import type { Scenario, Step } from './scenario.ts';
import { Transcript } from './transcript.ts';
import { ANSWERS, type Behaviour, CLOCK_STEPS, plainest, REQUESTS } from './vocabulary.ts';
import { config, World } from './world.ts';

const SEED = 20_261_126;
const RUNS_EACH = 40;

interface Personal {
  readonly why: string;
  readonly target: string;
  /** Where the identity stands. */
  readonly field: string;
  readonly behaviour: Partial<Behaviour>;
}

const control = (value: string): Partial<Behaviour> => ({ control: ['cache-control', value] });
const cookie: Fields = ['set-cookie', 'session=somebody'];

const rows: readonly Personal[] = [
  { why: 'private', target: '/plain/a', field: 'cookie', behaviour: control('private, max-age=60') },
  {
    why: 'private, in a second line',
    target: '/plain/a',
    field: 'x-other',
    behaviour: {
      control: ['cache-control', 'max-age=60', 'cache-control', 'PRIVATE'],
    },
  },
  {
    why: 'private beside public',
    target: '/plain/a',
    field: 'cookie',
    behaviour: control('public, private, s-maxage=60'),
  },
  { why: 'private with cache.ttl', target: '/ttl/a', field: 'cookie', behaviour: control('private') },
  { why: 'no-store', target: '/plain/a', field: 'cookie', behaviour: control('no-store, max-age=60') },
  { why: 'no-store with cache.ttl', target: '/ttl/a', field: 'x-other', behaviour: control('no-store') },
  { why: 'Authorization', target: '/plain/a', field: 'authorization', behaviour: control('max-age=60') },
  { why: 'Authorization and default_ttl', target: '/ours/a', field: 'authorization', behaviour: { control: [] } },
  {
    why: 'Authorization and stale',
    target: '/stale/a',
    field: 'authorization',
    behaviour: control('max-age=1, stale-while-revalidate=60, stale-if-error=60'),
  },
  { why: 'a Cookie and default_ttl', target: '/ours/a', field: 'cookie', behaviour: { control: [] } },
  { why: 'a Cookie and cache.ttl', target: '/ttl/a', field: 'cookie', behaviour: control('max-age=60') },
  {
    why: 'a Cookie and a heuristic',
    target: '/part/a',
    field: 'cookie',
    behaviour: { control: [], validators: 'date' },
  },
  { why: 'an API key and default_ttl', target: '/ours/a', field: 'x-api-key', behaviour: { control: [] } },
  { why: 'an API key and stale', target: '/stale/a', field: 'x-api-key', behaviour: { control: [] } },
  { why: 'Set-Cookie', target: '/plain/a', field: 'cookie', behaviour: { ...control('max-age=60'), more: cookie } },
  { why: 'Set-Cookie and no lifetime', target: '/ours/a', field: 'x-other', behaviour: { control: [], more: cookie } },
  {
    why: 'Vary: Cookie',
    target: '/plain/a',
    field: 'cookie',
    behaviour: { ...control('public, max-age=60'), vary: 'cookie' },
  },
  { why: 'Vary: *', target: '/plain/a', field: 'x-other', behaviour: { ...control('max-age=60'), vary: '*' } },
  { why: 'its own key by cookie', target: '/keyed/a', field: 'cookie', behaviour: control('max-age=60') },
];

/** Who asks: one of three with a name of their own, or nobody. */
const who = fc.nat({ max: 3 });
const worker = fc.constantFrom<0 | 1>(0, 1);

type Move =
  | {
      readonly kind: 'ask';
      readonly who: number;
      readonly worker: 0 | 1;
      readonly head: boolean;
      readonly held: boolean;
    }
  | { readonly kind: 'pass'; readonly ms: number }
  | { readonly kind: 'go-on' }
  | { readonly kind: 'fail'; readonly how: 'timeout' | 'cut' | null };

const move: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('ask' as const), who, worker, head: fc.boolean(), held: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(...CLOCK_STEPS) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('go-on' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('fail' as const), how: fc.constantFrom(null, 'timeout', 'cut') }),
  },
);
const name = fc.stringMatching(/^[a-z0-9]{4,12}$/);

function stepOf(row: Personal, names: readonly string[], taken: Move): Step {
  const behaviour: Behaviour = { ...plainest(ANSWERS), volatile: true, ...row.behaviour };
  switch (taken.kind) {
    case 'ask': {
      const own = names[taken.who];
      const value = row.field === 'cookie' ? `session=${own}` : own;
      const identity = own === undefined || value === undefined ? [] : [row.field, value];
      const method = taken.head ? 'HEAD' : 'GET';
      const asked = { ...plainest(REQUESTS), method, identity, held: taken.held ? 'head' : 'no' } as const;
      return { kind: 'ask', target: 0, worker: taken.worker, asked };
    }
    case 'pass':
      return taken;
    case 'go-on':
      return { kind: 'go-on', which: 0 };
    case 'fail':
      return { kind: 'say', target: 0, behaviour: { ...behaviour, failure: taken.how } };
  }
}

/** Whose answer reached somebody else, with the transcript, or null. */
async function leakOf(scenario: Scenario): Promise<string | null> {
  const exchanges: ExchangeRecord[] = [];
  let leak: string | null = null;
  const nothing = (): void => {};
  const watcher: Watcher = {
    ...{
      asked: nothing,
      forwarded: nothing,
      headCame: nothing,
      exchangeEnded: nothing,
      closed: nothing,
      purged: nothing,
    },
    answered(client, answer) {
      for (const field of answer.fields) {
        const of = exchanges[Number(/^x-m(\d+)$/.exec(field)?.[1] ?? 0) - 1]?.client;
        const own = client.asked.identity.join();
        if (of !== undefined && of.asked.identity.length > 0 && of.asked.identity.join() !== own)
          leak ??= `client ${client.n} gets what client ${of.n} got`;
      }
    },
  };
  const transcript = new Transcript();
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const world = new World(scenario, await config, transcript.around(watcher), exchanges);
    for (const step of scenario.steps) await world.step(step);
    await world.finish();
    return leak === null ? null : `${transcript.text()}\n${leak}`;
  } finally {
    mock.timers.reset();
  }
}

for (const row of rows) {
  test(`an answer that is personal by ${row.why} (${row.field}) reaches its own client only`, async () => {
    const say: Step = { kind: 'say', target: 0, behaviour: { ...plainest(ANSWERS), volatile: true, ...row.behaviour } };
    const scenarios = fc
      .tuple(
        fc.nat({ max: 1_000 }),
        fc.uniqueArray(name, { minLength: 3, maxLength: 3 }),
        fc.array(move, { minLength: 1, maxLength: 20 }),
      )
      .map<Scenario>(([chance, names, moves]) => ({
        chance,
        targets: [row.target],
        tight: false,
        steps: [say, ...moves.map((taken) => stepOf(row, names, taken))],
      }));
    const result = await fc.check(
      fc.asyncProperty(scenarios, async (scenario) => (await leakOf(scenario)) === null),
      { seed: SEED, numRuns: RUNS_EACH },
    );
    const scenario = result.counterexample?.[0];
    if (scenario !== undefined) assert.fail(`\n${await leakOf(scenario)}`);
    assert.ok(!result.failed);
  });
}
