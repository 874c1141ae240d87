// The last step that speaks to the client: a stored response, or the body of a running fetch as it comes. Waits for
// nothing itself; the exchange ends when the Downstream closes.

import type { Sink } from '../fetch/body.ts';
import type { Filling } from '../fetch/filling.ts';
import type { RequestHead } from '../http/request.ts';
import { storedRanges } from '../policy/parts.ts';
import { clientNotModified } from '../policy/validate.ts';
import type { StoredEntry } from '../store/entries.ts';
import type { Exchange } from './exchange.ts';
import { respondFetched, respondStored } from './respond.ts';
import { respondRanges } from './respond-ranges.ts';

/** A body nobody wants is read up to here, so that its connection can be used again; a longer one is cut. */
const DISCARD_BYTES = 65_536;

export function deliver(x: Exchange): null {
  const { request, entry, fetch } = x;
  if (request === null) throw new Error('deliver without a request');
  const nowMs = x.runtime.state.now();
  if (entry !== null) {
    deliverStored(x, request, entry, nowMs);
    // What came is not what the client gets.
    if (fetch !== null && fetch.body !== null && !x.follows) discard(fetch);
  } else if (fetch !== null) deliverFetched(x, request, fetch, nowMs);
  else throw new Error('deliver without anything to deliver');
  return null;
}

function deliverStored(x: Exchange, request: RequestHead, entry: StoredEntry, nowMs: number): void {
  // RFC 9110 13.2.1: conditions and ranges apply only where the plain answer would be a 200; a part stands for one.
  const plain = entry.head.status === 200 || entry.head.part !== null;
  if (plain && clientNotModified(entry.head, request.fields))
    return respondStored(x, entry, nowMs, { notModified: true });
  const ranges = plain && request.method === 'GET' ? storedRanges(entry.head, request.fields) : null;
  if (ranges !== null) return respondRanges(x, entry, nowMs, ranges);
  if (entry.head.part !== null) throw new Error('a part for a request that it does not answer');
  respondStored(x, entry, nowMs, { notModified: false });
}

function deliverFetched(x: Exchange, request: RequestHead, fetch: Filling, nowMs: number): void {
  const { outcome, body } = fetch;
  const { downstream } = x;
  if (outcome.kind !== 'head' || body === null) throw new Error(`deliver in the outcome ${outcome.kind}`);
  const head = outcome.storing?.head;
  const notModified =
    // A shared fetch asked without the client's conditions.
    (x.fillKey !== null || x.follows) &&
    outcome.status === 200 &&
    head !== undefined &&
    clientNotModified(head, request.fields);
  if (!respondFetched(x, outcome, nowMs, notModified)) {
    if (!x.follows) discard(fetch);
    return;
  }
  const reader = body.read({
    write: (chunk) => downstream.write(chunk),
    end: (trailers) => downstream.end(trailers),
    abort: () => downstream.abort(),
  });
  if (reader === null) throw new Error('the first bytes of the body are gone');
  downstream.onDrain = () => reader.resume();
  x.onGone = () => {
    reader.leave();
    fetch.readerLeft();
  };
}

/** Reads a body away: the answer needed none of it. */
function discard(fetch: Filling): void {
  let bytes = 0;
  const sink: Sink = {
    write: (chunk) => {
      bytes += chunk.length;
      if (bytes > DISCARD_BYTES) queueMicrotask(() => leave());
      return true;
    },
    end: () => {},
    abort: () => {},
  };
  const reader = fetch.body?.read(sink) ?? null;
  const leave = (): void => {
    reader?.leave();
    fetch.readerLeft();
  };
}
