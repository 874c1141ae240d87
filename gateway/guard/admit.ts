// Admission: the one place where a request head is judged and cleaned. What leaves it is trusted by route, key, policy
// and fetch; what it refuses never reaches them. One pass over the fields, no state, no clock. Never changes its input.

import type { LimitsConfig } from '../config/config.ts';
import { type AddressList, contains } from '../http/address.ts';
import { isToken } from '../http/chars.ts';
import type { Fields } from '../http/fields.ts';
import { clientAddress, forwardedScheme } from '../http/forwarded.ts';
import { connectionNames, isCritical } from '../http/hop.ts';
import { authorityOf, type HostPort, isSameAuthority, parseHost } from '../http/host.ts';
import type { RequestHead } from '../http/request.ts';
import { normaliseTarget, type Target } from '../http/target.ts';
import type { ErrorWord } from '../tables/errors.ts';
import { LIMITS } from '../tables/limits.ts';
import { declaredBytes } from './body.ts';
import { KIND, rowOf } from './kinds.ts';
import { acceptsTrailers, codingProblem, isSaneId, viaCount } from './values.ts';

/** A head as a protocol parsed it. */
export interface AdmitHead {
  /** "HTTP/1.0", "HTTP/1.1" or "HTTP/2"; anything else is refused. */
  readonly protocol: string;
  readonly method: string;
  /** HTTP/1: the request target as it came; HTTP/2: `:path`. */
  readonly target: string;
  /** HTTP/2 `:authority`, '' = none; HTTP/1: null. */
  readonly authority: string | null;
  /** Names in lower case. */
  readonly fields: Fields;
  /** Came over TLS. */
  readonly secure: boolean;
  /** Plain address; '' = a unix socket. */
  readonly peer: string;
  /** Port of our listener; 0 = a unix socket. */
  readonly localPort: number;
}

export interface AdmitRules {
  readonly limits: LimitsConfig;
  readonly trusted: AddressList;
  readonly newRequestId: () => string;
}

export interface Admitted {
  readonly ok: true;
  readonly request: RequestHead;
  /** The Forwarded and X-Forwarded-* among the received fields may be believed. */
  readonly peerTrusted: boolean;
  /** OPTIONS *: answered with 204 by the gateway itself (RFC 9110 9.3.7). */
  readonly wantsOptionsStar: boolean;
}

export type Admission = Admitted | { readonly ok: false; readonly error: ErrorWord };

const METHOD_BYTES = 64;

/**
 * Judges a request head. Refuses what two readers could understand differently (RFC 9112 6.3, 9110 5.3, 9113 8.2.2), what is over the
 * limits, and what this gateway does not do. Otherwise returns the cleaned head.
 */
export function admit(head: AdmitHead, rules: AdmitRules): Admission {
  const { fields } = head;
  const { limits } = rules;
  const http2 = head.protocol === 'HTTP/2';
  if (!http2 && head.protocol !== 'HTTP/1.1' && head.protocol !== 'HTTP/1.0')
    return refuse(versionError(head.protocol));
  if (head.target.length > limits.targetBytes) return refuse('target-too-long');
  const methodError = refusedMethod(head.method);
  if (methodError !== null) return refuse(methodError);
  if (fields.length > limits.headers * 2) return refuse('header-too-large');

  const peerTrusted = contains(rules.trusted, head.peer);
  const kept: string[] = [];
  let bytes = 0;
  let seen = 0;
  let hostField: string | null = null;
  let coding: string | null = null;
  let length: number | null = null;
  let named: string | null = null;
  let waits = false;
  let trailers = false;
  let cookieAt = -1;
  let hops = 0;
  let requestId: string | null = null;

  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    const line = name.length + value.length + 2; // "name: value"
    bytes += line + 2;
    if (line > limits.headerLineBytes || bytes > limits.headerBytes) return refuse('header-too-large');
    const row = rowOf(name);
    if (row.bit !== 0) {
      if ((seen & row.bit) !== 0) return refuse(row.twice);
      seen |= row.bit;
    }
    if (http2 && row.connectionSpecific) return refuse('bad-field');
    switch (row.kind) {
      case KIND.plain:
      case KIND.singleton:
        kept.push(name, value);
        break;
      case KIND.dropped:
        break;
      case KIND.cookie:
        // RFC 9113 8.2.3: HTTP/2 may split it; one line is what every reader expects.
        if (cookieAt < 0) cookieAt = kept.push(name, value) - 1;
        else kept[cookieAt] = `${kept[cookieAt]}; ${value}`;
        break;
      case KIND.host:
        hostField = value;
        break;
      case KIND.connection:
        if (value !== 'keep-alive' && value !== 'close') named = named === null ? value : `${named},${value}`;
        break;
      case KIND.contentLength: {
        const declared = declaredBytes(value);
        if (declared === null) return refuse('bad-framing');
        length = declared;
        break;
      }
      case KIND.transferEncoding:
        coding = value;
        break;
      case KIND.expect:
        if (value.toLowerCase() !== '100-continue') return refuse('expectation-failed');
        waits = true;
        break;
      case KIND.te:
        if (acceptsTrailers(value)) trailers = true;
        if (http2 && value.toLowerCase() !== 'trailers') return refuse('bad-field');
        break;
      case KIND.via:
        hops += viaCount(value);
        kept.push(name, value);
        break;
      case KIND.requestId:
        // Two of them: neither is believed.
        requestId = requestId === null ? value : '';
        break;
      default:
        return refuse('bad-field');
    }
  }

  if (coding !== null) {
    // RFC 9112 6.1 and 6.3: both framings, or chunked from a 1.0 client, is how requests are smuggled.
    if (length !== null || head.protocol === 'HTTP/1.0') return refuse('bad-framing');
    const problem = codingProblem(coding);
    if (problem !== null) return refuse(problem);
  }
  if (hops >= LIMITS.viaHops) return refuse('loop');

  const scheme = schemeOf(head, peerTrusted);
  const target = normaliseTarget(head.target);
  if (typeof target === 'string') return refuse('bad-target');
  // Encoding raw bytes like "{" lengthens the path; upstreams see the longer one.
  if (target.path.length + target.query.length > limits.targetBytes) return refuse('target-too-long');
  const targetError = refusedTarget(target, head.method, http2, scheme);
  if (targetError !== null) return refuse(targetError);
  const host = hostOf(head, hostField, target, scheme);
  if (typeof host === 'string') return refuse(host);

  let outgoing = kept;
  if (named !== null) {
    const names = connectionNames(['connection', named]);
    if (names.some(isCritical)) return refuse('bad-field');
    outgoing = withoutNamed(kept, new Set(names));
  }
  if (trailers) outgoing.push('te', 'trailers');
  const id = peerTrusted && requestId !== null && isSaneId(requestId) ? requestId : rules.newRequestId();

  return {
    ok: true,
    request: {
      method: head.method,
      scheme,
      authority: authorityOf(host, scheme),
      host: host.host,
      path: target.path,
      query: target.query,
      fields: outgoing,
      clientAddress: peerTrusted ? clientAddress(head.peer, fields, rules.trusted).client : head.peer,
      requestId: id,
      // RFC 9110 10.1.1: a 1.0 client's expectation is ignored, and so is one without a body.
      accepts100:
        waits && head.protocol !== 'HTTP/1.0' && (http2 ? length !== 0 : coding !== null || (length ?? 0) > 0),
    },
    peerTrusted,
    wantsOptionsStar: target.form === 'asterisk',
  };
}

