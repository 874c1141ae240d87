// The tries of one fetch under whatever two instances may do in whatever order: its owner gets one answer, whole and of one
// instance, or one reason why there is none.

import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import fc from 'fast-check';
import type { FetchPlan } from '../../../gateway/fetch/plan.ts';
import { type GivenUp, Tries, type TriesOwner } from '../../../gateway/fetch/tries.ts';
import type { Attempt, AttemptHandlers, Failure, Instance, Upstream } from '../../../gateway/upstream/upstream.ts';
import { fakeUpstream } from '../../helpers/fake-upstream.ts';

/** One attempt as an instance has it; only legal things happen to it. */
class Told implements Attempt {
  readonly name: string;
  readonly #handlers: AttemptHandlers;
  state: 'sent' | 'head' | 'over' = 'sent';
  aborted = false;

  constructor(name: string, handlers: AttemptHandlers) {
    this.name = name;
    this.#handlers = handlers;
  }

  pause(): void {}
  resume(): void {}

  abort(): void {
    if (this.state === 'over') return;
    this.aborted = true;
    this.fail({ word: 'aborted', sent: true, cause: null });
  }

  head(status: number): void {
    if (this.state !== 'sent') return;
    this.state = 'head';
    this.#handlers.onHead(status, ['x-by', this.name]);
  }

  data(): void {
    if (this.state === 'head') this.#handlers.onData(Buffer.from(this.name));
  }

  end(): void {
    if (this.state !== 'head') return;
    this.state = 'over';
    this.#handlers.onEnd([]);
  }

  fail(failure: Failure): void {
    if (this.state === 'over') return;
    this.state = 'over';
    this.#handlers.onFailure(failure);
  }
}

interface Field {
  readonly attempts: Told[];
  readonly heard: string[];
  readonly tries: Tries;
  /** Second tries and hedges under way. */
  retrying: number;
}

function field(changes: Partial<Upstream> = {}, method = 'GET'): Field {
  const attempts: Told[] = [];
  const heard: string[] = [];
  const it: { retrying: number; tries: Tries | null } = { retrying: 0, tries: null };
  const instances = ['a', 'b', 'c'].map(
    (name): Instance => ({
      id: `api/${name}`,
      authority: name,
      token: '',
      send(_, handlers) {
        const attempt = new Told(`${name}${attempts.length}`, handlers);
        attempts.push(attempt);
        return attempt;
      },
      tunnel: () => assert.fail('no tunnel was asked for'),
    }),
  );
  const upstream = fakeUpstream({
    pick: ({ tried }) => instances.find((instance) => !tried.has(instance)) ?? 'tried',
    beginRetry: () => {
      it.retrying++;
      return true;
    },
    endRetry: () => {
      it.retrying--;
    },
    ...changes,
  });
  const state = { now: () => 0, rnd: () => 0.5, count: () => {}, replayBytes: 0 };
  const request = { method, authority: 'api.test', requestId: 'r' };
  const plan = {
    state,
    upstream,
    request,
    upload: null,
    uploadBytes: null,
    affinity: '',
    path: '/',
    timeouts: {},
    route: { priority: 'normal' },
    shadow: null,
  };
  const owner: TriesOwner = {
    isWanted: () => true,
    onStep: () => {},
    onInterim: () => {},
    onHead: (status, fields) => heard.push(`head ${status} ${fields[1]}`),
    onData: (chunk) => heard.push(`data ${chunk}`),
    onEnd: () => heard.push('end'),
    onBroken: () => heard.push('broken'),
    onGivenUp: (why: GivenUp) => heard.push(`given up ${'failure' in why ? why.failure.word : why.error}`),
    guard: (step) => step(),
  };
  const tries = new Tries(plan as unknown as FetchPlan, [], owner, null);
  return {
    attempts,
    heard,
    tries,
    get retrying() {
      return it.retrying;
    },
  };
}

const reset: Failure = { word: 'reset', sent: true, cause: null };

