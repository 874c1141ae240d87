// The upstream of the wire bench: an answer of 1 KB, or of the size that the path ends in (`16k`, `1m`, `1g`), on raw sockets, so
// that it costs as little of the load's core as possible. It parses nothing but the path and the empty line that ends a
// head. `GET /count` says how many it answered, which is how the bench knows that a cache hit was one.

import { type AddressInfo, createServer, type Socket } from 'node:net';

const SIZES: Readonly<Record<string, number>> = { '16k': 2 ** 14, '1m': 2 ** 20, '1g': 2 ** 30 };
const PIECE_BYTES = 2 ** 20;

function headOf(bytes: number): string {
  return `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: max-age=3600\r\nContent-Length: ${bytes}\r\n\r\n`;
}

function answerOf(bytes: number): Buffer {
  return Buffer.from(headOf(bytes) + 'x'.repeat(bytes), 'latin1');
}

const ANSWER = answerOf(1024);
const LARGER = new Map(['16k', '1m'].map((size) => [size, answerOf(SIZES[size] as number)]));
const PIECE = Buffer.alloc(PIECE_BYTES, 'x');

/** A body too large to be held, a piece each time the socket has room. */
function stream(socket: Socket, bytes: number, closes: boolean): void {
  let left = bytes;
  const more = (): void => {
    while (left > 0) {
      left -= PIECE_BYTES;
      if (!socket.write(PIECE)) return;
    }
    socket.off('drain', more);
    if (closes) socket.end();
  };
  socket.write(headOf(bytes), 'latin1');
  socket.on('drain', more);
  more();
}
/** What a proxy without keep-alive asks for. */
const CLOSE = /\r\nconnection: *close/i;

let answered = 0;

function countAnswer(): Buffer {
  const body = String(answered);
  return Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`, 'latin1');
}

const server = createServer({ noDelay: true }, (socket: Socket) => {
  let rest = '';
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    const text = rest + chunk.toString('latin1');
    let at = 0;
    for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n', at)) {
      const head = text.slice(at, end);
      at = end + 4;
      const isCount = head.startsWith('GET /count ');
      if (!isCount) answered++;
      const size = /^GET \S*?(16k|1m|1g) /.exec(head)?.[1] ?? '';
      const closes = CLOSE.test(head);
      if (size === '1g') stream(socket, SIZES[size] as number, closes);
      else socket.write(isCount ? countAnswer() : (LARGER.get(size) ?? ANSWER));
      if (closes && size !== '1g') socket.end();
    }
    rest = text.slice(at);
  });
});

server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`running on http://127.0.0.1:${(server.address() as AddressInfo).port} (origin)\n`);
});
