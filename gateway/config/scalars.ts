// Scalars of the schema: a grammar of ours as a zod type that still says to JSON Schema what it takes. The only bridge
// between `Parsed` and zod. Pure.

import * as z from 'zod';
import { parseListen, parseNetwork, parseServer } from './addresses.ts';
import type { ListenAddress, ServerAddress } from './config.ts';
import { parseFieldName, parseFieldValue } from './headers.ts';
import { type Parsed, parsed, refused } from './parsed.ts';
import {
  DURATION_PATTERN,
  formatDuration,
  formatSize,
  LONGEST_TIMER_MS,
  PERCENT_PATTERN,
  parseDuration,
  parsePercent,
  parseSize,
  SIZE_PATTERN,
} from './units.ts';

/** A part of a JSON Schema: what an editor may know about a scalar. */
export type Fragment = Readonly<Record<string, unknown>>;

/** What `issues` finds beside a custom issue. */
export interface IssueParams {
  readonly code: string;
  readonly hint: string;
}

/** A scalar with its own grammar. Nothing at all is "missing"; everything else is for `read` to judge. */
export function scalar<T>(read: (input: unknown) => Parsed<T>, fragment: Fragment): z.ZodType<T, unknown> {
  return z
    .unknown()
    .transform((input, context): T => {
      const outcome = input === undefined ? refused('missing-key', 'is missing') : read(input);
      if (outcome.ok) return outcome.value;
      const params: IssueParams = { code: outcome.code, hint: outcome.hint };
      context.addIssue({ code: 'custom', message: outcome.message, params: { ...params } });
      return z.NEVER;
    })
    .meta({ ...fragment });
}

/** Several forms of one value; `expectation` completes "... must be" when none of them fits. */
export function forms<T>(
  expectation: string,
  options: readonly [z.ZodType<T, unknown>, z.ZodType<T, unknown>, ...z.ZodType<T, unknown>[]],
): z.ZodType<T, unknown> {
  return z.union([...options], { error: () => `must be ${expectation}` });
}

/** The long form of a value, or the word off (false means the same) for `off`. */
export function orOff<T>(off: T, expectation: string, long: z.ZodType<T, unknown>): z.ZodType<T, unknown> {
  const word = scalar<T>((input) => (isOff(input) ? parsed(off) : refused('wrong-type', `must be ${expectation}`)), {
    const: 'off',
    'x-type': 'off',
  });
  return forms<T>(expectation, [word, long]);
}

/** A map whose names have a grammar of their own, as pairs in the order of the file. */
export function named<T>(
  readName: (input: unknown) => Parsed<string>,
  value: z.ZodType<T, unknown>,
): z.ZodType<readonly (readonly [name: string, value: T])[], unknown> {
  const name = z.string().superRefine((input, context) => {
    const outcome = readName(input);
    if (!outcome.ok)
      context.addIssue({
        code: 'custom',
        message: outcome.message,
        params: { code: outcome.code, hint: outcome.hint },
      });
  });
  return z.record(name, value).transform((map) =>
    Object.entries(map).map(([written, each]): readonly [string, T] => {
      const outcome = readName(written);
      return [outcome.ok ? outcome.value : written, each];
    }),
  );
}

export interface DurationBounds {
  readonly minMs?: number;
  readonly maxMs?: number;
}

/** Milliseconds. Bounds default to 1 ms and the longest timer that Node keeps. */
export function duration(bounds: DurationBounds = {}): z.ZodType<number, unknown> {
  const { minMs = 1, maxMs = LONGEST_TIMER_MS } = bounds;
  return scalar((input) => within(parseDuration(input), 'bad-duration', minMs, maxMs, formatDuration), {
    type: 'string',
    pattern: DURATION_PATTERN,
    'x-type': 'duration',
  });
}

/** "off" → null, or a duration. */
export function durationOrOff(bounds: DurationBounds = {}): z.ZodType<number | null, unknown> {
  const { minMs = 1, maxMs = LONGEST_TIMER_MS } = bounds;
  return scalar<number | null>(
    (input) =>
      isOff(input) ? parsed(null) : within(parseDuration(input), 'bad-duration', minMs, maxMs, formatDuration),
    { type: 'string', pattern: `^off$|${DURATION_PATTERN}`, 'x-type': 'off | duration' },
  );
}

/** Bytes. */
export function size(minBytes: number, maxBytes: number): z.ZodType<number, unknown> {
  return scalar((input) => within(parseSize(input), 'bad-size', minBytes, maxBytes, formatSize), {
    type: 'string',
    pattern: SIZE_PATTERN,
    'x-type': 'size',
  });
}

/** A part from 0 to 1, written as a percentage. */
export function percentage(): z.ZodType<number, unknown> {
  return scalar(parsePercent, { type: 'string', pattern: PERCENT_PATTERN, 'x-type': 'percentage' });
}

