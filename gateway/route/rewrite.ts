// What becomes of the path behind a route: strip_prefix and rewrite towards upstreams, and the Location of a redirect.
// Nothing a client sends can leave the place the template gives it. Pure; never throws.

import type { RouteConfig } from '../config/config.ts';
import type { RequestHead } from '../http/request.ts';
import { isQuery, normalisePath } from '../http/target.ts';

const PLACEHOLDER = /\{(rest|path|query)\}/g;

// What a placeholder may begin and end with, as far as segments go.
const FILLERS = ['x', '', '/', 'x/', '/x'];

/**
 * The path and query for the upstream, and what was removed from the front of the path for X-Forwarded-Prefix (null =
 * nothing). strip_prefix removes whole segments only. rewrite puts "{rest}" (what the match's prefix left), "{path}"
 * (the whole path) and, behind its "?", "{query}" into the template; the query is kept unless the template has one. The
 * result is normalised again.
 */
export function upstreamPath(route: RouteConfig, request: RequestHead): { path: string; prefix: string | null } {
  if (route.rewrite !== null) return rewritten(route, route.rewrite, request);
  const { path, query } = request;
  if (route.stripPrefix === null) return { path: path + query, prefix: null };
  const prefix = route.stripPrefix.endsWith('/') ? route.stripPrefix.slice(0, -1) : route.stripPrefix;
  if (prefix === '' || !path.startsWith(prefix)) return { path: path + query, prefix: null };
  if (path.length === prefix.length) return { path: `/${query}`, prefix };
  if (path.charCodeAt(prefix.length) !== 0x2f) return { path: path + query, prefix: null };
  return { path: path.slice(prefix.length) + query, prefix };
}

/** What is wrong with a rewrite template, or null. A template without a problem gives a good path for every request. */
export function rewriteProblem(template: string): string | null {
  if (!template.startsWith('/')) return 'must start with "/"';
  const mark = template.indexOf('?');
  const path = mark < 0 ? template : template.slice(0, mark);
  const query = mark < 0 ? '' : template.slice(mark);
  if (path.includes('{query}')) return 'must have "{query}" only behind its "?"';
  const unknown = /\{[^}]*\}?/g;
  for (const [word] of template.matchAll(unknown)) {
    if (!/^\{(rest|path|query)\}$/.test(word)) return `knows {rest}, {path} and {query}, not ${word}`;
  }
  // "." and ".." right before a placeholder would make segments that the template does not show.
  if (/\/\.{1,2}\{/.test(path)) return 'must not have "." or ".." in front of a placeholder';
  for (const filler of FILLERS) {
    const sample = path.replace(PLACEHOLDER, filler);
    if (/\/\.\.?(\/|$)/.test(sample)) return 'must not have "." or ".." as a segment';
    if (normalisePath(sample) === null) {
      return 'must be a path: two hexadecimal digits behind "%", no %2F, %5C, %00, "#", spaces or control characters';
    }
  }
  if (!isQuery(query.replace(PLACEHOLDER, 'x'))) return 'must have printable ASCII without "#" in its query';
  return null;
}

function rewritten(
  route: RouteConfig,
  template: string,
  request: RequestHead,
): { path: string; prefix: string | null } {
  const { match } = route;
  const rest = match.prefix && request.path.startsWith(match.path) ? request.path.slice(match.path.length) : '';
  const mark = template.indexOf('?');
  const pathPart = mark < 0 ? template : template.slice(0, mark);
  const filled = pathPart.replace(PLACEHOLDER, (_, word: string) => {
    if (word === 'rest') return rest;
    // A query in a path could bring "/../" along.
    return word === 'path' ? request.path : '';
  });
  // A template that rewriteProblem() passes never fails here; any other one must not reach a foreign path.
  const path = normalisePath(filled) ?? '/';
  let query = request.query;
  if (mark >= 0) {
    query = template.slice(mark).replace(PLACEHOLDER, (_, word: string) => {
      if (word === 'query') return request.query.slice(1);
      return parameterText(word === 'rest' ? rest : request.path);
    });
  }
  const removed = request.path.length - path.length;
  const prefix = removed > 0 && request.path.endsWith(path) ? request.path.slice(0, removed) : null;
  return { path: path + query, prefix };
}

// Text of a path inside a query: what would end or split the parameter is escaped.
function parameterText(text: string): string {
  return text.replace(/[&=+;]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/**
 * The Location of a redirect: "{target}" is path and query, "{path}", "{query}" (with its "?", or ''), "{host}". Null
 * when the result would hold a byte that does not belong into a URI, or would lead to a host that the template does not
 * name.
 */
export function redirectLocation(to: string, request: RequestHead): string | null {
  const location = to.replace(/\{(target|path|query|host)\}/g, (_, word: string) => {
    if (word === 'host') return request.host;
    if (word === 'path') return request.path;
    return word === 'query' ? request.query : request.path + request.query;
  });
  if (!/^[\x21-\x7e]+$/.test(location)) return null;
  return authorityText(location) === authorityText(to).replaceAll('{host}', request.host) ? location : null;
}

// What a browser takes for the authority: after "scheme:" any run of slashes and backslashes (WHATWG URL), before the
// next one, "?" or "#". For a path it is ''. In a template it ends where a placeholder of the request's begins.
function authorityText(location: string): string {
  const start = /^(?:[A-Za-z][A-Za-z0-9+.-]*:[/\\]*|[/\\]{2,})/.exec(location);
  if (start === null) return '';
  const rest = location.slice(start[0].length);
  const end = rest.search(/[/\\?#]|\{(?:target|path|query)\}/);
  return `${start[0]}${end < 0 ? rest : rest.slice(0, end)}`;
}
