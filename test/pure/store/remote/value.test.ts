import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decodeFrame, encodeFrame, redate } from '../../../../gateway/store/frame.ts';
import { decodeValue, encodeValue } from '../../../../gateway/store/remote/value.ts';
import { storedHead } from '../../../helpers/stored-head.ts';

const KEY = 'sluice:c:{http://a/}';

describe('a value in Redis', () => {
  test('comes back as it went in, signed or not', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.double({ min: 0, max: 2 ** 41, noNaN: true }),
        fc.integer({ min: -1e6, max: 1e6 }),
        fc.constantFrom('', 'secret'),
        (bytes, generation, clockMs, secret) => {
          const frame = Buffer.from(bytes);
          const value = decodeValue(KEY, encodeValue(KEY, { generation, clockMs, frame }, secret), secret);
          assert.deepEqual(value, { generation, clockMs, frame });
        },
      ),
    );
    const elsewhere = { generation: 1, clockMs: 2, frame: null };
    assert.deepEqual(decodeValue(KEY, encodeValue(KEY, elsewhere, 's'), 's'), elsewhere);
  });

  test('with one bit turned is nothing, or says no more than a wrong time', () => {
    const frame = Buffer.from('a frame of some length');
    const value = encodeValue(KEY, { generation: 5, clockMs: 0, frame }, '');
    for (let bit = 0; bit < value.length * 8; bit++) {
      const forged = Buffer.from(value);
      forged[bit >> 3] = (forged[bit >> 3] as number) ^ (1 << (bit & 7));
      const read = decodeValue(KEY, forged, '');
      // Generation and clock are guarded by a signature only; the bytes where a signature would be say nothing.
      const isTimeOrMac = bit >> 3 >= 8 && bit >> 3 < 24;
      const isMac = bit >> 3 >= 32 && bit >> 3 < 64;
      if (!isTimeOrMac && !isMac) assert.equal(read, null, `bit ${bit}`);
      else if (read !== null) assert.deepEqual(read.frame, frame);
    }
    const signed = encodeValue(KEY, { generation: 5, clockMs: 0, frame }, 'secret');
    for (let bit = 0; bit < signed.length * 8; bit++) {
      const forged = Buffer.from(signed);
      forged[bit >> 3] = (forged[bit >> 3] as number) ^ (1 << (bit & 7));
      assert.equal(decodeValue(KEY, forged, 'secret'), null, `bit ${bit}`);
    }
  });

  test('signed for another key, with another secret or not at all is nothing', () => {
    const value = encodeValue(KEY, { generation: 1, clockMs: 0, frame: Buffer.from('x') }, 'secret');
    assert.notEqual(decodeValue(KEY, value, 'secret'), null);
    assert.equal(decodeValue(`${KEY}2`, value, 'secret'), null);
    assert.equal(decodeValue(KEY, value, 'other'), null);
    const unsigned = encodeValue(KEY, { generation: 1, clockMs: 0, frame: Buffer.from('x') }, '');
    assert.equal(decodeValue(KEY, unsigned, 'secret'), null);
  });

  test('whatever stands there, reading it never throws', () => {
    const good = encodeValue(KEY, { generation: 1, clockMs: 0, frame: Buffer.from('frame') }, '');
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
          fc.nat(good.length).map((length) => good.subarray(0, length)),
          fc.uint8Array({ minLength: 1, maxLength: 20 }).map((more) => Buffer.concat([good, more])),
          fc.constantFrom(null, undefined, 'text', 5, [], {}),
        ),
        (bytes) => {
          const value = decodeValue(KEY, bytes, '');
          assert.ok(value === null || (Buffer.isBuffer(bytes) && bytes.equals(good)));
        },
      ),
    );
  });
});

test('a frame from another clock is dated anew and still whole', () => {
  const head = storedHead({ bornMs: 1_000, freshUntilMs: 61_000, whileRevalidateUntilMs: 0, ifErrorUntilMs: 71_000 });
  const frame = encodeFrame('k', head, [Buffer.from('body')]);
  redate(frame, 5_000.5, -400);
  const read = decodeFrame(frame, 'k');
  assert.equal(read?.head.storedMs, 5_000.5);
  assert.equal(read?.head.bornMs, 600);
  assert.equal(read?.head.freshUntilMs, 60_600);
  // None stays none.
  assert.equal(read?.head.whileRevalidateUntilMs, 0);
  assert.equal(read?.head.ifErrorUntilMs, 70_600);
  assert.equal(String(read?.body), 'body');
});
