import assert from 'node:assert/strict';
import { test } from 'node:test';
import { standingOf } from '../../../gateway/balance/standing.ts';
import type { InstanceSpec } from '../../../gateway/config/published.ts';
import { createEjector } from '../../../gateway/control/eject.ts';
import { createStandings, type Standings } from '../../../gateway/control/standings.ts';
import { createVitals, Vitals } from '../../../gateway/upstream/vitals.ts';
import { createNewsLog, healthConfig, type NewsLog, tcp, upstreamConfig } from '../../helpers/control.ts';

const UPSTREAM = 4000;

function spec(name: string, slot: number, port = slot + 1): InstanceSpec {
  return { id: `api/${name}`, address: tcp(port), weight: 1, tier: 0, slot };
}

interface Field {
  readonly vitals: Vitals;
  readonly log: NewsLog;
  readonly standings: Standings;
  nowMs: number;
  apply(...specs: InstanceSpec[]): void;
}

function field(): Field {
  const vitals = new Vitals(createVitals());
  const log = createNewsLog();
  const it: Field = {
    vitals,
    log,
    nowMs: 1_000_000,
    standings: createStandings({ vitals, log, now: () => it.nowMs }),
    apply: (...specs: InstanceSpec[]) => it.standings.apply({ api: specs }, { api: UPSTREAM }),
  };
  return it;
}

test('the operator has the first word, then what is certain, then what traffic says', () => {
  const rows = [
    ['enabled', 'up', false, 'up'],
    ['enabled', 'unknown', false, 'unknown'],
    ['enabled', 'up', true, 'ejected'],
    ['enabled', 'unknown', true, 'ejected'],
    ['enabled', 'down', true, 'down'],
    ['enabled', 'unreachable', false, 'unreachable'],
    ['enabled', 'starting', true, 'starting'],
    ['draining', 'up', true, 'draining'],
    ['disabled', 'down', false, 'disabled'],
  ] as const;
  for (const [operator, health, isEjected, word] of rows)
    assert.equal(standingOf({ operator, health, isEjected }), word);
});

test('at the start nobody is slowed down; whoever returns, or comes to a running upstream, is', () => {
  const it = field();
  it.apply(spec('a', 0), spec('b', 1));
  it.standings.setHealth(0, 'up');
  it.standings.setHealth(1, 'starting');
  it.standings.setHealth(1, 'up');
  assert.deepEqual([it.vitals.returnedMs(0), it.vitals.returnedMs(1)], [0, 0]);
  it.nowMs += 500;
  it.standings.setHealth(0, 'unreachable');
  it.standings.setHealth(0, 'up');
  assert.equal(it.vitals.returnedMs(0), 1_000_500);
  it.apply(spec('a', 0), spec('b', 1), spec('c', 2));
  assert.equal(it.vitals.returnedMs(2), 1_000_500);
  assert.equal(it.vitals.state(0), 'up', 'a reload leaves the others as they were');
});

test('since when an upstream has nobody; whoever waits for somebody hears of it', async () => {
  const it = field();
  it.apply(spec('a', 0), spec('b', 1));
  it.standings.setHealth(0, 'unreachable');
  assert.equal(it.vitals.awaySinceMs(UPSTREAM), 0);
  it.nowMs += 70;
  it.standings.setHealth(1, 'starting');
  assert.equal(it.vitals.awaySinceMs(UPSTREAM), 1_000_070);
  const seen = it.vitals.signal(UPSTREAM);
  const heard = it.vitals.heard(UPSTREAM, seen, 60_000);
  it.nowMs += 10;
  it.standings.setHealth(0, 'starting');
  assert.equal(it.vitals.awaySinceMs(UPSTREAM), 1_000_070);
  it.standings.setHealth(1, 'up');
  await heard;
  assert.equal(it.vitals.awaySinceMs(UPSTREAM), 0);
});

test('an upstream that never had anybody is away since never', () => {
  const it = field();
  it.standings.apply({ own: [spec('a', 0)], api: [] }, { own: 4001, api: UPSTREAM });
  assert.equal(it.vitals.awaySinceMs(UPSTREAM), 0);
  it.standings.setHealth(0, 'starting');
  assert.equal(it.vitals.awaySinceMs(4001), it.nowMs, 'unknown counted as somebody');
});

test('the operator: said once, kept over a reload and another address, told with what it was', () => {
  const it = field();
  it.apply(spec('a', 0), spec('b', 1));
  assert.equal(it.standings.setOperator('api/none', 'disabled'), false);
  assert.equal(it.standings.setOperator('api/a', 'draining'), true);
  assert.equal(it.standings.setOperator('api/a', 'draining'), true);
  it.standings.setHealth(0, 'up');
  assert.equal(it.vitals.state(0), 'draining');
  it.apply(spec('a', 0), spec('b', 1));
  it.apply(spec('a', 0, 77), spec('b', 1));
  assert.equal(it.vitals.state(0), 'draining');
  it.standings.setOperator('api/a', 'enabled');
  assert.equal(it.vitals.state(0), 'unknown', 'nothing is known of what listens there now');
  assert.equal(it.standings.of('api/a')?.operator, 'enabled');
  assert.deepEqual(it.log.lines, [
    'info api/a is draining by the operator, it was enabled',
    'info api/a is enabled by the operator, it was draining',
  ]);
});

