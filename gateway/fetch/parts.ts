// What a fetch has to do with parts: what it is told about them, and putting one that arrived beside what is stored.

import type { Fields } from '../http/fields.ts';
import type { StoredHead } from '../policy/facts.ts';
import { variantKey } from '../policy/key.ts';
import { combine, isWhole, type Missing, placePart, settledHead, unionExtent } from '../policy/parts.ts';
import type { StoreInput } from '../policy/storing.ts';
import { unionOf } from '../policy/union.ts';
import { heldAt, putEntry, type Shelf, type StoredEntry } from '../store/entries.ts';

/** What a fetch is told when the client asks for a Range, or a part is there of what it asks for. */
export interface PartPlan {
  /** What is stored and does not answer the request; null = nothing. */
  readonly beside: { readonly key: string; readonly head: StoredHead } | null;
  /** A part to complete; null = the client's request goes as it is. */
  readonly completes: { readonly held: StoredEntry; readonly missing: Missing } | null;
}

/** A part whose body is all there. */
export interface ArrivedPart {
  readonly primary: string;
  /** Its Vary; see normaliseVary. */
  readonly vary: readonly string[];
  readonly requestFields: Fields;
  /** `bodyBytes` is what arrived. */
  readonly head: StoredHead;
  readonly chunks: readonly Buffer[];
  /** The response as it was judged; its bodyId names what is made of it and of what is stored. */
  readonly input: StoreInput;
  readonly maxBytes: number;
}

/**
 * Stores a part: alone, joined with what is stored (RFC 9111 3.4), or not at all when that is worth more. Whether something
 * was stored.
 */
export function putPart(shelf: Shelf, part: ArrivedPart, nowMs: number): boolean {
  const { primary, vary, requestFields, head, chunks } = part;
  if (head.bodyBytes === 0) return false;
  const stored = heldAt(shelf, primary, variantKey(primary, vary, requestFields));
  // A part for one request does not take the place of all variants.
  if (stored === 'index') return false;
  const placement = placePart(stored?.head ?? null, head, part.maxBytes, nowMs);
  if (placement === 'drop') return false;
  const put = (): boolean => putEntry(shelf.store, primary, vary, requestFields, settledHead(head), chunks);
  if (stored === null || placement === 'replace') return put();
  const combined = combineWith(stored, part);
  if (combined !== null)
    return putEntry(shelf.store, primary, combined.vary, requestFields, combined.head, combined.chunks);
  // Not the same after all: only a stored part gives way.
  return (stored.head.part !== null || isWhole(head)) && put();
}

function combineWith(
  stored: StoredEntry,
  { head, chunks, input }: ArrivedPart,
): { readonly head: StoredHead; readonly vary: readonly string[]; readonly chunks: readonly Buffer[] } | null {
  const union = unionExtent(stored.head, head);
  const pieces = unionOf(
    { first: stored.head.part?.first ?? 0, body: stored.body },
    { first: head.part?.first ?? 0, body: chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks) },
  );
  if (union === null || pieces === null) return null;
  const added = union.bytes > stored.head.bodyBytes;
  const verdict = combine(stored.head, added ? input : { ...input, bodyId: stored.head.bodyId }, union);
  if (!verdict.store) return null;
  // An invalidation of either one ends both.
  const storedMs = Math.min(stored.head.storedMs, head.storedMs);
  return { head: { ...verdict.head, storedMs }, vary: verdict.vary, chunks: pieces };
}
