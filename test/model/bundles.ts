// Words that belong together: with those that chance picks alone, some features would hardly ever be seen at work.

import type { Asked, Behaviour } from './vocabulary.ts';

/** For each part what a scenario uses of it: the plain word, and few or none of the others. */
export type Uses<T> = { readonly [K in keyof T]: readonly T[K][] };

/** Words that chance would hardly bring together, for scenarios that are about them; the first is none. */
export const BUNDLES: readonly {
  readonly targets?: readonly string[];
  readonly requests?: Partial<Uses<Asked>>;
  readonly answers?: Partial<Uses<Behaviour>>;
}[] = [
  {},
  {},
  {},
  {
    requests: { range: [[], ...['0-4', '5-', '-3', '2-9', '10-,0-1'].map((set) => ['range', `bytes=${set}`])] },
    answers: { ranges: [true] },
  },
  {
    targets: ['/query/a'],
    requests: { method: ['QUERY', 'POST', 'QUERY', 'GET'], body: ['one', 'two'] },
    answers: { more: [[], [], ['content-location', '/query/a']] },
  },
  {
    targets: ['/plain/a'],
    requests: { method: ['GET', 'GET', 'POST'] },
    answers: { more: [[], ['content-location', '/plain/a']] },
  },
  { requests: { method: ['GET', 'GET', 'HEAD'] }, answers: { validators: ['etag', 'date', 'none'] } },
  {
    answers: {
      more: [
        ['surrogate-key', 'one two'],
        ['cache-tag', 'one, three'],
      ],
    },
  },
  {
    requests: {
      selecting: ['de', 'en', 'de, en;q=0.5', 'en;q=0.4, de;q=0.4', 'fr, de;q=0.5', '*'].map((text) => [
        'accept-language',
        text,
      ]),
    },
    answers: { language: ['liked', 'liked', 'fixed'], vary: ['accept-language'] },
  },
];
