// The Accept-Encoding field (RFC 9110 12.5.3): which of the codings that are there the client likes best. Never encodes,
// never throws.

import { trimOws } from './chars.ts';

/** A weight (RFC 9110 12.4.2). */
const WEIGHT = /^(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)$/;

/**
 * The coding of `offered` (lower case) with the highest weight in `acceptEncoding`; of several with the same weight the one
 * that stands first in `offered`. Identity is always there: it wins only where the field gives it a higher weight by name.
 * null = identity: it is best, or no offered coding is acceptable, or there is no field (`undefined`). `acceptEncoding`
 * is all lines joined by commas. A member that is malformed is as if it were not there; of a coding named twice the first
 * counts.
 */
export function preferredCoding(acceptEncoding: string | undefined, offered: readonly string[]): string | null {
  if (acceptEncoding === undefined || offered.length === 0) return null;
  const weights = parseWeights(acceptEncoding);
  let best: string | null = null;
  let bestWeight = 0;
  for (const coding of offered) {
    const weight = weights.get(coding) ?? weights.get('*') ?? 0;
    if (weight > bestWeight) {
      best = coding;
      bestWeight = weight;
    }
  }
  // Where identity is not named it is merely acceptable: whoever names codings would rather have one of them.
  return (weights.get('identity') ?? 0) > bestWeight ? null : best;
}

function parseWeights(field: string): ReadonlyMap<string, number> {
  const weights = new Map<string, number>();
  for (const member of field.toLowerCase().split(',')) {
    const semicolon = member.indexOf(';');
    const name = trimOws(semicolon < 0 ? member : member.slice(0, semicolon));
    // RFC 9110 8.4.1: these are other names of the same codings.
    const coding = name === 'x-gzip' ? 'gzip' : name === 'x-compress' ? 'compress' : name;
    if (coding === '' || weights.has(coding)) continue;
    const weight = semicolon < 0 ? 1 : parseWeight(trimOws(member.slice(semicolon + 1)));
    if (weight >= 0) weights.set(coding, weight);
  }
  return weights;
}

/** "q=0.5" → 0.5; -1 when it is no weight. */
function parseWeight(text: string): number {
  const value = text.startsWith('q=') ? text.slice(2) : '';
  return WEIGHT.test(value) ? Number(value) : -1;
}
