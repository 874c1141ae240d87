// cache.shared: what each way to write it means, and what is said about a wrong one.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { configOf, problemsOf, withBase } from '../../helpers/config.ts';

const withShared = (text: string): string => withBase(`cache:\n  shared: ${text}\n`);

describe('cache.shared', () => {
  const rows: readonly [text: string, meaning: object | null][] = [
    ['""', null],
    ['off', null],
    ['"${REDIS_URL:-}"', null],
    [
      '"redis://cache"',
      { nodes: [{ host: 'cache', port: 6379 }], tls: false, username: '', password: '', database: 0 },
    ],
    [
      '"rediss://u:p%23@[::1]:1/3"',
      { nodes: [{ host: '::1', port: 1 }], tls: true, username: 'u', password: 'p#', database: 3 },
    ],
    ['"unix:/run/r.sock?db=2"', { nodes: [], path: '/run/r.sock', database: 2 }],
    [
      '{ url: "redis://a", deadline: 20ms, max_object: 1MiB, prefix: "x:", hmac: s }',
      { deadlineMs: 20, maxObjectBytes: 1_048_576, prefix: 'x:', hmac: 's' },
    ],
    [
      '{ mode: cluster, url: "redis://:pw@a", cluster: { nodes: ["b:7", "c"] } }',
      {
        mode: 'cluster',
        password: 'pw',
        nodes: [
          { host: 'a', port: 6379 },
          { host: 'b', port: 7 },
          { host: 'c', port: 6379 },
        ],
      },
    ],
    [
      '{ mode: sentinel, url: "redis://u:pw@ignored", sentinel: { master: m, nodes: ["s"], password: q } }',
      { mode: 'sentinel', master: 'm', username: 'u', sentinelPassword: 'q', nodes: [{ host: 's', port: 26_379 }] },
    ],
  ];
  for (const [text, meaning] of rows) {
    test(text, async () => {
      const { shared } = (await configOf(withShared(text))).cache;
      if (meaning === null) assert.equal(shared, null);
      else assert.deepEqual({ ...shared, ...meaning }, shared);
    });
  }

  test('the defaults are those of the contract', async () => {
    const { shared } = (await configOf(withShared('"redis://a"'))).cache;
    assert.deepEqual(
      [shared?.mode, shared?.deadlineMs, shared?.maxObjectBytes, shared?.prefix, shared?.hmac, shared?.verify],
      ['single', 50, 512 * 1024, 'sluice:', '', true],
    );
  });

  const wrong: readonly [text: string, says: RegExp][] = [
    ['"cache:6379"', /did you mean "redis:\/\/cache:6379"\?/],
    ['"valkeys://a"', /did you mean rediss:\/\/a\?/],
    ['"redis://a/x"', /must be a URL such as/],
    ['"redis://a?b"', /must be a URL such as/],
    ['"redis://:a%zz@b"', /must be a URL such as/],
    ['{}', /has no url/],
    ['{ mode: sentinel }', /needs sentinel: \{ master: , nodes: \[\] \}/],
    ['{ mode: cluster }', /needs a url or cluster/],
    ['{ mode: cluster, url: "unix:/a" }', /must not be a unix socket/],
    ['{ url: "redis://a", prefix: "a b" }', /must be text without spaces/],
    ['{ url: "redis://a", prefix: "{a}" }', /must be text without spaces/],
    ['{ url: "redis://a", tls: { ca: ca.pem } }', /rediss:\/\//],
    ['{ url: "rediss://a", tls: { cert: c.pem } }', /both cert and key/],
    ['{ urll: "redis://a" }', /urll/],
    ['5', /URL such as/],
  ];
  for (const [text, says] of wrong) {
    test(`${text} is refused`, async () => {
      const problems = await problemsOf(withShared(text));
      assert.ok(
        problems.some((problem) => says.test(JSON.stringify(problem).replaceAll('\\"', '"'))),
        JSON.stringify(problems),
      );
    });
  }
});

test('secrets that stand in the file are noted, those of variables are not shown', async () => {
  const codes = async (text: string): Promise<readonly string[]> =>
    (await problemsOf(withShared(text), { env: { PW: 'hidden' } })).map(({ code }) => code);
  assert.deepEqual(await codes('"redis://:pw@a"'), ['plain-secret']);
  assert.deepEqual(await codes('{ url: "redis://:pw@a", hmac: x }'), ['plain-secret', 'plain-secret']);
  const [problem] = await problemsOf(withShared('"valkey://:$' + '{PW}@a"'), { env: { PW: 'hidden' } });
  assert.equal(problem?.code, 'bad-value');
  assert.ok(!JSON.stringify(problem).includes('hidden'));
});
