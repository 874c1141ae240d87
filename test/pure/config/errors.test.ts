// One row per mistake: what is written, and what the operator hears about it. Positions are checked where they matter.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { problemsOf, withBase } from '../../helpers/config.ts';

interface Row {
  readonly text: string;
  readonly code: string;
  /** "line:column" */
  readonly at?: string;
  readonly message: RegExp;
  readonly hint?: RegExp;
  readonly help?: RegExp;
}

const routes = (route: string): string => withBase(`routes:\n  - ${route}`);
const upstream = (value: string): string => withBase(`upstreams:\n  api: ${value}`);

const ROWS: Readonly<Record<string, Row>> = {
  'an unknown key on top': {
    text: withBase('limit: { body: 1MiB }'),
    code: 'unknown-key',
    at: '1:1',
    message: /^unknown key "limit"$/,
    hint: /"limits"/,
  },
  'an unknown key without a value': {
    text: withBase('limit:'),
    code: 'unknown-key',
    at: '1:1',
    message: /unknown key "limit"/,
  },
  'an unknown key in a section': {
    text: withBase('limits: { hedaer: 1KiB }'),
    code: 'unknown-key',
    at: '1:11',
    message: /unknown key "hedaer" in limits/,
    hint: /"header"/,
  },
  'an unknown key in a route': {
    text: routes('{ match: "/*", upstreem: api }'),
    code: 'unknown-key',
    at: '2:20',
    message: /"upstreem" in route "\/\*"/,
    hint: /"upstream"/,
  },
  'an unknown key in the long form of a union': {
    text: routes('{ match: "/*", upstream: api, cache: { tttl: 3s } }'),
    code: 'unknown-key',
    message: /"tttl" in cache of route/,
    hint: /"ttl"/,
  },
  'a key of another place': {
    text: withBase('methods: [GET]'),
    code: 'unknown-key',
    message: /"methods"/,
    help: /belongs to routes\[\]\.match/,
  },
  'a key that does not work yet': { text: withBase('tracing: "off"'), code: 'unknown-key', message: /"tracing"/ },
  'a duplicate key': {
    text: withBase('workers: 1\nworkers: 2'),
    code: 'duplicate-key',
    at: '2:1',
    message: /"workers" stands twice \(first on line 1\)/,
  },
  'a missing version': {
    text: 'upstreams: {}\nroutes: [{ match: "/*", respond: 404 }]',
    code: 'missing-key',
    message: /^version is missing/,
  },
  'another version': { text: withBase('version: 2'), code: 'bad-value', message: /version must be 1/ },
  'no routes': { text: 'version: 1', code: 'missing-key', message: /routes is missing/ },
  'routes without a match': {
    text: routes('{ upstream: api }'),
    code: 'missing-key',
    at: '2:7',
    message: /match of route number 1 is missing/,
  },

  'a duration without a unit': {
    text: withBase('limits: { idle: 60 }'),
    code: 'bad-duration',
    at: '1:17',
    message: /limits\.idle must be a duration/,
    hint: /60s/,
  },
  'a duration in words': {
    text: withBase('limits: { idle: 60 seconds }'),
    code: 'bad-duration',
    message: /duration/,
    hint: /60s/,
  },
  'a duration in parsecs': {
    text: withBase('limits: { idle: 10 parsecs }'),
    code: 'bad-duration',
    message: /duration/,
  },
  'a negative duration': { text: withBase('limits: { idle: -1s }'), code: 'bad-duration', message: /duration/ },
  'a duration beyond what a timer keeps': {
    text: withBase('limits: { idle: 30d }'),
    code: 'bad-duration',
    message: /from 1ms to 24d/,
  },
  'a size in decimal units': {
    text: withBase('limits: { body: 10MB }'),
    code: 'bad-size',
    message: /size/,
    hint: /10MiB/,
  },
  'a size without a unit': {
    text: withBase('limits: { body: 1000 }'),
    code: 'bad-size',
    message: /unit is missing/,
    hint: /1000B/,
  },
  'a size that is too small': { text: withBase('cache: { memory: 1KiB }'), code: 'bad-size', message: /from 4MiB to/ },
  'a percentage without its sign': {
    text: withBase('log: { access: { sample: 50 } }'),
    code: 'bad-percentage',
    message: /percentage/,
    hint: /50%/,
  },
  'a number in octal clothes': {
    text: withBase('limits: { headers: 0100 }'),
    code: 'bad-number',
    at: '1:20',
    message: /0100 is the number 100 to YAML/,
    hint: /write 100, or quote/,
  },
  'a hexadecimal number': {
    text: withBase('limits: { headers: 0x64 }'),
    code: 'bad-number',
    message: /is the number 100/,
  },
  infinity: { text: withBase('limits: { headers: 1e999 }'), code: 'bad-number', message: /Infinity/, hint: /quote it/ },
  'text for a number': {
    text: withBase('limits: { headers: many }'),
    code: 'wrong-type',
    message: /whole number from 10 to 2000 \(got "many"\)/,
  },
  'a number out of range': { text: withBase('limits: { headers: 3 }'), code: 'bad-number', message: /from 10 to 2000/ },
  'a word for true': {
    text: withBase('listen: { http2: on }'),
    code: 'wrong-type',
    message: /true or false/,
    hint: /true/,
  },
  'an unknown word': {
    text: withBase('log: { level: warning }'),
    code: 'bad-value',
    message: /debug, info, warn or error \(got "warning"\)/,
    hint: /"warn"/,
  },
  'an unquoted version of TLS': {
    text: withBase('tls: { min_version: 1.2 }'),
    code: 'bad-value',
    message: /1\.2 or 1\.3/,
    hint: /quote it: "1\.2"/,
  },
  'a list where a map belongs': {
    text: withBase('limits: [1]'),
    code: 'wrong-type',
    message: /limits must be a map \(got a list\)/,
  },

  'a port that does not exist': { text: withBase('listen: { http: ":70000" }'), code: 'bad-address', message: /port/ },
  'a listener with a scheme': {
    text: withBase('listen: { http: "http://127.0.0.1:80" }'),
    code: 'bad-address',
    message: /without a scheme/,
    hint: /"127\.0\.0\.1:80"/,
  },
  'a listener without a port': {
    text: withBase('listen: { http: 127.0.0.1 }'),
    code: 'bad-address',
    message: /port is missing/,
  },
  'a bare port': { text: withBase('listen: { http: 8080 }'), code: 'bad-address', message: /address/, hint: /":8080"/ },
  'a listener that is no address': {
    text: withBase('listen: { http: ["1.2.3.400:80"] }'),
    code: 'bad-address',
    message: /address/,
  },
  'no listener at all': { text: withBase('listen: { http: [] }'), code: 'conflict', message: /names no address/ },
  'two listeners on one address': {
    text: withBase('listen: { http: [":8080", "127.0.0.1:8080"] }'),
    code: 'duplicate-name',
    message: /listen\.http uses 127\.0\.0\.1:8080, which listen\.http has taken/,
  },
  'the admin API on the address of a listener': {
    text: withBase('admin: { listen: "127.0.0.1:8080" }'),
    code: 'duplicate-name',
    message: /admin\.listen uses/,
  },
  'a redirect to nowhere': {
    text: withBase('listen: { redirect: true }'),
    code: 'conflict',
    message: /needs an address in listen\.https/,
  },
  'TLS off with an https listener': {
    text: withBase('listen: { https: ":8443" }\ntls: { mode: off }'),
    code: 'conflict',
    message: /tls\.mode is off/,
  },
  'files without certificates': {
    text: withBase('listen: { https: ":8443" }\ntls: { mode: files }'),
    code: 'conflict',
    message: /certificates is empty/,
  },
  'a proxy that is no address': {
    text: withBase('trusted_proxies: [10.0.0.0/40]'),
    code: 'bad-address',
    message: /up to 32/,
  },

  'a header line larger than all lines': {
    text: withBase('limits: { header_line: 16KiB }'),
    code: 'conflict',
    message: /header_line must not be larger/,
  },
  'an object larger than the cache': {
    text: withBase('cache: { memory: 4MiB }'),
    code: 'conflict',
    message: /max_object must not be larger/,
  },

  'a server with a path': {
    text: upstream('http://h:1/x'),
    code: 'bad-address',
    message: /must not have a path; use rewrite/,
    hint: /"http:\/\/h:1"/,
  },
  'a server with a password': { text: upstream('http://u:p@h:1'), code: 'bad-address', message: /credentials/ },
  'a server without a scheme': {
    text: upstream('"h:1"'),
    code: 'bad-address',
    message: /server/,
    hint: /"http:\/\/h:1"/,
  },
  'a server of another scheme': { text: upstream('ftp://h'), code: 'bad-address', message: /server/ },
  'a server twice': { text: upstream('["http://h:1", "http://h:1"]'), code: 'duplicate-name', message: /twice/ },
  'a socket path that is too long': {
    text: upstream(`"unix:/${'x'.repeat(110)}"`),
    code: 'bad-address',
    message: /at most 107 bytes/,
  },
  'neither servers nor command': {
    text: upstream('{ balance: p2c }'),
    code: 'missing-key',
    message: /neither servers nor command nor resolve/,
  },
  'servers and command': {
    text: upstream('{ servers: ["http://h"], command: "x {port}" }'),
    code: 'conflict',
    message: /beside servers/,
  },
  'an unknown balance': {
    text: upstream('{ servers: ["http://h"], balance: least_conn }'),
    code: 'wrong-type',
    message: /p2c, round_robin, least_requests, random, \{ hash: \} or \{ sticky: \}/,
  },
  'a health path without a slash': {
    text: upstream('{ servers: ["http://h"], health: healthz }'),
    code: 'bad-value',
    message: /path such as \/healthz/,
  },
  'a retry on a status that says something about the request': {
    text: upstream('{ servers: ["http://h"], retry: { on: [404] } }'),
    code: 'bad-value',
    message: /connect, reset, timeout, or one of the statuses 429, 500, 502, 503, 504/,
  },
  'a rate without a time': {
    text: routes('{ match: "/*", upstream: api, rate_limit: 100 }'),
    code: 'bad-rate',
    message: /rate such as 100\/s/,
  },
  'a rate in words': {
    text: routes('{ match: "/*", upstream: api, rate_limit: 10/minute }'),
    code: 'bad-rate',
    message: /rate such as 100\/s/,
  },
  'an address that is none': {
    text: routes('{ match: "/*", upstream: api, ip: { allow: [10.0.0] } }'),
    code: 'bad-address',
    message: /not an IPv4 or IPv6 address/,
  },
  'a hedge at no quantile': {
    text: upstream('{ servers: ["http://h"], hedge: { at: 95% } }'),
    code: 'bad-value',
    message: /quantile from p50 to p99.9/,
  },
  'a concurrency of none': {
    text: upstream('{ servers: ["http://h"], concurrency: 0 }'),
    code: 'bad-value',
    message: /off, auto, or a whole number/,
  },
  'a name and servers': {
    text: upstream('{ servers: ["http://h"], resolve: "http://api.internal" }'),
    code: 'conflict',
    message: /cannot stand beside servers/,
  },
  'an address where a name is asked for': {
    text: upstream('{ resolve: "http://10.0.0.1:80" }'),
    code: 'bad-address',
    message: /is an address and not a name/,
  },
  'a name server by name': {
    text: upstream('{ resolve: { dns: "http://api.internal", nameservers: [dns.internal] } }'),
    code: 'bad-address',
    message: /address of a name server/,
  },
  'a hash of nothing known': {
    text: upstream('{ servers: ["http://h"], balance: { hash: "query:x" } }'),
    code: 'bad-value',
    message: /must be ip, path, "header:NAME" or "cookie:NAME"/,
  },
  'a secret that can be guessed': {
    text: upstream('{ servers: ["http://h"], balance: { sticky: { secret: short } } }'),
    code: 'bad-value',
    message: /at least 16 characters/,
  },
  'a health check without anything to ask': {
    text: upstream('{ servers: ["http://h"], health: { interval: 1s } }'),
    code: 'missing-key',
    message: /path: \/healthz, or tcp: true/,
  },
  'a health check by connection with a path': {
    text: upstream('{ servers: ["http://h"], health: { path: /h, tcp: true } }'),
    code: 'conflict',
    message: /asked of nobody where tcp is true/,
  },
  'a health check by connection with a text': {
    text: upstream('{ servers: ["http://h"], health: { tcp: true, body: ok } }'),
    code: 'conflict',
    message: /nowhere where tcp is true/,
  },
  'an ejection without a unit': {
    text: upstream('{ servers: ["http://h"], eject: { for: 10 } }'),
    code: 'bad-duration',
    message: /must be/,
  },
  'a probe longer than its interval': {
    text: upstream('{ servers: ["http://h"], health: { path: /h, interval: 1s, timeout: 2s } }'),
    code: 'conflict',
    message: /timeout longer than its interval/,
  },
  'a range of statuses backwards': {
    text: upstream('{ servers: ["http://h"], health: { path: /h, expect: 399-200 } }'),
    code: 'bad-value',
    message: /status/,
    hint: /200-399/,
  },
  'HTTP/2 by ALPN without TLS': {
    text: upstream('{ servers: ["http://h"], http2: true }'),
    code: 'conflict',
    message: /needs https/,
    hint: /h2c/,
  },
  'h2c over TLS': {
    text: upstream('{ servers: ["https://h"], http2: h2c }'),
    code: 'conflict',
    message: /never used over https/,
  },
  'a client certificate without its key': {
    text: upstream('{ servers: ["https://h"], tls: { cert: c.pem } }'),
    code: 'conflict',
    message: /cert and key together/,
  },
  'a command that needs a shell': {
    text: upstream('{ command: "cd app && serve {port}" }'),
    code: 'bad-command',
    message: /shell/,
  },
  'a command that is not told where to listen': {
    text: upstream('{ command: "serve" }'),
    code: 'bad-command',
    message: /\{socket\}.*\{port\}/,
  },
  'a command with an open quote': {
    text: upstream(`{ command: "serve 'x {port}" }`),
    code: 'bad-command',
    message: /single quote/,
  },
  'an environment variable with a bad name': {
    text: upstream('{ command: "serve {port}", env: { "A=B": 1 } }'),
    code: 'bad-value',
    message: /name of an environment variable/,
  },
  'an upstream with a bad name': {
    text: withBase('upstreams:\n  api: http://h\n  "a b": http://i'),
    code: 'bad-value',
    at: '3:3',
    message: /letters, digits/,
  },
  'the admin API as a server': {
    text: upstream('"http://localhost:9900"'),
    code: 'admin-exposed',
    at: '2:8',
    message: /is the admin API/,
  },
  'the gateway itself as a server': {
    text: upstream('"http://127.0.0.1:8080"'),
    code: 'loop',
    message: /this gateway itself listens/,
  },

  'a route to nowhere': {
    text: routes('{ match: "/x" }'),
    code: 'no-action',
    at: '2:5',
    message: /needs one of upstream, split, static, redirect, respond/,
  },
  'a route to two places': {
    text: routes('{ match: "/x", upstream: api, respond: 404 }'),
    code: 'ambiguous-action',
    at: '2:35',
    message: /respond of route "\/x" cannot stand beside upstream/,
  },
  'an unknown upstream': {
    text: routes('{ match: "/x", upstream: apo }'),
    code: 'unknown-upstream',
    at: '2:30',
    message: /"apo", which does not exist/,
    hint: /"api"/,
  },
  'an unknown upstream in a split': {
    text: routes('{ match: "/x", split: { api: 9, apo: 1 } }'),
    code: 'unknown-upstream',
    at: '2:37',
    message: /"apo"/,
    hint: /"api"/,
  },
  'an unknown upstream as a mirror': {
    text: routes('{ match: "/x", upstream: api, mirror: apo }'),
    code: 'unknown-upstream',
    at: '2:43',
    message: /"apo"/,
    hint: /"api"/,
  },
  'an unknown upstream in the long form of a mirror': {
    text: routes('{ match: "/x", upstream: api, mirror: { upstream: apo, share: 1% } }'),
    code: 'unknown-upstream',
    message: /"apo"/,
    hint: /"api"/,
  },
  'a mirror with a share that is no percentage': {
    text: routes('{ match: "/x", upstream: api, mirror: { upstream: api, share: 3 } }'),
    code: 'bad-percentage',
    message: /mirror\.share/,
  },
  'a server_timing that is neither': {
    text: withBase('server_timing: sometimes'),
    code: 'wrong-type',
    message: /true|false/,
  },
  'an upstream named like a method of Object': {
    text: routes('{ match: "/x", upstream: constructor }'),
    code: 'unknown-upstream',
    message: /"constructor"/,
  },
  'a split without weight': {
    text: routes('{ match: "/x", split: { api: 0 } }'),
    code: 'conflict',
    message: /no weight above 0/,
  },
  'a star in the middle': {
    text: routes('{ match: "/a/*/b", upstream: api }'),
    code: 'bad-match',
    message: /"\*" only at the end/,
    hint: /"\/a\/\*"/,
  },
  'a star without a slash': {
    text: routes('{ match: "/v1*", upstream: api }'),
    code: 'bad-match',
    message: /only at the end of its path, after/,
    hint: /"\/v1\/\*"/,
  },
  'a match without a path': {
    text: routes('{ match: api.example.com, upstream: api }'),
    code: 'bad-match',
    message: /host and a path/,
    hint: /"api\.example\.com\/\*"/,
  },
  'a match with a scheme': {
    text: routes('{ match: "https://api.example.com/*", upstream: api }'),
    code: 'bad-match',
    message: /without a scheme/,
  },
  'a match with a port': {
    text: routes('{ match: "api.example.com:8080/*", upstream: api }'),
    code: 'bad-match',
    message: /port in its host/,
  },
  'a match with a query': {
    text: routes('{ match: "/x?a=b", upstream: api }'),
    code: 'bad-match',
    message: /match: \{ query: \}/,
  },
  'a match that no request can have': {
    text: routes('{ match: "/a/../b", upstream: api }'),
    code: 'bad-match',
    message: /"\.\."/,
  },
  'an encoded slash': { text: routes('{ match: "/a%2Fb", upstream: api }'), code: 'bad-match', message: /%2F/ },
  'an empty segment': {
    text: routes('{ match: "/a//b", upstream: api }'),
    code: 'bad-match',
    message: /empty segment/,
    hint: /\/a\/b/,
  },
  'a space in a path': {
    text: routes('{ match: "/a b", upstream: api }'),
    code: 'bad-match',
    message: /percent-encoded/,
    hint: /\/a%20b/,
  },
  'a star inside a host': {
    text: routes('{ match: "api.*.com/*", upstream: api }'),
    code: 'bad-match',
    message: /"\*" stands only in front/,
  },
  CONNECT: {
    text: routes('{ match: { methods: [CONNECT] }, upstream: api }'),
    code: 'bad-match',
    message: /does not tunnel/,
  },
  'a prefix that does not lead the path': {
    text: routes('{ match: "/v1/*", upstream: api, strip_prefix: /v2 }'),
    code: 'conflict',
    message: /not the start of every path/,
  },
  'a prefix that ends inside a segment': {
    text: routes('{ match: "/v10/*", upstream: api, strip_prefix: /v1 }'),
    code: 'conflict',
    message: /not the start/,
  },
  'strip_prefix and rewrite': {
    text: routes('{ match: "/v1/*", upstream: api, strip_prefix: /v1, rewrite: /x }'),
    code: 'conflict',
    message: /beside strip_prefix/,
  },
  'an unknown placeholder': {
    text: routes('{ match: "/v1/*", upstream: api, rewrite: "/x/{tail}" }'),
    code: 'bad-value',
    message: /not \{tail\}/,
  },
  'a rest that is not there': {
    text: routes('{ match: "/v1", upstream: api, rewrite: "/x/{rest}" }'),
    code: 'conflict',
    message: /one exact path/,
  },
  'a redirect to another site by the path': {
    text: routes('{ match: "/*", redirect: "https://a.example{query}" }'),
    code: 'bad-value',
    message: /address/,
  },
  'a redirect with a status that is none': {
    text: routes('{ match: "/*", redirect: { to: /x, status: 200 } }'),
    code: 'bad-value',
    message: /301, 302, 303, 307 or 308/,
  },
  'a body where there can be none': {
    text: routes('{ match: "/*", respond: { status: 204, body: x } }'),
    code: 'conflict',
    message: /204 has no body/,
  },
  'a header that frames the message': {
    text: routes('{ match: "/*", upstream: api, headers: { request: { set: { Content-Length: 5 } } } }'),
    code: 'bad-header',
    at: '2:64',
    message: /set by the gateway itself/,
  },
  'a hop-by-hop header': {
    text: routes('{ match: "/*", upstream: api, headers: { response: { remove: [Connection] } } }'),
    code: 'bad-header',
    message: /set by the gateway itself/,
  },
  'the Host as a header': {
    text: routes('{ match: "/*", upstream: api, headers: { request: { set: { host: x } } } }'),
    code: 'bad-header',
    message: /use host: on the upstream/,
  },
  'a header name with a space': {
    text: routes('{ match: "/*", upstream: api, headers: { request: { set: { "x y": z } } } }'),
    code: 'bad-header',
    message: /name of a header field/,
  },
  'a header value with a line end': {
    text: routes('{ match: "/*", upstream: api, headers: { request: { set: { x-y: "a\\r\\nb: c" } } } }'),
    code: 'bad-header',
    message: /line end/,
  },
  'a header value beyond latin1': {
    text: routes('{ match: "/*", upstream: api, headers: { request: { set: { x-y: "→" } } } }'),
    code: 'bad-header',
    message: /latin1/,
  },
  'a cache rule that is none': {
    text: routes('{ match: "/*", upstream: api, cache: 30x }'),
    code: 'bad-duration',
    message: /off, auto, a duration such as 30s, or a map/,
  },
  'a cache rule without a unit': {
    text: routes('{ match: "/*", upstream: api, cache: 30 }'),
    code: 'bad-duration',
    message: /cache of route/,
    hint: /30s/,
  },
  'caching of DELETE': {
    text: routes('{ match: "/*", upstream: api, cache: { methods: [DELETE] } }'),
    code: 'bad-value',
    message: /GET, HEAD, POST or QUERY/,
  },
  'freshness of a success as negative': {
    text: routes('{ match: "/*", upstream: api, cache: { negative: { 200: 10s } } }'),
    code: 'bad-value',
    message: /statuses from 300 to 599/,
  },
  'a tag with a space': {
    text: routes('{ match: "/*", upstream: api, cache: { tags: ["a b"] } }'),
    code: 'bad-value',
    message: /a tag such as catalog/,
  },
  'a wrong word for stale_while_revalidate': {
    text: withBase('cache: { stale_while_revalidate: always }'),
    code: 'bad-duration',
    message: /auto, off or a duration/,
  },
  'two routes of one name': {
    text: withBase('routes:\n  - { name: a, match: "/a", upstream: api }\n  - { name: a, match: "/b", upstream: api }'),
    code: 'duplicate-name',
    at: '3:13',
    message: /that of route number 1/,
  },

  'an unquoted host with a star': {
    text: routes('{ match: *.example.com/*, upstream: api }'),
    code: 'quote-it',
    at: '2:14',
    message: /\*\.example\.com\/\* begins with "\*"/,
    hint: /quote it: "\*\.example\.com\/\*"/,
  },
  'a lonely star': { text: routes('{ match: *, upstream: api }'), code: 'quote-it', message: /begins with "\*"/ },
  'a reference in a flow map': {
    text: withBase('admin: { token: ${TOKEN:-} }'),
    code: 'quote-it',
    at: '1:17',
    message: /\$\{TOKEN:-\} must be quoted here/,
    hint: /quote it: "\$\{TOKEN:-\}"/,
  },
  'a reference in a flow list': {
    text: withBase('trusted_proxies: [${NET}]'),
    code: 'quote-it',
    at: '1:19',
    message: /must be quoted here/,
  },
  'a reference with a colon': {
    text: withBase('admin:\n  token: ${TOKEN:?set it: now}'),
    code: 'quote-it',
    at: '2:10',
    message: /": " ends a value/,
    hint: /quote it/,
  },
  'a reference with a comment': {
    text: withBase('admin:\n  token: ${TOKEN:?set it #now}'),
    code: 'bad-variable',
    message: /not closed/,
    hint: /quote/,
  },
  'an unquoted IPv6 address': {
    text: withBase('listen:\n  http: [::1]:8080'),
    code: 'quote-it',
    message: /\[::1\]:8080 begins with "\["/,
    hint: /"\[::1\]:8080"/,
  },
  'a colon inside a value': {
    text: withBase('log:\n  level: info: yes'),
    code: 'quote-it',
    message: /": " stands within/,
  },
  'a value that begins with @': {
    text: withBase('log: { level: @info }'),
    code: 'quote-it',
    message: /cannot begin with @/,
  },
  'a tab as indentation': { text: 'version: 1\nlog:\n\tlevel: info\n', code: 'yaml-syntax', at: '3:1', message: /tab/ },
  'an open quote': { text: 'version: "1\n', code: 'yaml-syntax', message: /closing "quote/ },
  'two documents': { text: 'version: 1\n---\nversion: 1\n', code: 'yaml-syntax', message: /several YAML documents/ },
  'an unknown tag': {
    text: withBase('log: { level: !!js/function info }'),
    code: 'unknown-tag',
    at: '1:15',
    message: /!!js\/function/,
  },
  'another version of YAML': { text: `%YAML 1.1\n---\n${withBase('')}`, code: 'yaml-syntax', message: /YAML 1\.2/ },
  'an alias without its anchor': { text: withBase('log: *common'), code: 'unknown-alias', message: /&common/ },
  'an alias inside itself': {
    text: withBase('limits: &a { header: *a }'),
    code: 'alias-cycle',
    message: /inside what it refers to/,
  },
  'a merge key': { text: withBase('log: { <<: { level: info } }'), code: 'unknown-key', message: /merge keys/ },
  __proto__: { text: withBase('__proto__: { admin: true }'), code: 'forbidden-key', at: '1:1', message: /__proto__/ },
  '__proto__ deep inside': {
    text: routes('{ match: "/*", upstream: api, headers: { request: { set: { __proto__: x } } } }'),
    code: 'forbidden-key',
    message: /__proto__/,
  },
  'a key that is a list': { text: withBase('? [a, b]\n: 1'), code: 'wrong-type', message: /key must be plain text/ },
  'an empty file': { text: '# nothing\n', code: 'wrong-type', message: /empty/ },
  'a file that is one word': { text: 'gateway', code: 'wrong-type', message: /must be a map/ },

  'a variable that is not set': {
    text: withBase('admin: { token: "${TOKEN}" }'),
    code: 'unset-variable',
    at: '1:18',
    message: /TOKEN is not set/,
    hint: /\$\{TOKEN:-default\}/,
  },
  'a variable with its own message': {
    text: withBase('admin: { token: "x${TOKEN:?ask the operator}" }'),
    code: 'unset-variable',
    at: '1:19',
    message: /TOKEN is not set: ask the operator/,
  },
  'a reference that cannot be read': {
    text: withBase('admin: { token: "${TO KEN}" }'),
    code: 'bad-variable',
    message: /\$\{NAME\}/,
  },
  'a secret file that is missing': {
    text: withBase('admin: { token: "${file:/run/none}" }'),
    code: 'missing-file',
    message: /\/run\/none.*does not exist/,
  },
};

for (const [name, row] of Object.entries(ROWS)) {
  test(`an error: ${name}`, async () => {
    const problems = await problemsOf(row.text);
    const found = problems.find((problem) => problem.code === row.code && row.message.test(problem.message));
    assert.ok(found, `got instead: ${JSON.stringify(problems.map(({ code, message }) => [code, message]))}`);
    assert.equal(found.severity, 'error');
    if (row.at !== undefined) assert.equal(`${found.line}:${found.column}`, row.at);
    if (row.hint !== undefined) assert.match(found.hint, row.hint);
    if (row.help !== undefined) assert.match(found.help, row.help);
    // One mistake is told once: every other problem would have to be one of its own.
    assert.deepEqual(
      problems.filter((problem) => problem !== found && problem.severity === 'error').map(({ message }) => message),
      [],
    );
  });
}

const WARNINGS: Readonly<Record<string, Row>> = {
  'an unused upstream': {
    text: withBase('upstreams:\n  api: http://h\n  old: http://i'),
    code: 'unused-upstream',
    at: '3:3',
    message: /"old" is used by no route/,
  },
  'TLS that is not verified': {
    text: upstream('{ servers: ["https://h"], tls: { verify: false } }'),
    code: 'unverified-tls',
    message: /verify of upstream "api"/,
  },
  'a secret in the file': {
    text: routes('{ match: "/*", upstream: api, headers: { request: { set: { x-api-key: abc } } } }'),
    code: 'plain-secret',
    at: '2:64',
    message: /looks like a secret/,
  },
  'a token in the file': { text: withBase('admin: { token: abc }'), code: 'plain-secret', message: /admin\.token/ },
  'trust in everybody': {
    text: withBase('trusted_proxies: [0.0.0.0/0]'),
    code: 'trusts-everyone',
    message: /0\.0\.0\.0\/0/,
  },
  'a cache on a redirect': {
    text: routes('{ match: "/*", redirect: /x, cache: 30s }'),
    code: 'no-effect',
    message: /sends nothing upstream/,
  },
  'a mirror on a fixed answer': {
    text: routes('{ match: "/*", respond: 404, mirror: api }'),
    code: 'no-effect',
    message: /sends nothing upstream/,
  },
  'a mirror beside files': {
    text: routes('{ match: "/*", static: ./public, mirror: api }'),
    code: 'no-effect',
    message: /serves files/,
  },
  'a field ignored that is not private': {
    text: routes('{ match: "/*", upstream: api, cache: { ignore: [x-lang] } }'),
    code: 'no-effect',
    message: /x-lang/,
  },
  'certificates without https': {
    text: withBase('tls: { certificates: [{ cert: c.pem, key: k.pem }] }'),
    code: 'no-effect',
    message: /listen\.https has no address/,
  },
};

for (const [name, row] of Object.entries(WARNINGS)) {
  test(`a warning: ${name}`, async () => {
    const found = (await problemsOf(row.text)).find((problem) => problem.code === row.code);
    assert.ok(found);
    assert.equal(found.severity, 'warning');
    assert.match(found.message, row.message);
    if (row.at !== undefined) assert.equal(`${found.line}:${found.column}`, row.at);
  });
}

test('all errors come at once, in the order of the file, each once', async () => {
  const problems = await problemsOf(
    [
      'version: 1',
      'limits: { idle: 60, hedaer: 1KiB }',
      'upstreams: { api: { servers: ["h:1"], helth: /h } }',
      'routes:',
      '  - { match: "/v1*", upstream: apo }',
      '  - match: *.example.com/*',
      '    upstream: api',
      'listen: { http: ${PORT} }',
    ].join('\n'),
  );
  assert.deepEqual(
    problems.map(({ code, line }) => [line, code]),
    [
      [2, 'bad-duration'],
      [2, 'unknown-key'],
      [3, 'bad-address'],
      [3, 'unknown-key'],
      [5, 'bad-match'],
      [5, 'unknown-upstream'],
      [6, 'quote-it'],
      [8, 'quote-it'],
    ],
  );
});

test('the value of a variable is never shown', async () => {
  const problems = await problemsOf(withBase('limits: { idle: "${SECRET}" }\nlisten: { http: "${SECRET}:80" }'), {
    env: { SECRET: 'hunter2 hunter2' },
  });
  assert.equal(problems.length, 2);
  assert.ok(!JSON.stringify(problems).includes('hunter2'));
});

test('secrets that stand in the file are not shown with the lines of others', async () => {
  const text = withBase(
    [
      'admin: { token: hunter2, lisen: "off" }',
      'routes:',
      '  - match: "/*"',
      '    upstream: api',
      '    headers: { request: { set: { Authorization: "Bearer hunter2", x-api-key: hunter2→, te: x } } }',
    ].join('\n'),
  );
  const problems = await problemsOf(text);
  assert.deepEqual(
    problems.filter(({ severity }) => severity === 'error').map(({ code, line, column }) => [code, line, column]),
    [
      ['unknown-key', 1, 26],
      ['bad-header', 5, 78],
      ['bad-header', 5, 88],
    ],
  );
  assert.ok(!JSON.stringify(problems).includes('hunter2'));
});
