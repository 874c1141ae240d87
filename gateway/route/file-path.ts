// Which part of a request's path names the file of a `static` route. Pure; never throws.

import type { RouteConfig } from '../config/config.ts';
import type { RequestHead } from '../http/request.ts';
import { upstreamPath } from './rewrite.ts';

/**
 * The path of the file inside the route's folder: begins with "/", escaped and normalised as a request's path is, without
 * the query. It is what strip_prefix or rewrite make of the path where one of them stands; else what the prefix of the match
 * left ("{rest}"); for a match of one exact path, that whole path.
 */
export function filePath(route: RouteConfig, request: RequestHead): string {
  if (route.rewrite !== null || route.stripPrefix !== null) {
    const { path } = upstreamPath(route, request);
    const mark = path.indexOf('?');
    return mark < 0 ? path : path.slice(0, mark);
  }
  const { match } = route;
  // The path of a prefix ends in "/", which stays in front of what it left.
  return match.prefix && request.path.startsWith(match.path) ? request.path.slice(match.path.length - 1) : request.path;
}

/**
 * Where a request that names a folder without its "/" is sent: the same path with it, and its query. Always on the same host:
 * the path is normalised, so it begins with exactly one "/" and holds no backslash (CWE-601).
 */
export function folderLocation(request: RequestHead): string {
  return `${request.path}/${request.query}`;
}