function refuse(error: ErrorWord): Admission {
  return { ok: false, error };
}

function versionError(protocol: string): ErrorWord {
  // HTTP/0.9 has no status line: an answer it could read does not exist, so it is not a version but a malformed request.
  return protocol === 'HTTP/0.9' ? 'bad-request' : 'version-unsupported';
}

function refusedMethod(method: string): ErrorWord | null {
  if (method === 'GET' || method === 'HEAD' || method === 'POST') return null;
  if (method === 'CONNECT') return 'connect-refused';
  if (method === 'TRACE') return 'method-not-allowed';
  if (method.length > METHOD_BYTES || !isToken(method)) return 'bad-request';
  // Methods are case-sensitive (RFC 9110 9.1), but some servers fold them: "gET" would pass a rule about GET.
  return method === method.toUpperCase() ? null : 'bad-request';
}

function refusedTarget(target: Target, method: string, http2: boolean, scheme: 'http' | 'https'): ErrorWord | null {
  if (target.form === 'origin') return null;
  if (target.form === 'asterisk') return method === 'OPTIONS' ? null : 'bad-target';
  // RFC 9113 8.3.1: `:path` has no absolute-form. RFC 9110 7.4: a scheme that is not the connection's is not ours to serve.
  return http2 || target.scheme !== scheme ? 'bad-target' : null;
}

function schemeOf(head: AdmitHead, peerTrusted: boolean): 'http' | 'https' {
  const told = peerTrusted ? forwardedScheme(head.fields) : null;
  return told ?? (head.secure ? 'https' : 'http');
}

// Every name that the request gives its host must be well formed and the same (RFC 9112 3.2, 9113 8.3.1).
function hostOf(
  head: AdmitHead,
  hostField: string | null,
  target: Target,
  scheme: 'http' | 'https',
): HostPort | ErrorWord {
  let host: HostPort | null = null;
  if (hostField !== null) {
    host = parseHost(hostField);
    if (host === null) return 'bad-host';
  } else if (head.authority === null) return 'bad-host';
  if (head.authority !== null && head.authority !== '') {
    const authority = parseHost(head.authority);
    if (authority === null || (host !== null && !isSameAuthority(host, authority, scheme))) return 'bad-host';
    host = authority;
  }
  if (target.form === 'absolute') {
    const authority = parseHost(target.authority);
    if (authority === null || host === null || !isSameAuthority(host, authority, scheme)) return 'bad-target';
  }
  return host ?? 'bad-host';
}

function withoutNamed(fields: string[], named: ReadonlySet<string>): string[] {
  const kept: string[] = [];
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    if (!named.has(name)) kept.push(name, fields[i + 1] as string);
  }
  return kept;
}
