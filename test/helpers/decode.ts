// What a client does with a coded body: decodes it whole, or piece by piece as it comes.

import { createBrotliDecompress, createGunzip, createZstdDecompress } from 'node:zlib';

/** A decoder that is asked for the next text that can be read. */
export interface Decoder {
  write(chunk: Uint8Array): void;
  end(): void;
  destroy(error: Error): void;
  /** Everything that came out since the last call, at least something; null at the end. Rejects when it cannot be decoded. */
  next(): Promise<string | null>;
}

/** By a Content-Encoding; an unknown one is an error, no one is no coding. */
export function decoderOf(coding: string): Decoder {
  const stream =
    coding === 'gzip'
      ? createGunzip()
      : coding === 'br'
        ? createBrotliDecompress()
        : coding === 'zstd'
          ? createZstdDecompress()
          : null;
  if (stream === null) throw new Error(`no coding: ${coding}`);
  let text = '';
  let state: 'open' | 'ended' | Error = 'open';
  let wake = Promise.withResolvers<void>();
  const tell = (): void => {
    wake.resolve();
    wake = Promise.withResolvers();
  };
  stream.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
    tell();
  });
  stream.on('end', () => {
    state = 'ended';
    tell();
  });
  stream.on('error', (error: Error) => {
    state = error;
    tell();
  });
  return {
    write: (chunk) => void stream.write(chunk),
    end: () => void stream.end(),
    destroy: (error) => void stream.destroy(error),
    async next() {
      while (text === '' && state === 'open') await wake.promise;
      if (text === '') {
        if (state instanceof Error) throw state;
        return null;
      }
      const read = text;
      text = '';
      return read;
    },
  };
}

/** The body that a Content-Encoding stands for, as latin1. */
export async function decode(coding: string | undefined, body: Uint8Array): Promise<string> {
  if (coding === undefined || coding === 'identity') return Buffer.from(body).toString('latin1');
  const decoder = decoderOf(coding);
  decoder.write(body);
  decoder.end();
  let whole = '';
  for (let part = await decoder.next(); part !== null; part = await decoder.next()) whole += part;
  return whole;
}
