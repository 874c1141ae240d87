// An answer other than 101 to a WebSocket handshake, passed on to the client's socket as it came and then closed:
// exact framing, backpressure, and never a clean end of a body that was cut.

import type { IncomingMessage } from 'node:http';
import { type Duplex, pipeline, Transform } from 'node:stream';
import { type Fields, hasField } from '../http/fields.ts';

/** How long one side may take to close after the other did. */
export const LINGER_MS = 2_000;

/** A head as bytes. `fields` are final. */
export function headBytes(status: number, text: string, fields: Fields): Buffer {
  let head = `HTTP/1.1 ${status} ${text}\r\n`;
  for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`;
  return Buffer.from(`${head}\r\n`, 'latin1');
}

/**
 * Writes head and body and closes the socket. `fields` are end-to-end fields. `onBytes` is told of every chunk; `onEnd`
 * is called once, with the error when either side failed.
 */
export function relayAnswer(
  answer: IncomingMessage,
  fields: Fields,
  socket: Duplex,
  onBytes: (bytes: number) => void,
  onEnd: (error: Error | null) => void,
): void {
  const status = answer.statusCode ?? 502;
  const sized = hasField(fields, 'content-length') || status === 204 || status === 304;
  const framing = sized ? ['connection', 'close'] : ['connection', 'close', 'transfer-encoding', 'chunked'];
  socket.write(headBytes(status, answer.statusMessage ?? '', [...fields, ...framing]));
  const body = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      onBytes(chunk.length);
      if (sized) {
        done(null, chunk);
        return;
      }
      this.push(`${chunk.length.toString(16)}\r\n`);
      this.push(chunk);
      done(null, '\r\n');
    },
    flush(done) {
      done(null, sized ? null : '0\r\n\r\n');
    },
  });
  pipeline(answer, body, socket, (error) => {
    if (error) socket.destroy();
    else linger(socket);
    onEnd(error ?? null);
  });
}

/** Our side is closed: reads on until the client closed its own, since closing on unread bytes could cost it the answer. */
function linger(socket: Duplex): void {
  const cut = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(cut));
  socket.on('error', () => {});
  socket.once('end', () => socket.destroy());
  socket.resume();
}
