// Scenarios that once had a fault, each as small as it was when the model found it. They stay for ever.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run } from './model.ts';
import type { Step } from './scenario.ts';
import { ANSWERS, type Asked, type Behaviour, plainest, REQUESTS } from './vocabulary.ts';

const ask = (asked: Partial<Asked> = {}, worker: 0 | 1 = 0): Step => ({
  kind: 'ask',
  target: 0,
  worker,
  asked: { ...plainest(REQUESTS), ...asked },
});
const say = (behaviour: Partial<Behaviour>): Step => ({
  kind: 'say',
  target: 0,
  behaviour: { ...plainest(ANSWERS), ...behaviour },
});
const pass = (ms: number): Step => ({ kind: 'pass', ms });
const goOn: Step = { kind: 'go-on', which: 0 };
const purge: Step = { kind: 'purge', target: 0, worker: 0 };
const control = (value: string): Partial<Behaviour> => ({ control: ['cache-control', value] });

/** What happened once; where, if not at /plain/a; the steps to it. */
const rows: readonly [what: string, target: string | null, ...steps: Step[]][] = [
  [
    'a validated answer that is not stored had the age from before',
    null,
    ...[ask(), pass(60_000), ask({ identity: ['authorization', 'Bearer bob'] })],
  ],
  [
    'a request behind a purge joined a fetch from before it, in the body',
    null,
    ...[say(control('max-age=60')), ask({ held: 'body' }), pass(1), purge, pass(1), ask()],
  ],
  [
    'a request behind a purge joined a fetch from before it, ahead of the head',
    null,
    ...[ask({ held: 'head' }), pass(1), purge, pass(1), ask(), goOn],
  ],
  [
    "a request behind a purge followed another worker's fetch from before it",
    null,
    ...[ask({ held: 'head' }), pass(1), purge, pass(1), ask({}, 1), goOn],
  ],
  [
    'a request behind a DELETE joined a fetch from before it',
    null,
    ...[ask({ held: 'head' }), pass(1), ask({ method: 'DELETE' }), pass(1), ask(), goOn],
  ],
  [
    'who joined the validation of a stale response got that, although the upstream had sent a new one',
    null,
    ...[ask(), pass(10_000), { kind: 'change', target: 0 } satisfies Step, ask({ held: 'body' }), ask()],
  ],
  [
    'who joined a fetch got the fields that private and no-cache withhold from others',
    null,
    ...[say(control('private="x-secret", max-age=60')), ask({ held: 'body' }), ask()],
  ],
  [
    'HEAD on a stale answer had it fetched anew by HEAD, which threw it away',
    '/stale/a',
    ask(),
    pass(5_000),
    ask({ method: 'HEAD' }),
  ],
];

for (const [what, target, ...steps] of rows) {
  test(what, async () => {
    const fault = await run({ chance: 1, targets: [target ?? '/plain/a'], tight: false, steps });
    assert.equal(fault, null, fault === null ? '' : `${fault.why}\n${fault.transcript}`);
  });
}
