// The words of a frame that change in place while an entry lives: until when it is fresh, and may be served stale. They
// cannot be under the frame's checksum, so each carries its own: the low 48 bits are whole ms since the epoch, the high 16
// bits a fold of them. It knows nothing of the rest of a frame.

/** Where a changing word stands, and a number of its own, so that one cannot stand in another's place. */
export interface ChangingWord {
  readonly at: number;
  readonly salt: number;
}

export const FRESH_UNTIL: ChangingWord = { at: 8, salt: 0x5f1d };
export const WHILE_REVALIDATE_UNTIL: ChangingWord = { at: 16, salt: 0xa3c6 };
export const IF_ERROR_UNTIL: ChangingWord = { at: 24, salt: 0x39e4 };

const MAX_WORD_MS = 2 ** 48 - 1;

/** Writes a time: whole ms, rounded down, from 0 to 2^48-1. */
export function writeWord(frame: Buffer, { at, salt }: ChangingWord, ms: number): void {
  const whole = ms > 0 ? Math.min(Math.floor(ms), MAX_WORD_MS) : 0;
  frame.writeUIntLE(whole, at, 6);
  frame.writeUInt16LE(fold(frame, at, salt), at + 6);
}

/** The ms of a changing word, or -1 when it does not fit its own check. */
export function readWord(frame: Buffer, { at, salt }: ChangingWord): number {
  return frame.readUInt16LE(at + 6) === fold(frame, at, salt) ? frame.readUIntLE(at, 6) : -1;
}

function fold(frame: Buffer, at: number, salt: number): number {
  return frame.readUInt16LE(at) ^ frame.readUInt16LE(at + 2) ^ frame.readUInt16LE(at + 4) ^ salt;
}
