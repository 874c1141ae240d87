// Answers that the protocols give in the machine's place, because no request came to be or its body failed: the
// same application/problem+json (RFC 9457) that `respond` writes. Never says anything about the inside.

import { STATUS_CODES } from 'node:http';
import { ERRORS, type ErrorWord } from '../tables/errors.ts';

/** Methods in the Allow of a 405 of ours (RFC 9110 15.5.6). */
const ALLOW = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

/** The body of an error answer. */
export function refusalBody(word: ErrorWord): Buffer {
  const { title, status } = ERRORS[word];
  return Buffer.from(`${JSON.stringify({ type: `urn:sluice:error:${word}`, title, status })}\n`);
}

/** Its fields, without framing and Date. */
export function refusalFields(word: ErrorWord): string[] {
  const fields = ['content-type', 'application/problem+json', 'cache-control', 'no-store'];
  if (ERRORS[word].status === 405) fields.push('allow', ALLOW);
  // RFC 6455 4.4: says which version would have been right.
  if (word === 'upgrade-required') fields.push('sec-websocket-version', '13', 'upgrade', 'websocket');
  return fields;
}

/** A whole HTTP/1.1 answer as bytes, for a connection on which no request can be answered. */
export function rawRefusal(word: ErrorWord): Buffer {
  const { status } = ERRORS[word];
  const body = refusalBody(word);
  const fields = refusalFields(word);
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n`;
  for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`;
  head += `date: ${new Date().toUTCString()}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}