const event = fc.record({
  /** Which attempt, of those there are. */
  at: fc.nat(3),
  kind: fc.constantFrom('head', 'head 502', 'head 500', 'data', 'end', 'reset', 'timer', 'abort'),
});

test('whatever happens in whatever order: one head of one instance, its bytes alone, and one end', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 30 }), fc.boolean(), (events, hedges) => {
        const it = field({ hedgeAfterMs: () => (hedges ? 10 : null), takeHedge: () => true });
        it.tries.begin();
        let settled = false;
        for (const { at, kind } of events) {
          const attempt = it.attempts[at % it.attempts.length] as Told;
          if (kind === 'head') attempt.head(200);
          else if (kind === 'head 502') attempt.head(502);
          else if (kind === 'head 500') attempt.head(500);
          else if (kind === 'data') attempt.data();
          else if (kind === 'end') attempt.end();
          else if (kind === 'reset') attempt.fail(reset);
          else if (kind === 'timer') mock.timers.tick(300);
          else if (it.heard.length > 0 && !settled) {
            // Its owner has what it wanted and lets go.
            settled = true;
            it.tries.abort();
          }
        }
        const heads = it.heard.filter((line) => line.startsWith('head'));
        assert.ok(heads.length <= 1, it.heard.join(', '));
        const ends = it.heard.filter((line) => /^(end|broken|given up)/.test(line));
        assert.ok(ends.length <= 1, it.heard.join(', '));
        if (ends.length === 1) assert.equal(it.heard.at(-1), ends[0], 'nothing behind the end');
        const by = heads[0]?.split(' ')[2];
        for (const line of it.heard) if (line.startsWith('data')) assert.equal(line, `data ${by}`);
        if (heads.length === 1) {
          assert.equal(it.heard[0], heads[0]);
          assert.equal(it.retrying, 0, 'who has an answer retries no more');
        }
        if (ends.length === 1) assert.equal(it.retrying, 0);
        assert.ok(it.retrying >= 0 && it.attempts.length <= 3);
      }),
      { numRuns: 3000 },
    );
  } finally {
    mock.timers.reset();
  }
});

test('all that can go wrong goes wrong: it ends all the same', () => {
  const it = field();
  it.tries.begin();
  it.attempts[0]?.fail(reset);
  it.attempts[1]?.fail(reset);
  assert.deepEqual(it.heard, ['given up reset']);
  assert.equal(it.attempts.length, 2);
});

test('a POST that may have arrived is not made again', () => {
  const it = field({}, 'POST');
  it.tries.begin();
  it.attempts[0]?.fail(reset);
  assert.deepEqual(it.heard, ['given up reset']);
  const unsent = field({}, 'POST');
  unsent.tries.begin();
  unsent.attempts[0]?.fail({ ...reset, sent: false });
  unsent.attempts[1]?.head(200);
  unsent.attempts[1]?.end();
  assert.deepEqual(unsent.heard, ['head 200 b1', 'end']);
});

test('the faster of two is the answer, the other is let go of', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const it = field({ hedgeAfterMs: () => 10, takeHedge: () => true });
    it.tries.begin();
    mock.timers.tick(10);
    assert.equal(it.attempts.length, 2);
    it.attempts[1]?.head(200);
    assert.equal(it.attempts[0]?.aborted, true);
    it.attempts[1]?.data();
    it.attempts[1]?.end();
    assert.deepEqual(it.heard, ['head 200 b1', 'data b1', 'end']);
    assert.equal(it.tries.instance?.id, 'api/b');
    assert.equal(it.tries.tries, 2);
  } finally {
    mock.timers.reset();
  }
});

test('a 5xx is no answer while the other may still come; alone it is', () => {
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    const it = field({ hedgeAfterMs: () => 10, takeHedge: () => true });
    it.tries.begin();
    mock.timers.tick(10);
    it.attempts[1]?.head(500);
    assert.deepEqual(it.heard, []);
    it.attempts[0]?.head(200);
    assert.deepEqual(it.heard, ['head 200 a0']);
  } finally {
    mock.timers.reset();
  }
});
