// The bodies that a worker holds for their keys: counted while they are held, bounded together, and given back.

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import type { Filling } from '../../../gateway/fetch/filling.ts';
import { Upload } from '../../../gateway/fetch/upload.ts';
import type { RequestHead } from '../../../gateway/http/request.ts';
import { contentPart, read } from '../../../gateway/request/content.ts';
import type { Downstream } from '../../../gateway/request/downstream.ts';
import { Exchange, type Step } from '../../../gateway/request/exchange.ts';
import type { Runtime } from '../../../gateway/runtime.ts';
import { LIMITS } from '../../../gateway/tables/limits.ts';

interface Bench {
  readonly x: Exchange;
  readonly source: PassThrough;
  readonly state: { contentBytes: number };
  /** Settles when the body was read, or with the error. */
  readonly looked: Promise<string>;
  /** The client has its answer, or left. */
  close(): void;
}

/** An exchange that looks at the content of a request with this body and then answers. */
function bench(heldElsewhere = 0, fields: readonly string[] = []): Bench {
  const source = new PassThrough();
  const state = { contentBytes: heldElsewhere, count: () => {}, now: () => 0, trace: null, lent: { give: () => {} } };
  const downstream = { fields, refusal: null, bodyBytesSent: 0, receivedMs: 0, onClose: null } as unknown as Downstream;
  const looked = Promise.withResolvers<string>();
  const wait: Step = () => null;
  const look: Step = (x) => {
    const part = contentPart(x);
    if (part === null) return 'read';
    looked.resolve('skip' in part ? part.skip : 'part');
    return 'deliver';
  };
  const answer: Step = (x) => {
    looked.resolve(x.error ?? '');
    return null;
  };
  const steps = {
    receive: wait,
    route: wait,
    guard: wait,
    wait,
    remote: wait,
    rate: wait,
    fetch: wait,
    file: wait,
    deliver: wait,
    tunnel: wait,
  };
  const runtime = { state, finished: () => {} } as unknown as Runtime<Filling>;
  const x = new Exchange(runtime, downstream, null, { ...steps, look, read, answer });
  x.request = { method: 'QUERY', fields: [], requestId: '1' } as unknown as RequestHead;
  x.upload = new Upload(source, 1_000_000, () => {});
  x.state = 'look';
  return { x, source, state, looked: looked.promise, close: () => downstream.onClose?.(true) };
}

test('a body is counted while it is read and given back when the answer is there', async () => {
  const { x, source, state, looked, close } = bench(1000);
  x.drive();
  assert.equal(x.state, 'read');
  source.write('half');
  await new Promise(setImmediate);
  assert.equal(state.contentBytes, 1004);
  source.end('whole');
  const upload = x.upload;
  const stream = upload?.open();
  assert.equal(await looked, 'part');
  assert.equal(state.contentBytes, 1000);
  assert.equal(x.upload, null);
  // A fetch that began with it has it still.
  assert.equal(upload?.heldBytes, 9);
  stream?.destroy();
  close();
  assert.equal(x.state, 'finished');
  assert.equal(state.contentBytes, 1000);
});

test('when as much is held as may be, the body goes on as a stream, with what was read', async () => {
  const { x, source, state, looked } = bench(LIMITS.keyedContentsBytes - 5);
  x.drive();
  source.write('1234');
  await new Promise(setImmediate);
  source.end('5678');
  const { upload } = x;
  assert.equal(await looked, 'keyed-bodies-full');
  assert.equal(upload?.heldBytes, null);
  assert.equal(await text(upload?.open() ?? assert.fail()), '12345678');
  assert.equal(state.contentBytes, LIMITS.keyedContentsBytes - 5);
});

test('a body of just the longest length is part of the key, one byte more is not', async () => {
  for (const [bytes, expected] of [
    [LIMITS.keyedContentBytes, 'part'],
    [LIMITS.keyedContentBytes + 1, 'body-too-large-for-key'],
  ] as const) {
    const { x, source, looked } = bench();
    x.drive();
    source.end(Buffer.alloc(bytes));
    assert.equal(await looked, expected);
  }
});

test('a body that declares more than may be is not read at all', async () => {
  const { x, source, looked } = bench(0, ['content-length', String(LIMITS.keyedContentBytes + 1)]);
  x.drive();
  assert.equal(await looked, 'body-too-large-for-key');
  assert.equal(source.readableFlowing, null);
  assert.equal(x.upload?.replayable, true);
});

test('a client that breaks off, or leaves, gives back what was held', async () => {
  const broken = bench();
  broken.x.drive();
  broken.source.write('half');
  await new Promise(setImmediate);
  broken.source.destroy();
  assert.equal(await broken.looked, 'bad-request');
  broken.close();
  assert.equal(broken.state.contentBytes, 0);

  const left = bench();
  left.x.drive();
  left.source.write('half');
  await new Promise(setImmediate);
  assert.equal(left.state.contentBytes, 4);
  left.close();
  assert.equal(left.x.state, 'finished');
  assert.equal(left.state.contentBytes, 0);
  // What still comes changes nothing.
  left.source.end('late');
  await new Promise(setImmediate);
  assert.equal(left.x.state, 'finished');
  assert.equal(left.state.contentBytes, 0);
});
