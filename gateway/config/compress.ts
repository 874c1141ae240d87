// `compress` of a route in gateway.yaml. Pure.

import * as z from 'zod';
import { CODINGS, type Coding } from '../http/accept-encoding.ts';
import type { CompressRules } from './config.ts';
import { parsed, refused } from './parsed.ts';
import { forms, scalar, size, text, word } from './scalars.ts';

const MIN_BYTES = 1_024;
const GIBIBYTE = 1_073_741_824;

/** What is text inside, and fonts and programs that are not compressed by their own format. */
const TYPES: readonly string[] = [
  'text/*',
  'application/json',
  'application/*+json',
  'application/x-ndjson',
  'application/javascript',
  'application/x-javascript',
  'application/xml',
  'application/*+xml',
  'application/yaml',
  'application/wasm',
  'application/vnd.ms-fontobject',
  'font/ttf',
  'font/otf',
  'image/svg+xml',
  'image/x-icon',
  'image/vnd.microsoft.icon',
];

function rules(codings: readonly Coding[]): CompressRules {
  return { codings: [...new Set(codings)], minBytes: MIN_BYTES, types: TYPES };
}

const off = scalar<CompressRules | null>(
  (input) =>
    input === 'off' || input === false ? parsed(null) : refused('wrong-type', 'must be off, codings or a map'),
  { const: 'off', 'x-type': 'off' },
);

const codingList = z.array(word(CODINGS)).min(1, 'must name at least one of zstd, br and gzip');

const mediaType = text('a media type such as application/json, a pattern with one "*" such as text/*, or "*"', {
  pattern: /^(\*|[!#$&^_.+*a-zA-Z0-9-]+\/[!#$&^_.+*a-zA-Z0-9-]+)$/,
})
  .refine((type) => type.split('*').length <= 2, { error: () => 'must have at most one "*"' })
  .transform((type) => type.toLowerCase());

const longForm = z
  .strictObject({
    codings: codingList
      .prefault([...CODINGS])
      .describe('The preferred one first: it decides where a client likes several equally.'),
    min: size(0, GIBIBYTE).prefault('1KiB').describe('Shorter bodies stay as they are.'),
    types: z
      .array(mediaType)
      .min(1, 'must name at least one media type')
      .prefault([...TYPES])
      .describe(
        'Media types that are coded; one "*" in each stands for any text. What is written here takes the place of all.',
      ),
  })
  .transform(
    (written): CompressRules => ({
      codings: [...new Set(written.codings)],
      minBytes: written.min,
      types: [...new Set(written.types)],
    }),
  );

/** null = off. */
export const compressSchema: z.ZodType<CompressRules | null, unknown> = forms<CompressRules | null>(
  'off, a coding (zstd, br, gzip), a list of codings, or a map',
  [off, word(CODINGS).transform((coding) => rules([coding])), codingList.transform(rules), longForm],
);
