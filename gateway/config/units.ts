// Durations, sizes and percentages as they are written in gateway.yaml: always with their unit. Pure.

import { offer, type Parsed, parsed, refused } from './parsed.ts';

const DURATION_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const SIZE_BYTES: Readonly<Record<string, number>> = { B: 1, KiB: 1024, MiB: 1_048_576, GiB: 1_073_741_824 };

/** What people write instead, and what they most likely mean. */
const DURATION_WORDS: Readonly<Record<string, string>> = {
  s: 's',
  m: 'm',
  h: 'h',
  d: 'd',
  msec: 'ms',
  millis: 'ms',
  millisecond: 'ms',
  milliseconds: 'ms',
  sec: 's',
  secs: 's',
  second: 's',
  seconds: 's',
  min: 'm',
  mins: 'm',
  minute: 'm',
  minutes: 'm',
  hr: 'h',
  hrs: 'h',
  hour: 'h',
  hours: 'h',
  day: 'd',
  days: 'd',
};
const SIZE_WORDS: Readonly<Record<string, string>> = {
  b: 'B',
  byte: 'B',
  bytes: 'B',
  k: 'KiB',
  kb: 'KiB',
  ki: 'KiB',
  kib: 'KiB',
  m: 'MiB',
  mb: 'MiB',
  mi: 'MiB',
  mib: 'MiB',
  g: 'GiB',
  gb: 'GiB',
  gi: 'GiB',
  gib: 'GiB',
};

export const DURATION_PATTERN = '^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)$';
export const SIZE_PATTERN = '^[0-9]+(\\.[0-9]+)?(B|KiB|MiB|GiB)$';
export const PERCENT_PATTERN = '^[0-9]+(\\.[0-9]+)?%$';

/** setTimeout takes a signed 32-bit number of ms and turns anything longer into 1 ms; 24 days is the last whole day. */
export const LONGEST_TIMER_MS: number = 24 * 86_400_000;

const AMOUNT = /^([0-9]{1,12}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)$/;

/** "500ms", "10s", "5m", "2h", "1d" → whole milliseconds. A number without a unit is refused with the likely one. */
export function parseDuration(input: unknown): Parsed<number> {
  const advice = 'must be a duration such as 500ms, 10s, 5m or 1d';
  if (typeof input === 'number') return refused('bad-duration', `${advice}; the unit is missing`, offer(`${input}s`));
  if (typeof input !== 'string') return refused('wrong-type', advice);
  const found = AMOUNT.exec(input);
  if (found === null) return refused('bad-duration', advice);
  const [, amount = '', unit = ''] = found;
  const factor = DURATION_MS[unit];
  if (factor === undefined || input.includes(' ')) {
    const meant = unit === '' ? 's' : factor === undefined ? DURATION_WORDS[unit.toLowerCase()] : unit;
    return refused('bad-duration', advice, meant === undefined ? '' : offer(`${amount}${meant}`));
  }
  return parsed(Math.round(Number(amount) * factor));
}

/** "8KiB", "10MiB" → whole bytes. Powers of 1024 only; "10MB" is refused with "10MiB". */
export function parseSize(input: unknown): Parsed<number> {
  const advice = 'must be a size such as 512B, 8KiB or 10MiB';
  if (typeof input === 'number') return refused('bad-size', `${advice}; the unit is missing`, offer(`${input}B`));
  if (typeof input !== 'string') return refused('wrong-type', advice);
  const found = AMOUNT.exec(input);
  if (found === null) return refused('bad-size', advice);
  const [, amount = '', unit = ''] = found;
  const factor = SIZE_BYTES[unit];
  if (factor === undefined || input.includes(' ')) {
    const meant = unit === '' ? 'B' : factor === undefined ? SIZE_WORDS[unit.toLowerCase()] : unit;
    return refused('bad-size', advice, meant === undefined ? '' : offer(`${amount}${meant}`));
  }
  return parsed(Math.round(Number(amount) * factor));
}

/** "10%" → 0.1. From 0% to 100%. */
export function parsePercent(input: unknown): Parsed<number> {
  const advice = 'must be a percentage from 0% to 100%';
  if (typeof input === 'number') {
    return refused('bad-percentage', `${advice}; the % is missing`, offer(`${input <= 1 ? input * 100 : input}%`));
  }
  if (typeof input !== 'string') return refused('wrong-type', advice);
  const found = /^([0-9]{1,3}(?:\.[0-9]{1,6})?)%$/.exec(input);
  if (found === null || Number(found[1]) > 100) return refused('bad-percentage', advice);
  return parsed(Number(found[1]) / 100);
}

/** So many requests in so much time. */
export interface Rate {
  readonly count: number;
  readonly perMs: number;
}

const RATE_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

export const RATE_PATTERN = '^[0-9]+/(s|m|h|d)$';

/** "100/s", "10/m", "1000/h", "5/d". */
export function parseRate(input: unknown): Parsed<Rate> {
  const advice = 'must be a rate such as 100/s, 10/m or 1000/h';
  if (typeof input === 'number') return refused('bad-rate', advice, offer(`${input}/s`));
  if (typeof input !== 'string') return refused('wrong-type', advice);
  const found = /^([0-9]{1,9}) ?\/ ?([A-Za-z]+)$/.exec(input);
  if (found === null) return refused('bad-rate', advice);
  const [, amount = '', unit = ''] = found;
  const perMs = RATE_MS[unit];
  const meant = DURATION_WORDS[unit.toLowerCase()] ?? '';
  if (perMs === undefined || input.includes(' '))
    return refused('bad-rate', advice, RATE_MS[meant] === undefined ? '' : offer(`${Number(amount)}/${meant}`));
  const count = Number(amount);
  if (count < 1 || count > 1_000_000) return refused('bad-rate', 'must be from 1 to 1000000 requests');
  return parsed({ count, perMs });
}

/** Milliseconds in the largest unit that leaves a whole number: 30000 → "30s". */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's']) {
    const factor = DURATION_MS[unit] ?? 1;
    if (ms >= factor && ms % factor === 0) return `${ms / factor}${unit}`;
  }
  return `${ms}ms`;
}

/** Bytes in the largest unit that leaves a whole number: 8192 → "8KiB". */
export function formatSize(bytes: number): string {
  for (const unit of ['GiB', 'MiB', 'KiB']) {
    const factor = SIZE_BYTES[unit] ?? 1;
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}
