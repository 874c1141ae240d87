// The last step that speaks to the client: a stored response, or the body of a running fetch as it comes. Waits for
// nothing itself; the exchange ends when the Downstream closes.

import type { Sink } from '../fetch/body.ts';
import type { Filling } from '../fetch/filling.ts';
import { isEventStream } from '../http/event-stream.ts';
import type { RequestHead } from '../http/request.ts';
import { storedRanges } from '../policy/parts.ts';
import { clientNotModified } from '../policy/validate.ts';
import type { StoredEntry } from '../store/entries.ts';
import { LIMITS } from '../tables/limits.ts';
import { codedFetched, codedStored, considerStored } from './coding.ts';
import { EventsToClient } from './events.ts';
import type { Exchange, FileAnswer } from './exchange.ts';
import { respondFetched, respondFile, respondStored } from './respond.ts';
import { respondRanges } from './respond-ranges.ts';

export function deliver(x: Exchange): null {
  const { request, entry, fetch, file, form } = x;
  if (request === null) throw new Error('deliver without a request');
  if (file !== null) {
    deliverFile(x, file);
    return null;
  }
  const nowMs = x.runtime.state.now();
  if (form !== null) deliverForm(x, request, form, nowMs);
  else if (entry !== null) {
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
  considerStored(x, entry.head);
  if (plain && clientNotModified(entry.head, request.fields))
    return respondStored(x, entry, nowMs, { notModified: true });
  const ranges = plain && request.method === 'GET' ? storedRanges(entry.head, request.fields) : null;
  if (ranges !== null) return respondRanges(x, entry, nowMs, ranges);
  if (entry.head.part !== null) throw new Error('a part for a request that it does not answer');
  respondStored(x, codedStored(x, entry), nowMs, { notModified: false });
}

/** A coded form that `look` found without the response it was made of: the request has no Range. */
function deliverForm(x: Exchange, request: RequestHead, form: StoredEntry, nowMs: number): void {
  const notModified = form.head.status === 200 && clientNotModified(form.head, request.fields);
  if (!notModified) x.coding = x.wished;
  respondStored(x, form, nowMs, { notModified });
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
  const coded = codedFetched(x, fetch, outcome, notModified);
  if (!respondFetched(x, outcome, nowMs, notModified)) {
    if (!x.follows) discard(fetch);
    return;
  }
  const leave = (): void => {
    reader?.leave();
    (coded ?? fetch).readerLeft();
  };
  // Only where no length is promised and nothing is coded: such a stream may end between any two of its events.
  const events = coded === null && outcome.bodyBytes === null && isEventStream(outcome.fields);
  const stream = events ? new EventsToClient(downstream, fetch.instance?.id ?? '', () => leave()) : null;
  const reader = (coded?.body ?? body).read(
    stream ?? {
      write: (chunk) => downstream.write(chunk),
      end: (trailers) => downstream.end(trailers),
      abort: () => downstream.abort(),
    },
  );
  if (reader === null) throw new Error('the first bytes of the body are gone');
  const drained = (): void => reader.resume();
  downstream.onDrain = drained;
  if (stream === null) {
    x.onGone = leave;
    return;
  }
  const { streams } = x.runtime.state;
  if (x.gone) return;
  streams.add(stream);
  const gone = (): void => {
    streams.remove(stream);
    leave();
  };
  x.onGone = gone;
}

/** A file, at the pace of its client. */
function deliverFile(x: Exchange, file: FileAnswer): void {
  const { downstream } = x;
  const { stream } = file;
  if (!respondFile(x, file) || stream === null) return;
  let bytes = 0;
  const drained = (): void => void stream.resume();
  downstream.onDrain = drained;
  stream.on('error', () => downstream.abort());
  stream.on('end', () => {
    // Cut shorter while it was read: Downstream ends nothing cleanly that has fewer bytes than it promised.
    if (bytes < file.bodyBytes) x.reason = 'incomplete';
    downstream.end([]);
  });
  stream.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (!downstream.write(chunk)) stream.pause();
  });
}

/** Reads a body away: the answer needed none of it. */
function discard(fetch: Filling): void {
  let bytes = 0;
  const sink: Sink = {
    write: (chunk) => {
      bytes += chunk.length;
      if (bytes > LIMITS.discardBytes) queueMicrotask(() => leave());
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