test('ejection: at the fifth failure, for its time, slowly back; the second time twice as long', () => {
  const it = field();
  it.apply(spec('a', 0), spec('b', 1));
  const ejector = createEjector({
    vitals: it.vitals,
    workerCount: 2,
    standings: it.standings,
    prober: { health: () => null },
    now: () => it.nowMs,
  });
  ejector.apply([upstreamConfig({ eject: { errors: 5, forMs: 10_000, max: 0.5 } })]);
  const tick = (ms: number): void => {
    it.nowMs += ms;
    ejector.tick();
  };
  const fail = (times: number): void => {
    for (let i = 0; i < times; i++) it.vitals.count(0, i % 2, 'failure');
  };
  tick(0);
  for (let i = 0; i < 30; i++) it.vitals.count(1, 0, 'ok');
  fail(4);
  tick(250);
  assert.equal(it.vitals.state(0), 'unknown');
  fail(1);
  tick(0);
  assert.equal(it.vitals.state(0), 'ejected');
  assert.match(
    it.log.lines[0] ?? '',
    /^warn api\/a is ejected: for 10 s: 5 in a row without an answer; 5 of 5 tries in 10 s, of its peers' 0 of 30$/,
  );
  tick(9_999);
  assert.equal(it.vitals.state(0), 'ejected');
  tick(1);
  assert.equal(it.vitals.state(0), 'unknown');
  assert.equal(it.vitals.returnedMs(0), it.nowMs);
  assert.equal(it.vitals.inRow(0), 0);
  tick(250);
  assert.equal(it.vitals.state(0), 'unknown', 'what put it out is not held against it twice');
  fail(5);
  tick(250);
  assert.match(it.log.lines.at(-1) ?? '', /api\/a is ejected: for 20 s/);
  assert.equal(it.standings.of('api/a')?.ejections, 2);
  // A reload without ejection lets it go.
  ejector.apply([upstreamConfig()]);
  tick(1);
  assert.equal(it.vitals.state(0), 'unknown');
});

test('one that could not be talked to is back as soon as probes are good again; one that answers 5xx is not', () => {
  for (const outcome of ['failure', 'error'] as const) {
    const it = field();
    it.apply(spec('a', 0), spec('b', 1));
    const probes = { goodInRow: 40, good: 40 };
    const ejector = createEjector({
      vitals: it.vitals,
      workerCount: 1,
      standings: it.standings,
      prober: { health: () => ({ state: 'up', sinceMs: 0, evidence: '', ...probes }) },
      now: () => it.nowMs,
    });
    ejector.apply([
      upstreamConfig({ health: healthConfig({ rise: 2 }), eject: { errors: 5, forMs: 10_000, max: 0.5 } }),
    ]);
    ejector.tick();
    for (let i = 0; i < 5; i++) it.vitals.count(0, 0, outcome);
    ejector.tick();
    assert.equal(it.vitals.state(0), 'ejected', 'good probes from before are no refutation');
    probes.good = probes.goodInRow = 41;
    ejector.tick();
    assert.equal(it.vitals.state(0), 'ejected');
    probes.good = probes.goodInRow = 42;
    ejector.tick();
    assert.equal(it.vitals.state(0), outcome === 'failure' ? 'unknown' : 'ejected');
  }
});

test('whom the operator took out is neither judged nor a measure', () => {
  const it = field();
  it.apply(spec('a', 0), spec('b', 1));
  const ejector = createEjector({
    vitals: it.vitals,
    workerCount: 1,
    standings: it.standings,
    prober: { health: () => null },
    now: () => it.nowMs,
  });
  ejector.apply([upstreamConfig({ eject: { errors: 5, forMs: 10_000, max: 1 } })]);
  it.standings.setOperator('api/b', 'disabled');
  ejector.tick();
  for (let i = 0; i < 9; i++) it.vitals.count(0, 0, 'failure');
  ejector.tick();
  assert.equal(it.vitals.state(0), 'unknown', 'the last one stays');
});

test('when most look ill it is said, and when that is over', () => {
  const it = field();
  it.apply(spec('a', 0), spec('b', 1), spec('c', 2));
  it.standings.setHealth(0, 'down');
  assert.equal(it.log.lines.length, 0);
  it.standings.setHealth(1, 'down');
  it.standings.setHealth(2, 'unreachable');
  it.standings.setHealth(0, 'up');
  assert.deepEqual(it.log.lines, [
    'warn api: only 1 of 3 instances look well; requests go to all of them',
    'info api: 1 of 2 instances look well; requests go to these',
  ]);
});
