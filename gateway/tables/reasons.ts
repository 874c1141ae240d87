// Every "no" of the program is one of these words. The same word stands in Cache-Status detail, in the log and in the
// metrics. Adding one here is all it takes; `satisfies` keeps the table honest.

interface ReasonRow {
  readonly text: string;
  readonly section: string;
}

/** Why a response was not stored, or a stored one not served. The text is for operators; the section is the rule's home. */
const reasons = {
  // Not stored
  method: { text: 'the method is not cacheable on this route', section: 'RFC 9111 3' },
  'route-off': { text: 'the route says cache: off', section: 'gateway.yaml' },
  status: { text: 'this status is not stored', section: 'RFC 9111 3' },
  partial: { text: 'a partial response (206) that no Range asked for', section: 'RFC 9110 15.3.7' },
  'content-range': {
    text: 'Content-Range is missing, malformed, or less than the content that came with it',
    section: 'RFC 9110 14.4',
  },
  'unknown-total': { text: 'Content-Range does not say how long the whole is', section: 'RFC 9110 14.4' },
  'several-parts': { text: 'several parts in one answer (multipart/byteranges)', section: 'RFC 9110 15.3.7.2' },
  'more-stored': { text: 'more is stored than this part, and the two cannot be joined', section: 'RFC 9111 3.4' },
  'no-store': { text: 'no-store in the response or the request', section: 'RFC 9111 5.2.2.5' },
  private: { text: 'private in the response', section: 'RFC 9111 5.2.2.7' },
  authorization: {
    text: 'the request carried Authorization and the response does not allow sharing',
    section: 'RFC 9111 3.5',
  },
  'set-cookie': { text: 'the response sets a cookie', section: 'RFC 9111 7.3' },
  'vary-star': { text: 'Vary: * matches no later request', section: 'RFC 9111 4.1' },
  'vary-private': { text: 'the response varies on a field that carries identity', section: 'DESIGN 5.6' },
  'private-fields': { text: 'freshness is ours and the request carried a private field', section: 'DESIGN 5.6' },
  'no-freshness': {
    text: 'no explicit freshness, no validator to keep it by, and no default for the route',
    section: 'RFC 9111 4.2',
  },
  'expired-on-arrival': { text: 'it was stale when it arrived and cannot be validated', section: 'RFC 9111 4.2' },
  'invalid-freshness': {
    text: 'conflicting or malformed freshness; the most conservative reading wins',
    section: 'RFC 9111 4.2.1',
  },
  'too-large': { text: 'the body is larger than cache.max_object', section: 'gateway.yaml' },
  'too-many-variants': { text: 'the URL has as many variants as cache.variants allows', section: 'gateway.yaml' },
  'kept-good': { text: 'an error does not take the place of a good stored response', section: 'gateway.yaml' },
  'too-many-tags': { text: 'its tags are more than it can be purged by', section: 'limits' },
  'key-too-long': { text: 'the cache key is longer than 4 KiB', section: 'limits' },
  incomplete: { text: 'the body did not arrive whole', section: 'RFC 9111 3.3' },
  'store-full': { text: 'the store had no room', section: 'gateway.yaml' },
  invalidated: { text: 'it was invalidated while it was fetched', section: 'RFC 9111 4.4' },
  transform: { text: 'a field the store cannot keep', section: 'RFC 9111 3.1' },
  'request-body': { text: 'the request has a body, which is part of no key', section: 'RFC 9110 9.3.1' },
  'body-too-large-for-key': {
    text: 'the request has a body of more than 64 KiB, too long to be part of a key',
    section: 'limits',
  },
  'keyed-bodies-full': { text: 'as many request bodies are held for their keys as may be', section: 'limits' },
  // Stored, but not served as it is
  stale: { text: 'the stored response is stale', section: 'RFC 9111 4.2' },
  'stale-while-revalidate': {
    text: 'stale, served while it is fetched anew in the background',
    section: 'RFC 5861 3',
  },
  'stale-if-error': { text: 'stale, served because the upstream failed', section: 'RFC 5861 4' },
  'early-refresh': { text: 'fresh, and fetched anew before its end since it is read much', section: 'gateway.yaml' },
  'no-cache': { text: 'no-cache asks for validation first', section: 'RFC 9111 5.2.2.4' },
  'request-no-cache': { text: 'the request asks for validation (no-cache)', section: 'RFC 9111 5.2.1.4' },
  'request-max-age': { text: 'older than the request accepts (max-age)', section: 'RFC 9111 5.2.1.1' },
  'request-min-fresh': { text: 'not fresh for as long as the request asks (min-fresh)', section: 'RFC 9111 5.2.1.3' },
  'request-no-store': { text: 'the request forbids storing (no-store)', section: 'RFC 9111 5.2.1.5' },
  precondition: {
    text: "If-Match and If-Unmodified-Since, and any condition of a POST, are the origin's to judge",
    section: 'RFC 9111 4.3.2',
  },
  range: { text: 'a range request that the stored response cannot answer', section: 'RFC 9110 14.2' },
  redis: { text: 'it came from Redis, where another gateway or this one had stored it', section: 'gateway.yaml' },
  'hit-for-miss': { text: 'this key proved uncacheable a moment ago', section: 'gateway.yaml' },
  'lock-timeout': { text: 'another request was fetching this for longer than cache.lock', section: 'gateway.yaml' },
  'lent-out': { text: 'as much of the store as it may is on its way to slow clients', section: 'limits' },
  'store-fault': { text: 'the stored bytes were not readable', section: 'DESIGN 5.7' },
  upgrade: { text: 'an upgraded connection is not cached', section: 'RFC 9110 7.8' },
} as const;

export type Reason = keyof typeof reasons;

export const REASONS: Readonly<Record<Reason, ReasonRow>> = reasons;

/** All words, in an order that holds for one run of the program. */
export const REASON_WORDS: readonly Reason[] = Object.keys(reasons) as Reason[];
