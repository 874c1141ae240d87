// The body of a request whose content is part of its key: read into memory before the look-up, while it is short. A longer one
// goes past the cache with nothing lost. Decides nothing about the cache.

import { bodyBytesOf } from '../guard/body.ts';
import { type ContentPart, contentKey, isKeyedByContent } from '../policy/content-key.ts';
import { LIMITS } from '../tables/limits.ts';
import type { RequestState } from '../tables/states.ts';
import type { Exchange } from './exchange.ts';

const none = new Uint8Array(0);

/** What the content adds to the key, or why it is part of none; null: it must be read first (the state `read`). */
export function contentPart(x: Exchange): ContentPart | null {
  const { request, upload, downstream } = x;
  if (request === null) throw new Error('content without a request');
  if (x.content !== null) return x.content;
  // A body of GET may decide its answer all the same.
  if (!isKeyedByContent(request.method)) x.content = { skip: 'request-body' };
  else if (upload === null) x.content = { part: contentKey(request.fields, none) };
  else if ((bodyBytesOf(downstream.fields) ?? 0) > LIMITS.keyedContentBytes)
    x.content = { skip: 'body-too-large-for-key' };
  return x.content;
}

/** Waits for the whole body, or for more of it than may be part of a key. */
export function read(x: Exchange): RequestState | null {
  const { request, upload, downstream } = x;
  if (request === null || upload === null) throw new Error('read without a body');
  if (x.gone) return 'finished';
  let long: ContentPart = { skip: 'body-too-large-for-key' };
  const accept = (bytes: number): boolean => {
    // Nothing is counted for an exchange that is over: nobody would give it back.
    if (x.state !== 'read' || x.contentBytes + bytes > LIMITS.keyedContentBytes) return false;
    if (x.holdContent(bytes)) return true;
    long = { skip: 'keyed-bodies-full' };
    return false;
  };
  upload.hold(accept, (held) => {
    if (held === 'failed') {
      // Where the edge itself answered (a body that came too slowly), the exchange ends with that answer.
      if (downstream.refusal !== null) return;
      return x.resume(upload.tooLarge ? x.fail('body-too-large') : x.fail('bad-request', 'the body ended early'));
    }
    x.content = held === 'long' ? long : { part: contentKey(request.fields, held) };
    x.resume('look');
  });
  return null;
}
