// A request body that several attempts may want: nobody reads it before an attempt asks, one that took nothing leaves it
// whole for the next, the limit holds, and a client that breaks off is told to whoever reads.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { Upload } from '../../../gateway/fetch/upload.ts';

function upload(maxBytes = 1000): { source: PassThrough; upload: Upload; allowed: () => number } {
  const source = new PassThrough();
  let allowed = 0;
  return {
    source,
    upload: new Upload(source, maxBytes, () => {
      allowed++;
    }),
    allowed: () => allowed,
  };
}

test('an attempt reads the whole body and leave to send it is given once', async () => {
  const { source, upload: body, allowed } = upload();
  source.write('hello ');
  source.end('world');
  assert.equal(allowed(), 0);
  assert.equal(await text(body.open()), 'hello world');
  assert.equal(allowed(), 1);
  assert.equal(body.bytes, 11);
  assert.equal(body.replayable, false);
});

test('an attempt that failed before it read leaves the body to the next one', async () => {
  const { source, upload: body } = upload();
  source.end('whole');
  const first = body.open();
  first.on('error', () => {});
  first.destroy(new Error('connection refused'));
  await new Promise((resolve) => first.once('close', resolve));
  assert.equal(body.replayable, true);
  assert.equal(source.destroyed, false);
  assert.equal(await text(body.open()), 'whole');
});

test('a body over the limit breaks the attempt and says why', async () => {
  const { source, upload: body } = upload(10);
  const stream = body.open();
  source.write('0123456789');
  source.write('x');
  await assert.rejects(text(stream), /too large/);
  assert.equal(body.tooLarge, true);
});

test('a client that breaks off breaks the attempt', async () => {
  const { source, upload: body } = upload();
  const stream = body.open();
  const read = text(stream);
  source.write('half');
  source.destroy();
  await assert.rejects(read, /ended early/);
  assert.equal(body.tooLarge, false);
});

test('a client that broke off before anybody read is noticed all the same', async () => {
  const { source, upload: body } = upload();
  source.destroy();
  await once(source, 'close');
  await assert.rejects(text(body.open()), /ended early/);
});

test('the source is held while the attempt takes nothing', async () => {
  const { source, upload: body } = upload(10_000_000);
  const stream = body.open();
  stream.read(0);
  let written = 0;
  while (source.write(Buffer.alloc(16_384)) && written < 10_000_000) {
    written += 16_384;
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(written < 500_000, `${written} bytes went ahead of a reader that takes none`);
  stream.destroy();
});
