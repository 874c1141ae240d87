// Scenarios that stay for ever: those that once had a fault, each as small as it was when the model found it, and some that
// chance makes so seldom that a short run may miss them.

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
const askFor = (target: number): Step => ({ kind: 'ask', target, worker: 0, asked: plainest(REQUESTS) });
const goOn: Step = { kind: 'go-on', which: 0 };
const purge: Step = { kind: 'purge', what: 'url', target: 0, soft: false, worker: 0 };
const control = (value: string): Partial<Behaviour> => ({ control: ['cache-control', value] });

type Row = readonly [what: string, targets: readonly string[], ...steps: Step[]];
const A = ['/plain/a'];

const found: readonly Row[] = [
  [
    'a validated answer that is not stored had the age from before',
    A,
    ...[ask(), pass(60_000), ask({ identity: ['authorization', 'Bearer bob'] })],
  ],
  [
    'a request behind a purge joined a fetch from before it, in the body',
    A,
    ...[say(control('max-age=60')), ask({ held: 'body' }), pass(1), purge, pass(1), ask()],
  ],
  [
    'a request behind a purge joined a fetch from before it, ahead of the head',
    A,
    ...[ask({ held: 'head' }), pass(1), purge, pass(1), ask(), goOn],
  ],
  [
    "a request behind a purge followed another worker's fetch from before it",
    A,
    ...[ask({ held: 'head' }), pass(1), purge, pass(1), ask({}, 1), goOn],
  ],
  [
    'a request behind a DELETE joined a fetch from before it',
    A,
    ...[ask({ held: 'head' }), pass(1), ask({ method: 'DELETE' }), pass(1), ask(), goOn],
  ],
  [
    'who joined the validation of a stale response got that, although the upstream had sent a new one',
    A,
    ...[ask(), pass(10_000), { kind: 'change', target: 0 } satisfies Step, ask({ held: 'body' }), ask()],
  ],
  [
    'who joined a fetch got the fields that private and no-cache withhold from others',
    A,
    ...[say(control('private="x-secret", max-age=60')), ask({ held: 'body' }), ask()],
  ],
  [
    'HEAD on a stale answer had it fetched anew by HEAD, which threw it away',
    ['/stale/a'],
    ...[ask(), pass(5_000), ask({ method: 'HEAD' })],
  ],
  [
    "a slow reader of another worker's fetch kept its worker from fetching anew when that was long over",
    ['/stale/a'],
    ...[ask({ held: 'body' }), ask({ slow: true }, 1), goOn, pass(5_000), ask({}, 1)],
  ],
  [
    'who joined a validation got the response, although the 304 brought a Vary in which they differ',
    A,
    ask(),
    pass(10_000),
    say({ vary: 'accept-language' }),
    ask({ held: 'head' }),
    ask({ selecting: ['accept-language', 'de'] }),
    goOn,
  ],
  [
    'a stale answer to a request with no-store threw it away',
    ['/stale/a'],
    ...[ask(), pass(6_000), ask({ control: ['cache-control', 'no-store'] }), ask()],
  ],
  [
    'a validation for one with credentials threw away what everybody had, and with it what stands in for failures',
    A,
    ...[ask(), pass(6_000), ask({ identity: ['authorization', 'Bearer bob'] }), say({ failure: 'reset' }), ask()],
  ],
  [
    'an answer to one with credentials threw away what everybody had',
    A,
    ...[ask(), pass(6_000), { kind: 'change', target: 0 } satisfies Step],
    ...[ask({ identity: ['authorization', 'Bearer bob'] }), say({ failure: 'reset' }), ask()],
  ],
  [
    'what several soft purges within one millisecond made stale was fresh until the next',
    A,
    ...[ask(), { ...purge, soft: true }, { ...purge, soft: true }, ask()],
  ],
  [
    'a condition that a stored part answers was dropped, and the rest fetched for who had it all',
    A,
    ...[say({ ranges: true }), ask({ range: ['range', 'bytes=5-'] })],
    ...[ask({ condition: 'etag', range: ['range', 'bytes=0-4'] }), ask({ condition: 'etag' })],
  ],
];

