// A request body that several attempts may want: nobody reads it before an attempt asks, one that took nothing leaves it
// whole for the next, the limit holds, and a client that breaks off is told to whoever reads. One that is held in memory is
// there for any number of attempts; one too long for that is lost in no part and sent in none twice.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Held, Upload } from '../../../gateway/fetch/upload.ts';

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

/** Holds up to that many bytes and tells what came of it. */
function hold(body: Upload, mostBytes: number): Promise<Held> {
  let bytes = 0;
  return new Promise((resolve) =>
    body.hold((more) => {
      bytes += more;
      return bytes <= mostBytes;
    }, resolve),
  );
}

test('a body that is held is there for many attempts, at the same time and after the client is gone', async () => {
  const { source, upload: body, allowed } = upload();
  source.write('hello ');
  source.end('world');
  assert.deepEqual(await hold(body, 11), Buffer.from('hello world'));
  assert.equal(allowed(), 1);
  assert.equal(body.heldBytes, 11);
  source.destroy();
  const first = body.open();
  first.destroy(new Error('connection refused'));
  first.on('error', () => {});
  assert.deepEqual(await Promise.all([text(body.open()), text(body.open())]), ['hello world', 'hello world']);
  assert.equal(body.replayable, true);
});

test('an empty body is held too', async () => {
  const { source, upload: body } = upload();
  source.end();
  assert.deepEqual(await hold(body, 10), Buffer.alloc(0));
  assert.equal(body.heldBytes, 0);
  assert.equal(await text(body.open()), '');
});

test('once it is forgotten no attempt has it, but one that runs', async () => {
  const { source, upload: body } = upload();
  source.end('whole');
  await hold(body, 10);
  const running = body.open();
  body.forget();
  assert.equal(body.heldBytes, null);
  assert.equal(body.replayable, false);
  assert.equal(await text(running), 'whole');
  await assert.rejects(text(body.open()), /ended early/);
});

test('what was read of a body too long to be held stands in front of the rest, byte by byte, once', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { maxLength: 30 }),
      fc.nat(100),
      fc.boolean(),
      async (chunks, mostBytes, refusedFirst) => {
        const source = new PassThrough();
        const body = new Upload(source, 10_000, () => {});
        const all = Buffer.concat(chunks);
        const fed = (async () => {
          for (const chunk of chunks) {
            source.write(chunk);
            await new Promise(setImmediate);
          }
          source.end();
        })();
        const held = await hold(body, mostBytes);
        assert.deepEqual(held, all.length <= mostBytes ? all : 'long');
        if (refusedFirst) {
          const refused = body.open();
          refused.destroy();
        }
        assert.equal(body.replayable, true);
        const read: Buffer[] = [];
        for await (const chunk of body.open()) read.push(chunk as Buffer);
        assert.deepEqual(Buffer.concat(read), all);
        assert.equal(body.bytes, all.length);
        assert.equal(body.replayable, held !== 'long');
        await fed;
      },
    ),
    { numRuns: 100 },
  );
});

test('a body over the limit, or a client that breaks off, is no body that is held', async () => {
  const over = upload(10);
  over.source.end('0123456789x');
  assert.equal(await hold(over.upload, 1000), 'failed');
  assert.equal(over.upload.tooLarge, true);

  const broken = upload();
  const held = hold(broken.upload, 1000);
  broken.source.write('half');
  await new Promise(setImmediate);
  broken.source.destroy();
  assert.equal(await held, 'failed');
  assert.equal(broken.upload.replayable, false);
  await assert.rejects(text(broken.upload.open()), /ended early/);

  const gone = upload();
  gone.source.destroy();
  await once(gone.source, 'close');
  assert.equal(await hold(gone.upload, 1000), 'failed');
});

/** The copy of a body that is read in one go, and what the attempt read. */
async function copied(chunks: readonly string[], mostBytes: number): Promise<[copy: string | null, read: string]> {
  const { source, upload: body } = upload();
  const copy = new Promise<Buffer | null>((resolve) => body.copy(mostBytes, resolve));
  const read = text(body.open());
  for (const chunk of chunks) source.write(chunk);
  source.end();
  return [(await copy)?.toString() ?? null, await read];
}

test('a copy is the whole body or nothing, and the attempt has all of it in any case', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ minLength: 1, maxLength: 20 }), { maxLength: 8 }),
      fc.nat(80),
      async (chunks, most) => {
        const whole = chunks.join('');
        const [copy, read] = await copied(chunks, most);
        assert.equal(read, whole);
        assert.equal(copy, Buffer.byteLength(whole) <= most ? whole : null);
      },
    ),
  );
});

test('a copy asks the client for nothing, and there is none of a body that breaks off', async () => {
  const { source, upload: body, allowed } = upload();
  const copy = new Promise((resolve) => body.copy(100, resolve));
  source.write('half');
  assert.equal(allowed(), 0);
  const read = text(body.open());
  source.destroy();
  await assert.rejects(read);
  assert.equal(await copy, null);
});

test('a copy of a body that is held, and of one that was too long to be', async () => {
  for (const [accepted, most, expected] of [
    [true, 10, 'body'],
    [true, 3, null],
    [false, 10, 'body'],
    [false, 3, null],
  ] as const) {
    const { source, upload: body } = upload();
    const held = new Promise<Held>((resolve) => body.hold(() => accepted, resolve));
    source.end('body');
    assert.equal((await held) === 'long', !accepted);
    const copy = new Promise<Buffer | null>((resolve) => body.copy(most, resolve));
    assert.equal(await text(body.open()), 'body');
    assert.equal((await copy)?.toString() ?? null, expected);
  }
});
