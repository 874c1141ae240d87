// `health` and `eject` of an upstream in gateway.yaml: what finds out whether an instance is well. Pure.

import * as z from 'zod';
import type { EjectConfig, HealthConfig } from './config.ts';
import { type Parsed, parsed, refused } from './parsed.ts';
import { duration, flag, forms, orOff, percentage, scalar, text, whole } from './scalars.ts';

function readHealthPath(input: unknown): Parsed<string> {
  const advice = 'must be a path such as /healthz';
  if (typeof input !== 'string') return refused('wrong-type', advice);
  if (!/^\/[\x21-\x7e]*$/.test(input) || input.includes('#')) return refused('bad-value', advice);
  return parsed(input);
}

const healthPath = (): z.ZodType<string, unknown> =>
  scalar(readHealthPath, { type: 'string', pattern: '^/', 'x-type': 'path' });

function readExpect(input: unknown): Parsed<readonly [number, number]> {
  const advice = 'must be a status or a range of them, such as 200 or 200-399';
  const found = /^([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?$/.exec(
    typeof input === 'number' ? String(input) : typeof input === 'string' ? input : '',
  );
  if (found === null) return refused('bad-value', advice);
  const from = Number(found[1]);
  const to = Number(found[2] ?? found[1]);
  return from <= to ? parsed([from, to]) : refused('bad-value', advice, `did you mean ${to}-${from}?`);
}

const healthLong = z
  .strictObject({
    path: healthPath().optional().describe('What is asked, by GET. Needed unless tcp is true.'),
    tcp: flag().prefault(false).describe('Only opens a connection (for https with its handshake); no path is asked.'),
    interval: duration().prefault('5s').describe('Time between two probes of one server.'),
    timeout: duration().prefault('1s').describe('Time for one probe.'),
    rise: whole(1, 100).prefault(2).describe('Good probes in a row that bring a server back.'),
    fall: whole(1, 100).prefault(3).describe('Bad probes in a row that take a server out.'),
    expect: scalar(readExpect, { type: ['string', 'integer'], 'x-type': 'status or range' })
      .prefault('200-399')
      .describe('Statuses that count as good.'),
    body: text('text that the answer must hold', { empty: true })
      .prefault('')
      .describe('Text that must stand in the first 64 KiB of the body.'),
  })
  .superRefine(({ path, tcp, body }, context) => {
    const say = (message: string, at: readonly string[], code: string): void => {
      context.addIssue({ code: 'custom', message, path: [...at], params: { code, hint: '' } });
    };
    if (!tcp && path === undefined) say('needs a path such as path: /healthz, or tcp: true', [], 'missing-key');
    if (tcp && path !== undefined) say('is asked of nobody where tcp is true', ['path'], 'conflict');
    if (tcp && body !== '') say('is found nowhere where tcp is true', ['body'], 'conflict');
  })
  .transform(
    (written): HealthConfig => ({
      path: written.path ?? '',
      intervalMs: written.interval,
      timeoutMs: written.timeout,
      rise: written.rise,
      fall: written.fall,
      expectFrom: written.expect[0],
      expectTo: written.expect[1],
      body: written.body,
    }),
  );

export const healthSchema: z.ZodType<HealthConfig | null, unknown> = forms<HealthConfig | null>(
  'a path such as /healthz, or a map',
  [
    healthPath().transform(
      (path): HealthConfig => ({
        path,
        intervalMs: 5000,
        timeoutMs: 1000,
        rise: 2,
        fall: 3,
        expectFrom: 200,
        expectTo: 399,
        body: '',
      }),
    ),
    healthLong,
  ],
);

const ejectLong = z
  .strictObject({
    errors: whole(1, 1000)
      .prefault(5)
      .describe('Failures and 5xx answers in a row that are enough, if its peers do clearly better.'),
    for: duration({ minMs: 100 })
      .prefault('10s')
      .describe('How long it takes nothing; twice as long every time after it, up to six times.'),
    max: percentage()
      .prefault('50%')
      .describe('Part of the servers that may be out; one of two may always be, the last one never.'),
  })
  .transform((written): EjectConfig => ({ errors: written.errors, forMs: written.for, max: written.max }));

/** null = off. */
export const ejectSchema: z.ZodType<EjectConfig | null, unknown> = orOff<EjectConfig | null>(
  null,
  'off or a map',
  ejectLong,
).describe(
  'Takes out a server that does worse under real requests than its peers: so many failures in a row, or clearly more of them in 10 s. A fault that all share takes out nobody.',
);
