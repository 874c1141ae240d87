import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Discovery,
  type DnsAnswer,
  discover,
  type Found,
  MOST_ADDRESSES,
  NOTHING_FOUND,
} from '../../../gateway/balance/discovery.ts';
import type { ResolveConfig } from '../../../gateway/config/config.ts';

const config: ResolveConfig = { tls: false, host: 'api.test', port: 80, srv: false, refreshMs: null, nameservers: [] };

const found = (address: string, changes: Partial<Found> = {}): Found => ({
  address,
  port: 80,
  weight: 1,
  tier: 0,
  ttlS: 30,
  ...changes,
});

/** Answers as letters: "ab" is two addresses, "!" a failure, "" an empty answer. What is known after each, and what came and went. */
function walk(...answers: readonly string[]): string[] {
  let discovery: Discovery = NOTHING_FOUND;
  return answers.map((letters) => {
    const answer: DnsAnswer =
      letters === '!'
        ? { ok: false, why: 'ENOTFOUND' }
        : { ok: true, found: [...letters].map((letter) => found(`10.0.0.${letter.charCodeAt(0) - 96}`)) };
    const step = discover(discovery, answer, config, 0.5);
    discovery = step.discovery;
    const short = (name: string): string => String.fromCharCode(96 + Number(/\.(\d+):80$/.exec(name)?.[1]));
    const changes = [...step.came.map((name) => `+${short(name)}`), ...step.went.map((name) => `-${short(name)}`)];
    return [discovery.servers.map(({ address }) => short(address.text)).join(''), ...changes].join(' ');
  });
}

test('addresses come at once and go when two answers lack them', () => {
  assert.deepEqual(walk('ab', 'ab', 'bc', 'bc'), ['ab +a +b', 'ab', 'abc +c', 'bc -a']);
  assert.deepEqual(walk('ab', 'b', 'ab', 'b', 'b'), ['ab +a +b', 'ab', 'ab', 'ab', 'b -a']);
});

test('what was good stays while DNS fails or says nothing', () => {
  assert.deepEqual(walk('!', 'a', '!', '', '!', 'b', 'b'), ['', 'a +a', 'a', 'a', 'a', 'ab +b', 'b -a']);
});

test('when to ask again: as the shortest record says, within bounds; after failures less and less often', () => {
  const wait = (answer: DnsAnswer, changes: Partial<ResolveConfig> = {}, failures = 0, rnd = 0.5): number =>
    discover({ ...NOTHING_FOUND, failures }, answer, { ...config, ...changes }, rnd).waitMs;
  const of = (...ttls: number[]): DnsAnswer => ({
    ok: true,
    found: ttls.map((ttlS, at) => found(`10.0.0.${at}`, { ttlS })),
  });
  assert.equal(wait(of(30, 10)), 10_000);
  assert.equal(wait(of(0)), 1000);
  assert.equal(wait(of(86_400)), 300_000);
  assert.equal(wait(of(30), { refreshMs: 5000 }), 5000);
  assert.deepEqual([wait(of(10), {}, 0, 0), wait(of(10), {}, 0, 1)], [9000, 11_000]);
  const no: DnsAnswer = { ok: false, why: 'ETIMEOUT' };
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 99].map((failures) => wait(no, {}, failures)),
    [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000],
  );
});

test('IPv6, TLS, weights and priorities as the records say', () => {
  const answer: DnsAnswer = { ok: true, found: [found('2001:db8::1', { port: 8443, weight: 0, tier: 5 })] };
  assert.deepEqual(discover(NOTHING_FOUND, answer, { ...config, tls: true }, 0).discovery.servers, [
    {
      address: { kind: 'tcp', tls: true, host: '2001:db8::1', port: 8443, text: 'https://[2001:db8::1]:8443' },
      weight: 1,
      tier: 5,
    },
  ]);
});

test('never an empty list after there was one, never too long a one, each server once, in one order', () => {
  const addresses = fc.array(fc.nat(600), { maxLength: 400 });
  fc.assert(
    fc.property(fc.array(fc.option(addresses), { maxLength: 8 }), (answers) => {
      let discovery: Discovery = NOTHING_FOUND;
      for (const drawn of answers) {
        const had = discovery.servers.length > 0;
        const answer: DnsAnswer =
          drawn === null
            ? { ok: false, why: 'x' }
            : { ok: true, found: drawn.map((n) => found(`10.0.${n >> 8}.${n & 255}`)) };
        discovery = discover(discovery, answer, config, 0.5).discovery;
        const names = discovery.servers.map(({ address }) => address.text);
        assert.ok(!had || names.length > 0);
        assert.ok(names.length <= MOST_ADDRESSES);
        assert.equal(new Set(names).size, names.length);
        assert.deepEqual([...names].sort(), names);
      }
    }),
  );
});
