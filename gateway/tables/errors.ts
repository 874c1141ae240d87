// Every error answer a client can get: the word, the status, the title and whether the connection ends with it. The
// word stands in the log and in the problem's `type`; details that could leak addresses never reach the client.

export interface ErrorRow {
  readonly status: number;
  readonly title: string;
  /** The client's HTTP/1.1 connection ends after this answer, because its framing can no longer be trusted. */
  readonly close: boolean;
  /** Who caused it. */
  readonly source: 'client' | 'upstream' | 'config' | 'gateway';
}

const errors = {
  'bad-request': { status: 400, title: 'The request is malformed', close: true, source: 'client' },
  'bad-target': { status: 400, title: 'The request target is malformed', close: true, source: 'client' },
  'bad-host': { status: 400, title: 'The Host is missing or malformed', close: true, source: 'client' },
  'bad-framing': { status: 400, title: 'The message framing is ambiguous', close: true, source: 'client' },
  'bad-field': { status: 400, title: 'A header field is malformed or repeated', close: true, source: 'client' },
  'address-denied': { status: 403, title: 'This address may not come here', close: false, source: 'client' },
  'no-route': { status: 404, title: 'No such resource', close: false, source: 'client' },
  'no-file': { status: 404, title: 'No such resource', close: false, source: 'client' },
  'method-not-allowed': { status: 405, title: 'The method is not allowed here', close: false, source: 'client' },
  'connect-refused': { status: 405, title: 'This gateway does not tunnel', close: true, source: 'client' },
  'request-timeout': { status: 408, title: 'The request took too long to arrive', close: true, source: 'client' },
  'precondition-failed': {
    status: 412,
    title: 'A condition of the request does not hold',
    close: false,
    source: 'client',
  },
  'body-too-large': { status: 413, title: 'The request body is too large', close: true, source: 'client' },
  'target-too-long': { status: 414, title: 'The request target is too long', close: true, source: 'client' },
  'expectation-failed': { status: 417, title: 'The expectation cannot be met', close: true, source: 'client' },
  misdirected: { status: 421, title: 'This host is not served on this connection', close: false, source: 'client' },
  'upgrade-required': { status: 426, title: 'A WebSocket handshake was expected', close: true, source: 'client' },
  'rate-limited': { status: 429, title: 'Too many requests', close: false, source: 'client' },
  'header-too-large': { status: 431, title: 'The header fields are too large', close: true, source: 'client' },
  'only-if-cached': {
    status: 504,
    title: 'Not in the cache, and only-if-cached was asked',
    close: false,
    source: 'client',
  },
  'coding-unknown': { status: 501, title: 'The transfer coding is not supported', close: true, source: 'client' },
  'version-unsupported': { status: 505, title: 'The HTTP version is not supported', close: true, source: 'client' },
  'upstream-unreachable': { status: 502, title: 'The service could not be reached', close: false, source: 'upstream' },
  'upstream-tls': { status: 502, title: 'The service could not be trusted', close: false, source: 'upstream' },
  'upstream-reset': { status: 502, title: 'The service ended the connection', close: false, source: 'upstream' },
  'upstream-malformed': {
    status: 502,
    title: 'The service answered with something that is not HTTP',
    close: false,
    source: 'upstream',
  },
  'upstream-connect-timeout': {
    status: 504,
    title: 'The service did not accept the connection in time',
    close: false,
    source: 'upstream',
  },
  'upstream-timeout': { status: 504, title: 'The service did not answer in time', close: false, source: 'upstream' },
  'no-instance': { status: 503, title: 'No instance of the service is available', close: false, source: 'upstream' },
  'queue-full': {
    status: 503,
    title: 'The service has more requests than it can serve',
    close: false,
    source: 'upstream',
  },
  'queue-timeout': { status: 503, title: 'The service was busy for too long', close: false, source: 'upstream' },
  'breaker-open': { status: 503, title: 'The service is failing and is left alone', close: false, source: 'upstream' },
  'file-unreadable': { status: 503, title: 'The file cannot be read now', close: false, source: 'gateway' },
  overloaded: { status: 503, title: 'The gateway is at its limit', close: true, source: 'gateway' },
  draining: { status: 503, title: 'The gateway is shutting down', close: true, source: 'gateway' },
  loop: { status: 508, title: 'The request came through this gateway too often', close: false, source: 'config' },
  internal: { status: 500, title: 'The gateway failed', close: true, source: 'gateway' },
} as const;

export type ErrorWord = keyof typeof errors;

export const ERRORS: Readonly<Record<ErrorWord, ErrorRow>> = errors;
