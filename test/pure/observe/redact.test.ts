import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isSecretName, printable, redactDetails, redactTarget } from '../../../gateway/observe/redact.ts';

for (const [target, expected] of [
  ['/plain', '/plain'],
  ['/a?q=1&page=2', '/a?q=1&page=2'],
  ['/a?token=x', '/a?token=***'],
  ['/a?q=1&api_key=x&z=2', '/a?q=1&api_key=***&z=2'],
  ['/a?API-KEY=x', '/a?API-KEY=***'],
  ['/a?api%5Fkey=x', '/a?api%5Fkey=***'],
  ['/a?access_token=x;q=1', '/a?access_token=***;q=1'],
  ['/a?password=a=b=c', '/a?password=***'],
  ['/a?X-Amz-Signature=abc&X-Amz-Date=1', '/a?X-Amz-Signature=***&X-Amz-Date=1'],
  ['/a?client_secret=x&code=y&state=z', '/a?client_secret=***&code=***&state=z'],
  ['/a?user[token]=x', '/a?user[token]=***'],
  ['/a?key=', '/a?key=***'],
  ['/a?key', '/a?key'],
  ['/a?zipcode=1&keyword=2&monkey=3', '/a?zipcode=1&keyword=2&monkey=3'],
  ['/a?x=1?token=y', '/a?x=1?token=***'],
  ['/a?q=1#access_token=y', '/a?q=1#access_token=***'],
  ['/a?%ZZtoken=x', '/a?%ZZtoken=***'],
  ['/a?+token=x', '/a?+token=***'],
  ['/a?custom=x', '/a?custom=***'],
  ['http://user:pass@host/a?token=x', 'http://***@host/a?token=***'],
  ['http://host/a@b', 'http://host/a@b'],
] as const) {
  test(`${target} is logged as ${expected}`, () => assert.equal(redactTarget(target, ['custom']), expected));
}

test('a target of many parameters costs little', () => {
  const target = `/?${'a=b&'.repeat(50_000)}token=x`;
  assert.ok(redactTarget(target, []).endsWith('token=***'));
});

test('names of secrets', () => {
  for (const name of [
    'Authorization',
    'proxy-authorization',
    'Cookie',
    'set-cookie',
    'x-api-key',
    'adminToken',
    'CACHE_HMAC_SECRET',
  ]) {
    assert.ok(isSecretName(name), name);
  }
  for (const name of ['status', 'route', 'tokens_left', 'keyBytes', 'cookieless', ''])
    assert.ok(!isSecretName(name), name);
});

test('details lose their secrets at any depth, and stay bounded', () => {
  const circle: Record<string, unknown> = { token: 'x', port: 80 };
  circle.self = circle;
  const text = JSON.stringify(
    redactDetails({
      headers: { authorization: 'Bearer x1', accept: 'a' },
      list: [{ cookie: 'x2' }],
      error: new Error('outer', {
        cause: Object.assign(new Error('inner\x1b[31m'), { code: 'ECONNREFUSED', password: 'x3' }),
      }),
      circle,
      long: 'y'.repeat(100_000),
      big: 10n,
      bad: new Date(Number.NaN),
      ['__proto__']: { polluted: true },
    }),
  );
  for (const secret of ['x1', 'x2', 'x3']) assert.ok(!text.includes(secret), secret);
  for (const kept of ['outer', 'inner', 'ECONNREFUSED', '"accept":"a"', '"port":80'])
    assert.ok(text.includes(kept), kept);
  assert.equal(JSON.parse(text).error.cause.message, 'inner\\u001b[31m');
  assert.ok(text.length < 20_000);
});

test('no terminal obeys a printable text', () => {
  assert.equal(printable('a\x1b[31mb\rc\nd\te\u009bf'), 'a\\u001b[31mb\\u000dc\nd\te\\u009bf');
});
