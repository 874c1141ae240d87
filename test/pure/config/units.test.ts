// Durations, sizes, percentages, and back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatDuration, formatSize, parseDuration, parsePercent, parseSize } from '../../../gateway/config/units.ts';

test('durations', () => {
  const rows: readonly (readonly [unknown, number | string])[] = [
    ['500ms', 500],
    ['10s', 10_000],
    ['1.5s', 1500],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['0s', 0],
    ['10', 'did you mean 10s?'],
    [10, 'did you mean 10s?'],
    ['10 s', 'did you mean 10s?'],
    ['10sec', 'did you mean 10s?'],
    ['5 Minutes', 'did you mean 5m?'],
    ['10S', 'did you mean 10s?'],
    ['10x', ''],
    ['-1s', ''],
    ['1e3s', ''],
    ['', ''],
    ['s', ''],
    [null, ''],
    [['1s'], ''],
  ];
  for (const [input, expected] of rows) {
    const outcome = parseDuration(input);
    assert.equal(outcome.ok ? outcome.value : outcome.hint, expected, String(input));
  }
});

test('sizes', () => {
  const rows: readonly (readonly [unknown, number | string])[] = [
    ['512B', 512],
    ['8KiB', 8192],
    ['1.5MiB', 1_572_864],
    ['2GiB', 2_147_483_648],
    ['10MB', 'did you mean 10MiB?'],
    ['10m', 'did you mean 10MiB?'],
    ['10k', 'did you mean 10KiB?'],
    [1024, 'did you mean 1024B?'],
    ['10 MiB', 'did you mean 10MiB?'],
    ['10TiB', ''],
  ];
  for (const [input, expected] of rows) {
    const outcome = parseSize(input);
    assert.equal(outcome.ok ? outcome.value : outcome.hint, expected, String(input));
  }
});

test('percentages', () => {
  const rows: readonly (readonly [unknown, number | string])[] = [
    ['0%', 0],
    ['12.5%', 0.125],
    ['100%', 1],
    ['101%', ''],
    [50, 'did you mean 50%?'],
    [0.5, 'did you mean 50%?'],
    ['50', ''],
  ];
  for (const [input, expected] of rows) {
    const outcome = parsePercent(input);
    assert.equal(outcome.ok ? outcome.value : outcome.hint, expected, String(input));
  }
});

test('what is formatted is read back', () => {
  fc.assert(
    fc.property(fc.nat(10_000_000), (amount) => {
      const ms = parseDuration(formatDuration(amount));
      const bytes = parseSize(formatSize(amount));
      assert.deepEqual([ms.ok && ms.value, bytes.ok && bytes.value], [amount, amount]);
    }),
  );
});
