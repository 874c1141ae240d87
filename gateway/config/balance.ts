// `balance` of an upstream in gateway.yaml: a policy by name, or a map that says what a choice depends on. Pure.

import * as z from 'zod';
import type { AffinitySource, BalanceConfig } from './config.ts';
import { type Parsed, parsed, refused } from './parsed.ts';
import { forms, scalar, text, word } from './scalars.ts';

const PLAIN = ['p2c', 'round_robin', 'least_requests', 'random'] as const;
/** A token of RFC 9110 5.6.2, as field and cookie names are. */
const TOKEN = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/;

function readSource(input: unknown): Parsed<AffinitySource> {
  const advice = 'must be ip, path, "header:NAME" or "cookie:NAME"';
  if (typeof input !== 'string') return refused('wrong-type', advice);
  if (input === 'ip' || input === 'path') return parsed({ by: input, name: '' });
  const [by = '', name = ''] = input.split(/:(.*)/s);
  if ((by !== 'header' && by !== 'cookie') || !TOKEN.test(name)) return refused('bad-value', advice);
  return parsed({ by, name: by === 'header' ? name.toLowerCase() : name });
}

const cookieName = text('the name of a cookie', { pattern: TOKEN });

const hashForm = z
  .strictObject({
    hash: scalar(readSource, { type: 'string', 'x-type': 'ip | path | header:NAME | cookie:NAME' }).describe(
      'What is hashed: requests with the same value go to the same server while it is well and not overloaded. Without it: p2c.',
    ),
  })
  .transform((written): BalanceConfig => ({ policy: 'hash', source: written.hash }));

const stickyLong = z.strictObject({
  cookie: cookieName.prefault('sluice').describe('Name of the cookie.'),
  secret: z
    .union([z.literal(''), text('at least 16 characters', { pattern: /^.{16,}$/s })])
    .prefault('')
    .describe(
      'What the cookie is made with; the same in every gateway behind one address. Without it: one is made and kept beside the admin token.',
    ),
});

const stickyForm = z
  .strictObject({
    sticky: forms<{ readonly cookie: string; readonly secret: string }>(
      'the name of a cookie, or { cookie: , secret: }',
      [cookieName.transform((cookie) => ({ cookie, secret: '' })), stickyLong],
    ).describe(
      'A client stays with the server that answered it first, by a cookie that says nothing about it (HttpOnly, SameSite=Lax, Secure over https).',
    ),
  })
  .transform((written): BalanceConfig => ({ policy: 'sticky', ...written.sticky }));

export const balanceSchema: z.ZodType<BalanceConfig, unknown> = forms<BalanceConfig>(
  'p2c, round_robin, least_requests, random, { hash: } or { sticky: }',
  [word(PLAIN).transform((policy): BalanceConfig => ({ policy })), hashForm, stickyForm],
);
