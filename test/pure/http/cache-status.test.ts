// What a client reads in Cache-Status (RFC 9211).

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CacheStatusInput, cacheStatus } from '../../../gateway/http/cache-status.ts';
import { REASONS } from '../../../gateway/tables/reasons.ts';

const plain: CacheStatusInput = {
  hit: false,
  fwd: '',
  fwdStatus: null,
  ttlSeconds: null,
  stored: false,
  collapsed: false,
  detail: '',
};

test('members as operators know them', () => {
  const rows: readonly (readonly [Partial<CacheStatusInput>, string])[] = [
    [{ hit: true, ttlSeconds: 27 }, 'sluice; hit; ttl=27'],
    [{ hit: true, ttlSeconds: -3, detail: 'stale' }, 'sluice; hit; ttl=-3; detail=stale'],
    [{ fwd: 'uri-miss', stored: true }, 'sluice; fwd=uri-miss; stored'],
    [
      { fwd: 'stale', fwdStatus: 304, stored: true, ttlSeconds: 60 },
      'sluice; fwd=stale; fwd-status=304; ttl=60; stored',
    ],
    [{ fwd: 'uri-miss', collapsed: true }, 'sluice; fwd=uri-miss; collapsed'],
    [{ fwd: 'bypass', detail: 'private-fields' }, 'sluice; fwd=bypass; detail=private-fields'],
    [{ hit: true, fwd: 'miss', stored: true, collapsed: true }, 'sluice; hit'],
    [{ detail: 'a "b" \\ é\r\n' }, 'sluice; detail="a \\"b\\" \\\\ ???"'],
    [{ detail: '5xx' }, 'sluice; detail="5xx"'],
  ];
  for (const [input, text] of rows) assert.equal(cacheStatus({ ...plain, ...input }), text);
});

test('every word of the reasons table is a token', () => {
  for (const reason of Object.keys(REASONS))
    assert.equal(cacheStatus({ ...plain, detail: reason }), `sluice; detail=${reason}`);
});

test('no detail can break out of the field', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (detail) => {
      assert.match(
        cacheStatus({ ...plain, fwd: 'miss', detail }),
        /^sluice; fwd=miss(?:; detail=(?:[A-Za-z][\w.-]*|"(?:[ !#-[\]-~]|\\["\\])*"))?$/,
      );
    }),
  );
});
