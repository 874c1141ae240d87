import assert from 'node:assert/strict';
import { delimiter } from 'node:path';
import { test } from 'node:test';
import { backOffMs } from '../../../gateway/control/child.ts';
import { childEnv, fillArgv, instanceCount } from '../../../gateway/control/managed.ts';
import { tcp } from '../../helpers/control.ts';

test('pauses between starts double from 200 ms to 10 s and are spread by a fifth', () => {
  const middle = [0, 1, 2, 3, 4, 5, 6, 7, 1e9].map((failures) => backOffMs(failures, 0.5));
  assert.deepEqual(middle, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]);
  assert.equal(backOffMs(0, 0), 160);
  assert.ok(backOffMs(9, 0.999) <= 12_000);
});

test('auto is one per core, two at least and four at most', () => {
  const managed = { argv: [], via: 'socket', instances: null, env: {}, cwd: '/', stopGraceMs: 1 } as const;
  assert.deepEqual(
    [1, 2, 3, 64].map((cores) => instanceCount(managed, cores)),
    [2, 2, 3, 4],
  );
  assert.equal(instanceCount({ ...managed, instances: 7 }, 2), 7);
});

test('placeholders are replaced wherever they stand, and nothing else is touched', () => {
  const socket = { kind: 'unix', tls: false, path: '/tmp/a b/$&.sock', text: '' } as const;
  assert.deepEqual(fillArgv(['srv', '--bind', 'unix:{socket}', '{socket}', '$HOME', '{port}'], socket), [
    'srv',
    '--bind',
    'unix:/tmp/a b/$&.sock',
    '/tmp/a b/$&.sock',
    '$HOME',
    '{port}',
  ]);
  assert.deepEqual(fillArgv(['srv', '--port={port}'], tcp(8123)), ['srv', '--port=8123']);
});

test('the own environment lies over the outer one and the node folder stands first on PATH', () => {
  assert.deepEqual(childEnv({ PATH: '/bin', A: '1', B: '2' }, { B: '3' }, '/node/bin'), {
    PATH: `/node/bin${delimiter}/bin`,
    A: '1',
    B: '3',
  });
  assert.equal(childEnv({}, {}, '/node/bin').PATH, '/node/bin');
  assert.equal(childEnv({ PATH: '/bin' }, { PATH: '/own' }, '/node/bin').PATH, `/node/bin${delimiter}/own`);
});
