// zlib's codings, whole and on the way: what comes out decodes to what went in, early enough, under back-pressure.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from 'node:zlib';
import fc from 'fast-check';
import { CODINGS, type Coding } from '../../../gateway/http/accept-encoding.ts';
import { Coder, codeWhole } from '../../../gateway/store/coder.ts';
import { decoderOf } from '../../helpers/decode.ts';

const DECODE: Readonly<Record<Coding, (coded: Buffer) => Buffer>> = {
  zstd: (coded) => zstdDecompressSync(coded),
  br: (coded) => brotliDecompressSync(coded),
  gzip: (coded) => gunzipSync(coded),
};

/** Codes chunks one after the other, holding when told to. */
function codeStream(coding: Coding, chunks: readonly Uint8Array[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const out: Buffer[] = [];
    let next = 0;
    const pump = (): void => {
      while (next < chunks.length) if (!coder.write(chunks[next++] as Uint8Array)) return;
      if (next++ === chunks.length) coder.end();
    };
    const coder = new Coder(coding, {
      onData: (chunk) => out.push(chunk),
      onEnd: () => resolve(Buffer.concat(out)),
      onDrain: pump,
      onFault: reject,
    });
    pump();
  });
}

for (const coding of CODINGS) {
  test(`${coding}: any body comes back, whole and in pieces`, async () => {
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 3000 }), fc.constant(new Uint8Array(100_000).fill(7)));
    await fc.assert(
      fc.asyncProperty(fc.array(bytes, { maxLength: 6 }), async (chunks) => {
        const body = Buffer.concat(chunks);
        assert.deepEqual(DECODE[coding](await codeWhole(coding, body)), body);
        assert.deepEqual(DECODE[coding](await codeStream(coding, chunks)), body);
      }),
      { numRuns: 40 },
    );
  });

  test(`${coding}: what was written comes out although nothing follows it`, async () => {
    const decoder = decoderOf(coding);
    const coder = new Coder(coding, {
      onData: (chunk) => decoder.write(chunk),
      onEnd: () => decoder.end(),
      onDrain: () => {},
      onFault: (error) => decoder.destroy(error),
    });
    for (const text of ['first ', 'second ', 'third ']) {
      coder.write(Buffer.from(text));
      assert.equal(await decoder.next(), text);
    }
    coder.end();
    assert.equal(await decoder.next(), null);
  });

  test(`${coding}: paused, it holds its source, and gives nothing out`, async () => {
    const body = Buffer.alloc(8_000_000);
    // Hardly compressible, so that the output fills up, too.
    for (let i = 0, seed = 1; i < body.length; i++) {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      body[i] = seed >>> 24;
    }
    const out: Buffer[] = [];
    let paused = true;
    let at = 0;
    const ended = Promise.withResolvers<void>();
    const pump = (): void => {
      while (at < body.length) {
        at += 16_384;
        if (!coder.write(body.subarray(at - 16_384, at))) return;
      }
      coder.end();
    };
    const coder = new Coder(coding, {
      onData: (chunk) => {
        assert.ok(!paused);
        out.push(chunk);
      },
      onEnd: () => ended.resolve(),
      onDrain: pump,
      onFault: (error) => ended.reject(error),
    });
    coder.pause();
    pump();
    // It settles when no turn moves anything any more.
    for (let before = -1, still = 0; still < 200; still = before === at ? still + 1 : 0) {
      before = at;
      await new Promise((resolve) => setImmediate(resolve));
    }
    // Brotli itself collects megabytes (3.4 were seen) before it gives anything out.
    assert.ok(at < 6_000_000, `${at} bytes were taken`);
    paused = false;
    coder.resume();
    await ended.promise;
    assert.ok(DECODE[coding](Buffer.concat(out)).equals(body));
  });

  test(`${coding}: destroyed, it says nothing more`, async () => {
    const told: string[] = [];
    const coder = new Coder(coding, {
      onData: () => told.push('data'),
      onEnd: () => told.push('end'),
      onDrain: () => told.push('drain'),
      onFault: () => told.push('fault'),
    });
    coder.write(Buffer.alloc(300_000, 'x'));
    coder.destroy();
    // Another body takes at least as long.
    await codeStream(coding, [Buffer.alloc(300_000, 'x')]);
    assert.deepEqual(told, []);
  });
}
