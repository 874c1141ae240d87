import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatEntry, parseAck, parseEntry } from '../../../gateway/control/fleet-entry.ts';

test('an entry comes back as it was written', () => {
  const entry = {
    from: 'a',
    number: 3,
    soft: true,
    asks: true,
    subjects: [
      { kind: 'tag', text: 'x', host: '' },
      { kind: 'group', text: 'g', origin: 'https://a' },
      { kind: 'all', host: 'b.test' },
    ],
  } as const;
  assert.deepEqual(parseEntry(formatEntry(entry)), { ...entry, understood: true });
});

test('an entry that is not understood purges everything', () => {
  const good = { from: 'a', number: 1, soft: false, asks: false, subjects: [] };
  const rows: readonly string[] = [
    '',
    'null',
    '[]',
    '{}',
    '{',
    JSON.stringify({ ...good, subjects: 'all' }),
    JSON.stringify({ ...good, subjects: [{ kind: 'galaxy', text: 'x' }] }),
    JSON.stringify({ ...good, subjects: [{ kind: 'url' }] }),
    JSON.stringify({ ...good, subjects: [null] }),
    JSON.stringify({ ...good, soft: 'yes' }),
    JSON.stringify({ ...good, from: 5 }),
  ];
  for (const text of rows) {
    const { subjects, soft, asks, understood } = parseEntry(text);
    assert.deepEqual(
      { subjects, soft, asks, understood },
      {
        subjects: [{ kind: 'all', host: '' }],
        soft: false,
        asks: false,
        understood: false,
      },
    );
  }
});

test('an acknowledgement is whole or none', () => {
  assert.deepEqual(parseAck('{"gateway":"a","objects":1,"bytes":2}'), { gateway: 'a', objects: 1, bytes: 2 });
  for (const text of ['', 'null', '{}', '{"gateway":1,"objects":1,"bytes":2}']) assert.equal(parseAck(text), null);
});
