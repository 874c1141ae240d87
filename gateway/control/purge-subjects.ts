// An operator's order to purge in the terms of the purge log: URLs normalised as those of requests are, and reduced by the key
// rules of every route that they can take; a URL without a scheme is meant under both. Pure; says what it does not understand.

import type { PurgeOrder } from '../admin/purge-order.ts';
import type { RouteConfig } from '../config/config.ts';
import { authorityOf, type HostPort, parseHost } from '../http/host.ts';
import { normaliseTarget, type Target, type TargetProblem } from '../http/target.ts';
import { cacheKey } from '../policy/key.ts';
import type { RouteTable } from '../route/compile.ts';
import { possibleRoutes, possibleRoutesAnywhere } from '../route/possible.ts';
import type { PurgeSubject } from '../store/purges.ts';
import { LIMITS } from '../tables/limits.ts';

export type PurgeSubjects = { readonly subjects: readonly PurgeSubject[] } | { readonly problem: string };

type Scheme = 'http' | 'https';

/** A URL as an operator names it. */
interface Named {
  /** Both when none was written; none for a path alone. */
  readonly schemes: readonly Scheme[];
  readonly host: HostPort | null;
  readonly path: string;
  readonly query: string;
}

const PROBLEMS: Readonly<Record<TargetProblem, string>> = {
  form: 'is neither a URL nor a path',
  scheme: 'must begin with http:// or https://',
  byte: 'has a space, a control character or a "\\" in it',
  fragment: 'has a "#" in it, and what stands behind that is in no request',
  escape: 'has a "%" without two hexadecimal digits behind it',
  separator: 'has %2F, %5C or %00 in its path, which no request may have',
  parameter: 'has a segment that begins with ".;" or "..;", which no request may have',
};

/** What the order names, or what is wrong with it. */
export function purgeSubjects(order: PurgeOrder, routes: RouteTable<RouteConfig>): PurgeSubjects {
  const host = order.host === '' ? '' : hostText(order.host);
  if (host === null) return { problem: `host ${quoted(order.host)} is not a host name` };
  if (order.kind === 'all') return { subjects: [{ kind: 'all', host }] };
  const subjects: PurgeSubject[] = [];
  for (const name of order.names) {
    const found =
      order.kind === 'tag'
        ? tagSubjects(name, host)
        : order.kind === 'url'
          ? urlSubjects(name, host, routes)
          : prefixSubjects(name, host);
    if ('problem' in found) return { problem: `${order.kind} ${quoted(name)} ${found.problem}` };
    subjects.push(...found.subjects);
  }
  return { subjects };
}

function tagSubjects(tag: string, host: string): PurgeSubjects {
  // On the wire a tag is bytes, and these are kept as latin1: what it reads there if it was written as UTF-8.
  const bytes = Buffer.from(tag, 'utf8');
  if (bytes.length > LIMITS.tagBytes) return { problem: `is longer than ${LIMITS.tagBytes} bytes` };
  const texts = new Set([bytes.toString('latin1')]);
  if (/^[\0-\xff]*$/.test(tag)) texts.add(tag);
  return { subjects: [...texts].map((text) => ({ kind: 'tag', text, host })) };
}

function urlSubjects(text: string, host: string, routes: RouteTable<RouteConfig>): PurgeSubjects {
  const named = parse(text);
  if (typeof named === 'string') return { problem: named };
  if (named.host === null) {
    const found = possibleRoutesAnywhere(routes, named.path, named.query);
    const origin = 'http://host';
    const targets = keyedUrls('http', 'host', named, found).map((url) => url.slice(origin.length));
    return { subjects: targets.map((target) => ({ kind: 'target', text: target, host })) };
  }
  if (host !== '') return { problem: 'names a host itself: leave out the other' };
  const found = possibleRoutes(routes, named.host.host, named.path, named.query);
  const urls = named.schemes.flatMap((scheme) =>
    keyedUrls(scheme, authorityOf(named.host as HostPort, scheme), named, found),
  );
  return { subjects: urls.map((url) => ({ kind: 'url', text: url })) };
}

/** The URL as the keys of these routes begin with it, and as it is: an older configuration may have kept it so. */
function keyedUrls(scheme: Scheme, authority: string, named: Named, routes: readonly RouteConfig[]): readonly string[] {
  const { path, query } = named;
  const urls = new Set([`${scheme}://${authority}${path}${query}`]);
  for (const route of routes) {
    const key = cacheKey({ scheme, authority, path, query, method: 'GET', fields: [] }, route.cache);
    if (key !== null) urls.add(key.split('\n', 1)[0] as string);
  }
  return [...urls];
}

function prefixSubjects(text: string, host: string): PurgeSubjects {
  const named = parse(text);
  if (typeof named === 'string') return { problem: named };
  // What it is the beginning of has no such segments any more, and "/a/.." would be "/".
  if (/\/(\.|%2e){1,2}(\/|$)/i.test(text.split('?', 1)[0] as string))
    return { problem: 'has "." or ".." as a segment' };
  const target = named.path + named.query;
  if (named.host === null) return { subjects: [{ kind: 'path', text: target, host }] };
  if (host !== '') return { problem: 'names a host itself: leave out the other' };
  const origins = named.schemes.map((scheme) => `${scheme}://${authorityOf(named.host as HostPort, scheme)}`);
  return { subjects: origins.map((origin) => ({ kind: 'prefix', text: origin + target })) };
}

/** A URL, a URL without its scheme, or a path; else what is wrong with it. */
function parse(text: string): Named | string {
  // As browsers send them.
  const ascii = text.toWellFormed().replace(/[^\0-\x7f]+/g, encodeURIComponent);
  const isPath = ascii.startsWith('/');
  const hasScheme = ascii.includes('://') && !/[/?#]/.test(ascii.slice(0, ascii.indexOf('://')));
  const target: Target | TargetProblem = normaliseTarget(isPath || hasScheme ? ascii : `http://${ascii}`);
  if (typeof target === 'string') return PROBLEMS[target];
  const { path, query } = target;
  if (isPath) return { schemes: [], host: null, path, query };
  const host = parseHost(target.authority);
  if (host === null) return 'has no host that a request could name';
  return { schemes: hasScheme ? [target.scheme as Scheme] : ['http', 'https'], host, path, query };
}

/** A host as the purge log takes it: the port only if one was written. */
function hostText(text: string): string | null {
  const host = parseHost(text);
  if (host === null) return null;
  return host.port === null ? host.host : `${host.host}:${host.port}`;
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text);
}
