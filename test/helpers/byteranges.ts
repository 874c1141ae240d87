// A strict reader of multipart/byteranges (RFC 2046 5.1.1), written apart from the gateway: what is not exactly such a
// message is an error.

export interface Part {
  /** "name: value" with lower-case names, in order. */
  readonly fields: readonly string[];
  /** As latin1. */
  readonly body: string;
}

/** The parts of a message (latin1) with this Content-Type. */
export function readParts(contentType: string, message: string): Part[] {
  const boundary = /^multipart\/byteranges; boundary=([\w-]+)$/.exec(contentType)?.[1];
  if (boundary === undefined) throw new Error(`not multipart/byteranges: ${contentType}`);
  const pieces = `\r\n${message}`.split(`\r\n--${boundary}`);
  if (pieces.shift() !== '') throw new Error('something stands before the first part');
  if (pieces.pop() !== '--\r\n') throw new Error('the message does not end with its last boundary');
  return pieces.map((piece) => {
    const end = piece.indexOf('\r\n\r\n');
    if (!piece.startsWith('\r\n') || end < 0) throw new Error('a part without a head');
    const fields = piece.slice(2, end).split('\r\n');
    return {
      fields: fields.map((line) => line.replace(/^[^:]+/, (name) => name.toLowerCase())),
      body: piece.slice(end + 4),
    };
  });
}
