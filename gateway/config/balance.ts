// `balance` of an upstream in gateway.yaml: a policy by name, or a map that says what a choice depends on. Pure.

import * as z from 'zod';
import type { AffinitySource, BalanceConfig } from './config.ts';
import { forms, scalar, text, word } from './scalars.ts';
import { readSource, TOKEN } from './source.ts';

const PLAIN = ['p2c', 'round_robin', 'least_requests', 'random'] as const;

const cookieName = text('the name of a cookie', { pattern: TOKEN });

const hashForm = z
  .strictObject({
    hash: scalar<AffinitySource>((input) => readSource(input, ['ip', 'path']), {
      type: 'string',
      'x-type': 'ip | path | header:NAME | cookie:NAME',
    }).describe(
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