const rare: readonly Row[] = [
  [
    'a validation from before a purge does not bring back what was purged',
    A,
    ...[ask(), pass(10_000), ask({ held: 'head' }), pass(1), purge, pass(1), goOn, ask()],
  ],
  ['Expires in the past', A, say({ control: ['expires', '@-10'] }), ask(), ask()],
  [
    'max-stale of a request does not waive must-revalidate',
    A,
    ...[
      say(control('max-age=2, must-revalidate')),
      ask(),
      pass(3_000),
      ask({ control: ['cache-control', 'max-stale'] }),
    ],
  ],
  ['min-fresh of a request', A, ...[ask(), pass(1_000), ask({ control: ['cache-control', 'min-fresh=5'] })]],
  [
    'a failure keeps nobody from asking for longer than a second',
    A,
    ...[ask(), pass(6_000), say({ failure: 'reset' }), ask(), pass(500), ask(), pass(2_000), ask()],
  ],
  [
    's-maxage leaves the config no say in what is served stale',
    A,
    ...[say(control('s-maxage=5')), ask(), pass(6_000), say({ failure: 'reset' }), ask()],
  ],
  ['a POST that failed invalidates nothing', A, ask(), say({ status: 503 }), ask({ method: 'POST' }), ask()],
  [
    'Content-Location of an answer to POST is invalidated',
    ['/plain/a', '/plain/b'],
    ...[askFor(1), say({ more: ['content-location', '/plain/b'] }), pass(1), ask({ method: 'POST' })],
    ...[pass(1), askFor(1)],
  ],
  [
    'heuristic freshness is the tenth part',
    ['/part/a'],
    ...[say({ control: [], validators: 'date' }), ask(), pass(9_999), ask(), pass(1_001), ask()],
  ],
  [
    'a body of unknown length outgrows the store: who reads it gets it all, nobody else joins',
    A,
    ...[say({ bytes: 110_000, framing: 'chunked' }), ask({ held: 'body' }), ask(), ask({ slow: true }), goOn, ask()],
  ],
  [
    'many slow readers of one large stored body, a change of it meanwhile',
    A,
    ...[say({ bytes: 70_000 }), ask(), ask({ slow: true }), ask({ slow: true }), pass(6_000)],
    ...[
      { kind: 'change', target: 0 } satisfies Step,
      ask({ slow: true }),
      ask(),
      { kind: 'read', which: 0 } satisfies Step,
    ],
  ],
  [
    'a leader that fails twice, with others waiting here and there',
    A,
    ...[say({ failure: 'timeout' }), ask({ held: 'head' }), ask(), ask({}, 1), ask({}, 1), goOn, goOn],
  ],
  [
    'who joined a fetch that turns out to be of another variant gets its own',
    A,
    say({ vary: 'accept-language' }),
    ask({ held: 'head', selecting: ['accept-language', 'de'] }),
    ask({ selecting: ['accept-language', 'en'] }),
    goOn,
  ],
  [
    'the rest of a part is asked for, and what comes of it is whole for all',
    A,
    ...[say({ ranges: true }), ask({ range: ['range', 'bytes=5-'] }), ask(), ask({}, 1), ask({ method: 'HEAD' })],
    ask({ range: ['range', 'bytes=0-1,200-,-1'] }),
  ],
  [
    'a part for one who names somebody that is joined to a whole without a lifetime, for one who does not',
    A,
    say({ ranges: true, ...control('max-age=5') }),
    ask({ held: 'body', range: ['range', 'bytes=0-4'], identity: ['cookie', 'session=bob'] }),
    ...[say({ ranges: true, ...control('must-revalidate') }), ask(), goOn, ask()],
  ],
  [
    'a part of what has changed is joined to nothing',
    A,
    ...[say({ ranges: true }), ask({ range: ['range', 'bytes=5-'] }), { kind: 'change', target: 0 } satisfies Step],
    ...[ask({ range: ['range', 'bytes=0-9'] }), ask(), ask({ range: ['range', 'bytes=5-'] })],
  ],
  [
    'HEAD shows that there is something else now',
    A,
    ...[
      say(control('max-age=60')),
      ask(),
      { kind: 'change', target: 0 } satisfies Step,
      ask({ method: 'HEAD', control: ['cache-control', 'no-cache'] }),
    ],
    ask(),
  ],
  [
    'a soft purge by tag leaves what stands in for a failure',
    A,
    say({ more: ['surrogate-key', 'one two'] }),
    ...[ask(), pass(1), { ...purge, what: { tag: 'two' }, soft: true }, pass(1), say({ failure: 'reset' }), ask()],
  ],
  [
    'QUERY is answered by what it asks',
    ['/query/a'],
    ...[
      ask({ method: 'QUERY', body: 'one' }),
      ask({ method: 'QUERY', body: 'two' }),
      ask({ method: 'QUERY', body: 'one' }),
    ],
    ...[ask(), ask({ method: 'POST', body: 'one' })],
  ],
  [
    'what answers a POST at its own URL answers GET, and not once that URL is purged',
    A,
    say({ more: ['content-location', '/plain/a'] }),
    ...[ask({ method: 'POST' }), pass(1), ask(), purge, pass(1), ask()],
  ],
];

for (const [what, targets, ...steps] of [...found, ...rare]) {
  test(what, async () => {
    const fault = await run({ chance: 1, targets, tight: false, steps });
    assert.equal(fault, null, fault === null ? '' : `${fault.why}\n${fault.transcript}`);
  });
}
