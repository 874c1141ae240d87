// Routes and requests for the tests of this room, with every value a test does not care about.

import type { RouteConfig, RouteMatch } from '../../../gateway/config/config.ts';
import type { RequestHead } from '../../../gateway/http/request.ts';

const NO_CHANGES = { set: [], add: [], remove: [] };

/** "host/path/*" as in gateway.yaml. */
export function matchOf(text: string, more: Partial<RouteMatch> = {}): RouteMatch {
  const slash = text.indexOf('/');
  const prefix = text.endsWith('*');
  return {
    host: slash === 0 ? null : text.slice(0, slash),
    path: prefix ? text.slice(slash, -1) : text.slice(slash),
    prefix,
    methods: [],
    headers: {},
    query: {},
    ...more,
  };
}

export function routeOf(text: string, more: Partial<RouteMatch> = {}, rest: Partial<RouteConfig> = {}): RouteConfig {
  return {
    name: text,
    match: matchOf(text, more),
    action: { kind: 'upstream', split: [{ upstream: 'api', weight: 1 }] },
    stripPrefix: null,
    rewrite: null,
    requestHeaders: NO_CHANGES,
    responseHeaders: NO_CHANGES,
    cache: {
      mode: 'auto',
      ttlMs: null,
      defaultTtlMs: null,
      heuristic: 0,
      negative: [],
      whileRevalidateMs: null,
      ifErrorMs: 0,
      tags: [],
      tagHeaders: [],
      vary: [],
      ignoreClientControl: false,
      methods: ['GET', 'HEAD'],
      privateHeaders: [],
      key: { queryIgnore: [], querySort: false, headers: [], cookies: [] },
      maxObjectBytes: 1,
    },
    compress: null,
    timeouts: {},
    limits: { bodyBytes: 1 },
    mirror: null,
    rateLimit: null,
    ip: null,
    priority: 'normal',
    websocketIdleMs: null,
    at: '',
    ...rest,
  };
}

/** "host/path?query" */
export function requestOf(text: string, more: Partial<RequestHead> = {}): RequestHead {
  const slash = text.indexOf('/');
  const mark = text.indexOf('?') < 0 ? text.length : text.indexOf('?');
  const host = text.slice(0, slash) === '' ? 'h' : text.slice(0, slash);
  return {
    method: 'GET',
    scheme: 'http',
    authority: host,
    host,
    path: text.slice(slash, mark),
    query: text.slice(mark),
    fields: [],
    clientAddress: '127.0.0.1',
    requestId: 'id',
    explainToken: '',
    accepts100: false,
    ...more,
  };
}
