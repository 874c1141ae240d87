// Frames in a stream of bytes: the same ends are found however the bytes are cut, and no bytes do harm.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { CLOSE_CODES, closeFrame, FrameScanner } from '../../../gateway/http/websocket-frames.ts';

interface Frame {
  readonly opcode: number;
  readonly final: boolean;
  readonly bytes: number;
  /** Reserved bits, as extensions use them. */
  readonly reserved: number;
}

/** A frame as it goes over the wire, with an unmasked payload of zeroes. */
function encode({ opcode, final, bytes, reserved }: Frame, masked: boolean): Buffer {
  const first = (final ? 0x80 : 0) | (reserved << 4) | opcode;
  const flag = masked ? 0x80 : 0;
  const head = [first];
  if (bytes < 126) head.push(flag | bytes);
  else if (bytes < 65_536) head.push(flag | 126, bytes >> 8, bytes & 0xff);
  else head.push(flag | 127, 0, 0, 0, 0, 0, bytes >> 16, (bytes >> 8) & 0xff, bytes & 0xff);
  return Buffer.concat([Buffer.from(head), Buffer.alloc((masked ? 4 : 0) + bytes, 0x88)]);
}

const dataFrame = fc.record({
  opcode: fc.constantFrom(0, 1, 2),
  final: fc.boolean(),
  bytes: fc.oneof(fc.nat(130), fc.constantFrom(65_535, 65_536, 70_000)),
  reserved: fc.nat(7),
});
const controlFrame = fc.record({
  opcode: fc.constantFrom(9, 10),
  final: fc.constant(true),
  bytes: fc.nat(125),
  reserved: fc.constant(0),
});
const frames = fc.array(fc.oneof(dataFrame, controlFrame), { maxLength: 12 });

/** Cuts bytes at these places, taken modulo their length. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length));
}

test('any cutting finds the same frames, by steps and by leaps', () => {
  fc.assert(
    fc.property(frames, fc.boolean(), fc.array(fc.nat(1_000_000), { maxLength: 20 }), (list, masked, places) => {
      const encoded = list.map((frame) => encode(frame, masked));
      const bytes = Buffer.concat(encoded);
      const ends = new Set<number>();
      let end = 0;
      for (const frame of encoded) {
        end += frame.length;
        ends.add(end);
      }
      const leaping = new FrameScanner(masked);
      const stepping = new FrameScanner(masked);
      const found = new Set<number>();
      let at = 0;
      for (const piece of cut(bytes, places)) {
        leaping.push(piece);
        for (let from = 0; from < piece.length; ) {
          const taken = stepping.pushFrame(piece.subarray(from));
          assert.ok(taken > 0);
          from += taken;
          if (stepping.atBoundary) found.add(at + from);
        }
        at += piece.length;
        assert.equal(leaping.atBoundary, at === 0 || ends.has(at), `at ${at}`);
        assert.equal(stepping.atBoundary, leaping.atBoundary);
      }
      assert.deepEqual(found, ends);
      assert.equal(leaping.lost || leaping.closed, false);
    }),
  );
});

test('random bytes never throw and take every byte; what is lost stays lost', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), fc.boolean(), (pieces, masked) => {
      const scanner = new FrameScanner(masked);
      let lost = false;
      for (const piece of pieces) {
        if (scanner.lost || piece.length === 0) scanner.push(piece);
        else assert.ok(scanner.pushFrame(piece) > 0);
        assert.ok(!lost || scanner.lost);
        lost = scanner.lost;
        assert.ok(!lost || !scanner.atBoundary);
      }
    }),
  );
});

const odd: readonly (readonly [string, readonly number[], boolean])[] = [
  ['a reserved opcode', [0x83, 0x00], false],
  ['a reserved control opcode', [0x8b, 0x00], false],
  ['a masked frame from a server', [0x81, 0x80], false],
  ['an unmasked frame from a client', [0x81, 0x00], true],
  ['a long control frame', [0x89, 126], false],
  ['a fragmented control frame', [0x09, 0x00], false],
  ['a length of 2^63', [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], false],
  ['a frame behind a close frame', [0x88, 0x00, 0x81, 0x00], false],
  ['HTTP', [...Buffer.from('HTTP/1.1 200 OK')], false],
];

for (const [name, bytes, masked] of odd) {
  test(`gives up on ${name}`, () => {
    const scanner = new FrameScanner(masked);
    scanner.push(Uint8Array.from(bytes));
    assert.equal(scanner.lost, true);
    assert.equal(scanner.atBoundary, false);
  });
}

test('our close frames are frames, and carry their code', () => {
  const server = closeFrame(CLOSE_CODES.serviceRestart, null);
  assert.deepEqual([...server], [0x88, 2, 0x03, 0xf4]);
  fc.assert(
    fc.property(fc.integer({ min: 1000, max: 4999 }), fc.uint8Array({ minLength: 4, maxLength: 4 }), (code, mask) => {
      for (const masked of [false, true]) {
        const frame = closeFrame(code, masked ? mask : null);
        const scanner = new FrameScanner(masked);
        scanner.push(frame);
        assert.ok(scanner.atBoundary && scanner.closed);
        const payload = frame.subarray(-2).map((byte, i) => (masked ? byte ^ (mask[i] as number) : byte));
        assert.equal(Buffer.from(payload).readUInt16BE(), code);
      }
    }),
  );
});
