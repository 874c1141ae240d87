import assert from 'node:assert/strict';
import { test } from 'node:test';
import { keysOf, largeOf, valuePattern } from '../../../../gateway/store/remote/keys.ts';

test('a URL is readable; what a key adds to it is not', () => {
  assert.equal(keysOf('p:', 'https://a.test/x?y=1').value, 'p:c:{https://a.test/x?y=1}');
  const secret = keysOf('p:', 'https://a.test/x\nheader x-key=6:secret').value;
  assert.match(secret, /^p:c:\{https:\/\/a\.test\/x#[\w-]{43}\}$/);
  assert.notEqual(secret, keysOf('p:', 'https://a.test/x\nheader x-key=6:Secret').value);
});

test('all names of a key are on one node of a Cluster', () => {
  const tag = (name: string): string => name.slice(name.indexOf('{'), name.indexOf('}') + 1);
  for (const key of ['https://a/', 'https://a/{b}c', 'https://a/x\nvary y=1:z', `https://a/${'l'.repeat(3_000)}`]) {
    const { value, large, lease } = keysOf('sluice:', key);
    assert.equal(tag(value), tag(large));
    assert.equal(tag(value), tag(lease));
    assert.equal(largeOf('sluice:', value), large);
    assert.equal(new Set([value, large, lease]).size, 3);
  }
});

test('long URLs that begin alike have names of their own', () => {
  const url = `https://a/${'l'.repeat(3_000)}`;
  assert.notEqual(keysOf('', `${url}1`).value, keysOf('', `${url}2`).value);
  assert.ok(keysOf('', url).value.length < 1_200);
});

test('a pattern finds a beginning, and takes nothing in it for a wildcard', () => {
  assert.equal(valuePattern('s:', 'https://a/b?c=[1]*'), 's:c:{https://a/b\\?c=\\[1\\]\\**');
  assert.equal(valuePattern('s:', ''), 's:c:{*');
});
