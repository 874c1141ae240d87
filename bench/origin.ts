// The upstream of the wire bench: the same 1 KB answer for every request, on raw sockets, so that it costs as little
// of the load's core as possible. It parses nothing but the empty line that ends a head. `GET /count` says how many it
// answered, which is how the bench knows that a cache hit was one.

import { type AddressInfo, createServer, type Socket } from 'node:net';

const BODY_BYTES = 1024;
const HEAD = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${BODY_BYTES}\r\n\r\n`;
const ANSWER = Buffer.from(HEAD + 'x'.repeat(BODY_BYTES), 'latin1');
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
      socket.write(isCount ? countAnswer() : ANSWER);
      if (CLOSE.test(head)) socket.end();
    }
    rest = text.slice(at);
  });
});

server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`running on http://127.0.0.1:${(server.address() as AddressInfo).port} (origin)\n`);
});
