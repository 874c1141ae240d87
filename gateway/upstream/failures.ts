// What an error of undici or of a socket means for an attempt. Pure.

import { DialFailure } from './dial.ts';
import type { FailureWord } from './upstream.ts';

/** What a server sent is no response (RFC 9112). */
export class ResponseFault extends Error {}

/** The connection ended before the response did. */
export class ConnectionEnded extends Error {
  constructor() {
    super('the server closed the connection');
  }
}

/** A request body is shorter or longer than was said. */
export class BodyMismatch extends Error {
  constructor() {
    super('the request body is not as long as was said');
  }
}

/** The connections were ended by us, all of them. */
export class PoolGone extends Error {
  constructor() {
    super('this server left the config');
  }
}

/** How far the attempt had come. */
export interface Progress {
  /** The request was given to a connection. */
  readonly started: boolean;
  /** The final head came. */
  readonly headSeen: boolean;
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

/** The pool was closed or destroyed, before it took the request or under it. */
export function isPoolGone(error: Error): boolean {
  const code = codeOf(error);
  return error instanceof PoolGone || code === 'UND_ERR_DESTROYED' || code === 'UND_ERR_CLOSED';
}

/** The word for an error that undici or the lane reported. */
export function failureWord(error: Error, progress: Progress): FailureWord {
  if (error instanceof DialFailure) return error.word;
  const code = codeOf(error);
  // Another's fault on a connection this request only waited for.
  if (!progress.started) return 'reset';
  if (isPoolGone(error)) return 'aborted';
  if (error instanceof BodyMismatch || code === 'UND_ERR_REQ_CONTENT_LENGTH_MISMATCH') return 'client';
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')) return 'tls';
  if (error instanceof ResponseFault || code === 'UND_ERR_HEADERS_OVERFLOW' || code === 'ERR_ASSERTION')
    return 'malformed';
  // A parse error inside the head carries this code too, when a Content-Length had been read by then.
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') return progress.headSeen ? 'reset' : 'malformed';
  // Its code is undefined in undici 8.12.4 (looked up the wrong way round), so the reason is read from the message. The
  // connection ended inside a chunk or a head; every other parser error is something that is not HTTP.
  if (error.name === 'HTTPParserError') return error.message.includes('Invalid EOF state') ? 'reset' : 'malformed';
  // undici's words for an unasked 100 or 101; RFC 9110 15.2 would let a 100 pass, undici's parser does not.
  if (code === 'UND_ERR_SOCKET' && (error.message === 'bad response' || error.message === 'bad upgrade')) {
    return 'malformed';
  }
  return 'reset';
}
