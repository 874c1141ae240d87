// A stored head for tests of what keeps heads without judging them: plain, with what the test names.

import type { StoredHead } from '../../gateway/policy/facts.ts';

/** Born at `storedMs` (1000 when not said), fresh for a second from then; `changes` stand over all of it. */
export function storedHead(changes: Partial<StoredHead> = {}): StoredHead {
  const storedMs = changes.storedMs ?? 1000;
  return {
    status: 200,
    fields: ['content-type', 'text/plain'],
    bornMs: storedMs,
    freshUntilMs: storedMs + 1000,
    whileRevalidateUntilMs: 0,
    ifErrorUntilMs: 0,
    fetchMs: 0,
    bodyId: 1,
    tags: [],
    part: null,
    storedMs,
    ours: false,
    validateAlways: false,
    mustRevalidate: false,
    etag: '',
    lastModified: '',
    bodyBytes: 0,
    ...changes,
  };
}