/** "off" → 0, or a percentage. */
export function percentageOrOff(): z.ZodType<number, unknown> {
  return scalar((input) => (isOff(input) ? parsed(0) : parsePercent(input)), {
    type: 'string',
    pattern: `^off$|${PERCENT_PATTERN}`,
    'x-type': 'off | percentage',
  });
}

/** "off" → null, or a path. */
export function fileOrOff(): z.ZodType<string | null, unknown> {
  return scalar(
    (input) =>
      isOff(input)
        ? parsed<string | null>(null)
        : typeof input === 'string' && input !== '' && !input.includes('\0')
          ? parsed<string | null>(input)
          : refused('wrong-type', 'must be off or the path of a file'),
    { type: 'string', 'x-type': 'off | path' },
  );
}

/** A whole number within bounds. */
export function whole(min: number, max: number): z.ZodType<number, unknown> {
  return scalar((input) => readWhole(input, min, max), {
    type: 'integer',
    minimum: min,
    maximum: max,
    'x-type': 'number',
  });
}

/** "auto" → null, or a whole number within bounds. */
export function wholeOrAuto(min: number, max: number): z.ZodType<number | null, unknown> {
  return scalar<number | null>((input) => (input === 'auto' ? parsed(null) : readWhole(input, min, max, 'auto or ')), {
    anyOf: [{ const: 'auto' }, { type: 'integer', minimum: min, maximum: max }],
    'x-type': 'auto | number',
  });
}

/** true or false, and nothing that merely looks like it. */
export function flag(): z.ZodType<boolean, unknown> {
  return scalar(
    (input) => {
      if (typeof input === 'boolean') return parsed(input);
      const text = typeof input === 'string' ? input.toLowerCase() : '';
      const hint = ['on', 'yes'].includes(text)
        ? 'did you mean true?'
        : ['off', 'no'].includes(text)
          ? 'did you mean false?'
          : '';
      return refused('wrong-type', 'must be true or false', hint);
    },
    { type: 'boolean', 'x-type': 'true | false' },
  );
}

/** Text. An empty one only when `empty` allows it. */
export function text(
  what: string,
  options: { readonly empty?: boolean; readonly pattern?: RegExp } = {},
): z.ZodType<string, unknown> {
  return scalar(
    (input) => {
      if (typeof input === 'number' || typeof input === 'boolean')
        return refused('wrong-type', `must be ${what}`, `quote it: "${input}"`);
      if (typeof input !== 'string') return refused('wrong-type', `must be ${what}`);
      if (input === '' && options.empty !== true) return refused('bad-value', `must be ${what}, not empty`);
      if (input.includes('\0')) return refused('bad-value', `must be ${what} without NUL characters`);
      if (options.pattern !== undefined && !options.pattern.test(input)) return refused('bad-value', `must be ${what}`);
      return parsed(input);
    },
    { type: 'string', 'x-type': 'text', ...(options.pattern === undefined ? {} : { pattern: options.pattern.source }) },
  );
}

/** One word of a list. `false` counts as "off" where that is in the list, because older YAML reads it so. */
export function word<T extends string>(words: readonly T[]): z.ZodType<T, unknown> {
  const enumeration = z.enum(Object.fromEntries(words.map((each) => [each, each])) as { readonly [each in T]: each });
  return enumeration.meta({ 'x-type': words.join(' | ') }) as unknown as z.ZodType<T, unknown>;
}

export function listenAddress(): z.ZodType<ListenAddress, unknown> {
  return scalar(parseListen, { type: 'string', 'x-type': 'address' });
}

export function serverAddress(): z.ZodType<ServerAddress, unknown> {
  return scalar(parseServer, { type: 'string', 'x-type': 'server' });
}

export function network(): z.ZodType<string, unknown> {
  return scalar(parseNetwork, { type: 'string', 'x-type': 'address or CIDR' });
}

/** The name of a header field, lower case afterwards. */
export function fieldName(): z.ZodType<string, unknown> {
  return scalar(parseFieldName, { type: 'string', 'x-type': 'field name' });
}

export function fieldValue(): z.ZodType<string, unknown> {
  return scalar(parseFieldValue, { type: ['string', 'number', 'boolean'], 'x-type': 'text' });
}

function isOff(input: unknown): boolean {
  return input === 'off' || input === false;
}

function readWhole(input: unknown, min: number, max: number, or = ''): Parsed<number> {
  const advice = `must be ${or}a whole number from ${min} to ${max}`;
  if (typeof input !== 'number') return refused('wrong-type', advice);
  if (!Number.isInteger(input) || input < min || input > max) return refused('bad-number', advice);
  return parsed(input);
}

function within(
  outcome: Parsed<number>,
  code: 'bad-duration' | 'bad-size',
  min: number,
  max: number,
  format: (value: number) => string,
): Parsed<number> {
  if (!outcome.ok) return outcome;
  if (outcome.value < min || outcome.value > max) return refused(code, `must be from ${format(min)} to ${format(max)}`);
  return outcome;
}
