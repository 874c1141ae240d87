import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Config } from '../../../gateway/config/config.ts';
import type { InstanceSpec } from '../../../gateway/config/published.ts';
import { addressName, createInstanceRegistry, type InstanceRegistry } from '../../../gateway/control/instances.ts';
import { smallConfig, tcp, upstreamConfig } from '../../helpers/control.ts';

function servers(...ports: number[]): Config {
  return smallConfig({
    upstreams: [upstreamConfig({ servers: ports.map((port) => ({ address: tcp(port), weight: port, tier: 0 })) })],
  });
}

function specsOf(registry: InstanceRegistry, config: Config, managed = {}): Record<string, InstanceSpec[]> {
  const outcome = registry.specs(config, managed);
  assert.ok(outcome.ok);
  return outcome.specs;
}

const slots = (specs: Record<string, InstanceSpec[]>) => (specs.api ?? []).map((spec) => [spec.id, spec.slot]);

test('an instance keeps its row when others come and go', () => {
  const registry = createInstanceRegistry({ slots: 8 });
  const first = specsOf(registry, servers(1, 2, 3));
  assert.deepEqual(slots(first), [
    ['api/127.0.0.1:1', 0],
    ['api/127.0.0.1:2', 1],
    ['api/127.0.0.1:3', 2],
  ]);
  assert.equal(first.api?.[1]?.weight, 2);
  registry.commit(first);
  const second = specsOf(registry, servers(3, 4));
  assert.deepEqual(slots(second), [
    ['api/127.0.0.1:3', 2],
    ['api/127.0.0.1:4', 3],
  ]);
});

test('the row of one that left goes to another only after it was retired', () => {
  const registry = createInstanceRegistry({ slots: 2 });
  registry.commit(specsOf(registry, servers(1, 2)));
  const left = registry.commit(specsOf(registry, servers(1)));
  assert.deepEqual(left, [{ id: 'api/127.0.0.1:2', slot: 1 }]);
  const refused = registry.specs(servers(1, 3), {});
  assert.ok(!refused.ok);
  assert.match(refused.problem, /more than 2 instances/);
  registry.retire('api/127.0.0.1:2');
  assert.deepEqual(slots(specsOf(registry, servers(1, 3))), [
    ['api/127.0.0.1:1', 0],
    ['api/127.0.0.1:3', 1],
  ]);
});

test('one that comes back before it is retired has its row again, and retiring it then does nothing', () => {
  const registry = createInstanceRegistry({ slots: 4 });
  registry.commit(specsOf(registry, servers(1, 2)));
  registry.commit(specsOf(registry, servers(1)));
  const back = specsOf(registry, servers(2, 1));
  assert.deepEqual(registry.commit(back), []);
  registry.retire('api/127.0.0.1:2');
  assert.deepEqual(slots(specsOf(registry, servers(1, 2, 5))), [
    ['api/127.0.0.1:1', 0],
    ['api/127.0.0.1:2', 1],
    ['api/127.0.0.1:5', 2],
  ]);
});

test('a refused config leaves no row behind, one that was not applied frees its rows at the next commit', () => {
  const registry = createInstanceRegistry({ slots: 3 });
  registry.commit(specsOf(registry, servers(1)));
  assert.ok(!registry.specs(servers(1, 2, 3, 4), {}).ok);
  assert.equal(registry.used(), 1);
  specsOf(registry, servers(1, 2, 3));
  const left = registry.commit(specsOf(registry, servers(1)));
  assert.deepEqual(left.map((one) => one.id).sort(), ['api/127.0.0.1:2', 'api/127.0.0.1:3']);
});

test('managed instances are counted, not named by address; the same server twice is two instances', () => {
  const registry = createInstanceRegistry({ slots: 8 });
  const config = smallConfig({
    upstreams: [
      upstreamConfig({
        name: 'own',
        managed: { argv: ['x'], via: 'socket', instances: 2, env: {}, cwd: '/', stopGraceMs: 1 },
      }),
      upstreamConfig({ servers: [1, 1].map((port) => ({ address: tcp(port), weight: 1, tier: 0 })) }),
    ],
  });
  const specs = specsOf(registry, config, { own: [tcp(9), tcp(10)] });
  assert.deepEqual(
    specs.own?.map((spec) => [spec.id, spec.address.text]),
    [
      ['own/#1', 'http://127.0.0.1:9'],
      ['own/#2', 'http://127.0.0.1:10'],
    ],
  );
  assert.deepEqual(
    specs.api?.map((spec) => spec.id),
    ['api/127.0.0.1:1', 'api/127.0.0.1:1~2'],
  );
});

test('addresses have readable names', () => {
  assert.equal(addressName(tcp(80, '::1')), '[::1]:80');
  assert.equal(addressName({ kind: 'unix', tls: false, path: '/a.sock', text: 'unix:/a.sock' }), 'unix:/a.sock');
});

test('property: no two identities ever share a row, and rows stay below the bound', () => {
  const step = fc.record({
    ports: fc.uniqueArray(fc.integer({ min: 1, max: 12 })),
    apply: fc.boolean(),
    retire: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const registry = createInstanceRegistry({ slots: 16 });
      const owner = new Map<number, string>();
      const leaving = new Set<string>();
      for (const { ports, apply, retire } of steps) {
        const outcome = registry.specs(servers(...ports), {});
        if (!outcome.ok) continue;
        for (const spec of outcome.specs.api ?? []) {
          assert.ok(spec.slot < 16);
          const before = owner.get(spec.slot);
          assert.ok(before === undefined || before === spec.id, `${spec.id} took the row of ${before}`);
        }
        if (!apply) continue;
        for (const one of registry.commit(outcome.specs)) leaving.add(one.id);
        for (const spec of outcome.specs.api ?? []) {
          owner.set(spec.slot, spec.id);
          leaving.delete(spec.id);
        }
        if (!retire) continue;
        for (const id of leaving) registry.retire(id);
        for (const [slot, id] of owner) if (leaving.has(id)) owner.delete(slot);
        leaving.clear();
      }
    }),
  );
});
