// Admission: the one place where a request head is judged and cleaned. What leaves it is trusted by route, key, policy
// and fetch; what it refuses never reaches them. No state, no clock. Never changes its input.

import type { LimitsConfig } from '../config/config.ts';
import { type AddressList, contains } from '../http/address.ts';
import { isToken } from '../http/chars.ts';
import type { Fields } from '../http/fields.ts';
import { clientAddress, forwardedScheme } from '../http/forwarded.ts';
import { authorityOf, type HostPort, isSameAuthority, parseHost } from '../http/host.ts';
import type { RequestHead } from '../http/request.ts';
import { normaliseTarget, type Target } from '../http/target.ts';
import type { ErrorWord } from '../tables/errors.ts';
import { LIMITS } from '../tables/limits.ts';
import { type CleanFields, cleanFields } from './clean.ts';
import { codingProblem, isSaneId } from './values.ts';

/**
 * A head as a protocol parsed it. Field values are free of CR, LF, NUL and other controls: the parser has seen to that (RFC
 * 9110 5.5).
 */
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
 * Judges a request head. Refuses what two readers could understand differently (RFC 9112 6.3, 9110 5.3, 9113 8.2.2),
 * what is over the limits, and what this gateway does not do. Otherwise returns the cleaned head.
 */
export function admit(head: AdmitHead, rules: AdmitRules): Admission {
  const { limits } = rules;
  const http1 = head.protocol === 'HTTP/1.1' || head.protocol === 'HTTP/1.0';
  const http2 = head.protocol === 'HTTP/2';
  if (!http1 && !http2) return refuse(versionError(head.protocol));
  if (head.target.length > limits.targetBytes) return refuse('target-too-long');
  const methodError = refusedMethod(head.method);
  if (methodError !== null) return refuse(methodError);
  const clean = cleanFields(head.fields, http2, limits);
  if (typeof clean === 'string') return refuse(clean);
  const framingError = refusedFraming(clean, head.protocol);
  if (framingError !== null) return refuse(framingError);
  if (clean.hops >= LIMITS.viaHops) return refuse('loop');

  const peerTrusted = contains(rules.trusted, head.peer);
  const scheme = schemeOf(head, peerTrusted);
  const target = normaliseTarget(head.target);
  if (typeof target === 'string') return refuse('bad-target');
  // Escaping raw bytes like "{" lengthens the path, and upstreams see the longer one.
  if (target.path.length + target.query.length > limits.targetBytes) return refuse('target-too-long');
  const targetError = refusedTarget(target, head.method, http2, scheme);
  if (targetError !== null) return refuse(targetError);
  const host = hostOf(head.authority, clean.host, target, scheme);
  if (typeof host === 'string') return refuse(host);

  return {
    ok: true,
    request: {
      method: head.method,
      scheme,
      authority: authorityOf(host, scheme),
      host: host.host,
      path: target.path,
      query: target.query,
      fields: clean.fields,
      clientAddress: peerTrusted ? clientAddress(head.peer, head.fields, rules.trusted).client : head.peer,
      requestId: peerTrusted && isSaneId(clean.requestId) ? clean.requestId : rules.newRequestId(),
      explainToken: clean.explainToken,
      accepts100: clean.waits && mayWait(head.protocol, clean),
    },
    peerTrusted,
    wantsOptionsStar: target.form === 'asterisk',
  };
}

function refuse(error: ErrorWord): Admission {
  return { ok: false, error };
}

function versionError(protocol: string): ErrorWord {
  // HTTP/0.9 has no status line: an answer it could read does not exist, so it is not a version but a malformed
  // request.
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

function refusedFraming(clean: CleanFields, protocol: string): ErrorWord | null {
  if (clean.coding === null) return null;
  // RFC 9112 6.1 and 6.3: both framings at once, or chunked from a 1.0 client, is how requests are smuggled.
  if (clean.length !== null || protocol === 'HTTP/1.0') return 'bad-framing';
  return codingProblem(clean.coding);
}

// RFC 9110 10.1.1: a 1.0 client's expectation is ignored, and so is one without a body.
function mayWait(protocol: string, clean: CleanFields): boolean {
  if (protocol === 'HTTP/1.0') return false;
  if (protocol === 'HTTP/2') return clean.length !== 0;
  return clean.coding !== null || (clean.length ?? 0) > 0;
}

function refusedTarget(target: Target, method: string, http2: boolean, scheme: 'http' | 'https'): ErrorWord | null {
  if (target.form === 'origin') return null;
  if (target.form === 'asterisk') return method === 'OPTIONS' ? null : 'bad-target';
  // RFC 9113 8.3.1: `:path` has no absolute-form. RFC 9110 7.4: a scheme that is not the connection's is not ours to
  // serve.
  return http2 || target.scheme !== scheme ? 'bad-target' : null;
}

function schemeOf(head: AdmitHead, peerTrusted: boolean): 'http' | 'https' {
  const told = peerTrusted ? forwardedScheme(head.fields) : null;
  return told ?? (head.secure ? 'https' : 'http');
}

// Every name that the request gives its host must be well formed and the same (RFC 9112 3.2, 9113 8.3.1).
function hostOf(
  authority: string | null,
  hostField: string | null,
  target: Target,
  scheme: 'http' | 'https',
): HostPort | ErrorWord {
  const fromField = hostField === null ? null : parseHost(hostField);
  if (hostField !== null && fromField === null) return 'bad-host';
  // HTTP/1 has no authority and must have Host. HTTP/1.0 could do without; there is nothing to route by then.
  if (authority === null || authority === '') {
    if (fromField === null) return 'bad-host';
    if (target.form !== 'absolute') return fromField;
    const fromTarget = parseHost(target.authority);
    return fromTarget !== null && isSameAuthority(fromField, fromTarget, scheme) ? fromField : 'bad-target';
  }
  const named = parseHost(authority);
  if (named === null || (fromField !== null && !isSameAuthority(fromField, named, scheme))) return 'bad-host';
  return named;
}
