// The Cache-Status field (RFC 9211) of this gateway: one list member named "sluice". The key is never shown.

/** Why a request went forward (RFC 9211 2.2). */
export type ForwardWord = 'bypass' | 'method' | 'uri-miss' | 'vary-miss' | 'miss' | 'request' | 'stale' | 'partial';

export interface CacheStatusInput {
  /** Answered from the store without going forward. */
  readonly hit: boolean;
  /** Why it went forward; '' = it did not. */
  readonly fwd: ForwardWord | '';
  /** The upstream's status, when it differs from what the client gets (as a 304 that became a 200); null = leave out. */
  readonly fwdStatus: number | null;
  /** Freshness left in seconds, negative = stale; null = leave out. */
  readonly ttlSeconds: number | null;
  /** The answer was stored. */
  readonly stored: boolean;
  /** It waited for another request's fetch. */
  readonly collapsed: boolean;
  /** A word of the reasons table, or any text; '' = none. */
  readonly detail: string;
}

/** The member's text: `sluice; hit; ttl=27`, `sluice; fwd=uri-miss; stored`. */
export function cacheStatus(status: CacheStatusInput): string {
  let text = 'sluice';
  if (status.hit) text += '; hit';
  else if (status.fwd !== '') {
    text += `; fwd=${status.fwd}`;
    if (status.fwdStatus !== null) text += `; fwd-status=${status.fwdStatus}`;
  }
  if (status.ttlSeconds !== null) text += `; ttl=${Math.trunc(status.ttlSeconds)}`;
  // Both describe a forwarded request (RFC 9211 2.5, 2.6).
  if (!status.hit && status.stored) text += '; stored';
  if (!status.hit && status.collapsed) text += '; collapsed';
  if (status.detail !== '') text += `; detail=${detailItem(status.detail)}`;
  return text;
}

/** A structured-field token when it is one, else a string of its printable ASCII (RFC 9651 3.3.3, 3.3.4). */
function detailItem(detail: string): string {
  let token = true;
  for (let i = 0; i < detail.length && token; i++) {
    const c = detail.charCodeAt(i);
    const letter = (c >= 0x61 && c <= 0x7a) || (c >= 0x41 && c <= 0x5a);
    token = letter || (i > 0 && ((c >= 0x30 && c <= 0x39) || c === 0x2d || c === 0x5f || c === 0x2e));
  }
  if (token) return detail;
  let text = '"';
  for (const c of detail) {
    if (c === '"' || c === '\\') text += `\\${c}`;
    else text += c >= ' ' && c <= '~' ? c : '?';
  }
  return `${text}"`;
}
