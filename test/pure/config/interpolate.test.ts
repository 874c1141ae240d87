// ${...} in values, and what type they have afterwards.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { substitute } from '../../../gateway/config/interpolate.ts';
import { configOf, problemsOf, withBase } from '../../helpers/config.ts';

const env = { A: 'one', EMPTY: '', N: '42', T: 'true', ZERO: '08' };

test('the forms of a reference', () => {
  const rows: readonly (readonly [string, string])[] = [
    ['${A}', 'one'],
    ['x${A}y${A}', 'xoneyone'],
    ['${EMPTY}', ''],
    ['${EMPTY:-default}', 'default'],
    ['${NONE:-}', ''],
    ['${NONE:-a:-b}', 'a:-b'],
    ['${A:?message}', 'one'],
    ['$$', '$'],
    ['$${A}', '${A}'],
    ['$$$$', '$$'],
    ['$1 $x $', '$1 $x $'],
    ['${file:/secret}', 'of a file'],
    ['no reference', 'no reference'],
  ];
  const files = new Map([['/secret', 'of a file']]);
  for (const [written, text] of rows)
    assert.deepEqual(
      substitute(written, { env, files }),
      { text, replaced: written.includes('{') && !written.startsWith('$$'), faults: [] },
      written,
    );
});

test('what a variable holds is not read again', () => {
  assert.equal(substitute('${X}', { env: { X: '${A} $$' }, files: new Map() }).text, '${A} $$');
});

test('names of Object.prototype are not set', () => {
  for (const name of ['toString', 'constructor', '__proto__']) {
    const [fault] = substitute(`\${${name}}`, { env: {}, files: new Map() }).faults;
    assert.equal(fault?.code, 'unset-variable');
  }
});

test('a whole unquoted reference is typed, a quoted one is text', async () => {
  assert.equal((await configOf(withBase('limits:\n  headers: ${N}'), { env })).limits.headers, 42);
  assert.equal((await configOf(withBase('listen:\n  redirect: ${T}\n  https: ":1"'), { env })).listen.redirect, true);
  const [problem] = await problemsOf(withBase('limits:\n  headers: "${N}"'), { env });
  assert.equal(problem?.code, 'wrong-type');
  assert.equal((await configOf(withBase('admin:\n  token: "${N}"'), { env })).admin.token, '42');
});

test('a value that only looks like a number stays text', async () => {
  assert.equal((await configOf(withBase('admin:\n  token: ${ZERO}'), { env })).admin.token, '08');
});

test('an empty reference is empty text', async () => {
  assert.equal((await configOf(withBase('admin:\n  token: ${NONE:-}'), { env })).admin.token, '');
});

test('a variable cannot add keys', async () => {
  const config = await configOf(withBase('admin:\n  token: ${X}'), { env: { X: 'a\nlisten: "off"' } });
  assert.equal(config.admin.token, 'a\nlisten: "off"');
  assert.equal(config.admin.listen?.text, '127.0.0.1:9900');
});

test('a secret file loses its last line end and nothing else', async () => {
  const files = { '/run/secrets/token': ' s3cret \n', '/etc/sluice/near': 'n\n\n' };
  assert.equal(
    (await configOf(withBase('admin: { token: "${file:/run/secrets/token}" }'), { files })).admin.token,
    ' s3cret ',
  );
  assert.equal((await configOf(withBase('admin: { token: "${file:near}" }'), { files })).admin.token, 'n\n');
});

test('a variable with a line end cannot end a header field', async () => {
  const text = withBase('routes: [{ match: "/*", upstream: api, headers: { request: { set: { x-a: "${X}" } } } }]');
  const [problem] = await problemsOf(text, { env: { X: 'a\r\nx-b: c' } });
  assert.equal(problem?.code, 'bad-header');
});
