// Accept-Encoding (RFC 9110 12.5.3): which content coding a client would rather have than the body as it is. Pure and
// total: what is malformed is as if it were not there. Knows codings by name only.

import { isToken, trimOws } from './chars.ts';
import { codingName, parseWeight } from './preferences.ts';

/** The content codings that this gateway can make, by their registered names. */
export const CODINGS = ['zstd', 'br', 'gzip'] as const;
export type Coding = (typeof CODINGS)[number];

/**
 * The one of `offered` with the highest weight, the earlier one among equals; null = the body as it is (identity). That is
 * so without the field, when nothing offered is acceptable, and when identity is named with a higher weight. identity
 * that is not named never wins over a coding that is: who names a coding wants it. identity;q=0 changes nothing when no
 * coding fits, since an answer that is there is better than a 406 or 415. Of a coding that is named twice the lower weight
 * counts; x-gzip is gzip (8.4.1.3).
 */
export function preferredCoding<T extends string>(acceptEncoding: string | undefined, offered: readonly T[]): T | null {
  if (acceptEncoding === undefined) return null;
  const weights = readWeights(acceptEncoding);
  const others = weights.get('*') ?? 0;
  let best: T | null = null;
  let bestWeight = 0;
  for (const coding of offered) {
    const weight = weights.get(coding) ?? others;
    if (weight > bestWeight) {
      best = coding;
      bestWeight = weight;
    }
  }
  return (weights.get('identity') ?? 0) > bestWeight ? null : best;
}

function readWeights(value: string): Map<string, number> {
  const weights = new Map<string, number>();
  for (const part of value.split(',')) {
    const semicolon = part.indexOf(';');
    const written = trimOws(semicolon < 0 ? part : part.slice(0, semicolon));
    const weight = semicolon < 0 ? 1 : parseWeight(part.slice(semicolon + 1));
    if (!isToken(written) || Number.isNaN(weight)) continue;
    const name = codingName(written);
    weights.set(name, Math.min(weight, weights.get(name) ?? 1));
  }
  return weights;
}
