// The admin API: health words for orchestrators, the state of the gateway as JSON, explanations, the orders to reload and to
// purge. It reads
// what control hands it and never reaches into a worker; GET and HEAD never change anything. What stands in DESIGN as
// its shield: a token for every change and beyond loopback for every read, Host and Origin checked against DNS
// rebinding, small limits on everything that a peer can send.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { ListenAddress } from '../config/config.ts';
import { checkPeer, createTokenCheck } from './access.ts';
import { type ExplainQuestion, parseExplainQuestion } from './explain-question.ts';
import { listenOn } from './listen.ts';
import { exposeMetrics, type TrafficFigures } from './metrics.ts';
import { type PurgeOrder, type PurgeOutcome, parsePurgeOrder } from './purge-order.ts';
import type { StatusReport } from './status.ts';
import { parseUpstreamOrder, type UpstreamOrder, type UpstreamOutcome } from './upstream-order.ts';

export interface AdminOptions {
  readonly listen: ListenAddress;
  /** Never ''. */
  readonly token: string;
  readonly status: () => StatusReport;
  readonly traffic: () => TrafficFigures;
  readonly readiness: () => { readonly ready: boolean; readonly reasons: readonly string[] };
  /** Absent where there is no file to read again. `problems` is the report as the CLI would print it. */
  readonly reload?: () => Promise<{ readonly ok: boolean; readonly problems: string }>;
  /** What would become of a request now; a text says what is wrong with the question. */
  readonly explain: (question: ExplainQuestion) => unknown;
  /** An order about upstreams and their instances. */
  readonly upstreams: (order: UpstreamOrder) => Promise<UpstreamOutcome>;
  /** Holds before it resolves. */
  readonly purge: (order: PurgeOrder) => Promise<PurgeOutcome>;
}

export interface AdminServer {
  /** "http://127.0.0.1:9900" with the bound port, or "unix:/run/sluice-admin.sock". */
  readonly url: string;
  /** Ends every connection. */
  close(): Promise<void>;
}

const HEADER_BYTES = 8192;
const BODY_BYTES = 65_536;
const CONNECTIONS = 64;
const HEADER_TIMEOUT_MS = 5000;
const REQUEST_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 10_000;
/** A peer that neither sends nor reads. Longer than any reload takes. */
const IDLE_MS = 60_000;
/** The same while an order about upstreams is carried out: processes that load for long are restarted one by one. */
const ORDER_MS = 3_600_000;

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly problem?: boolean;
  /** Of a body that is text and goes out as it is; else it is JSON. */
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface Resource {
  /** Each takes the request's body. */
  readonly methods: Readonly<Record<string, (body: string) => Answer | Promise<Answer>>>;
}

/** Listens and answers. Rejects with a readable message when the address is taken or not ours. */
export async function createAdmin(options: AdminOptions): Promise<AdminServer> {
  if (options.token === '') throw new Error('the admin API needs a token');
  const isToken = createTokenCheck(options.token);
  let reloading = false;

  const resources: Readonly<Record<string, Resource>> = {
    '/healthz': { methods: { GET: () => ({ status: 200, body: { status: 'alive' } }) } },
    '/readyz': {
      methods: {
        GET() {
          const { ready, reasons } = options.readiness();
          return { status: ready ? 200 : 503, body: { ready, reasons } };
        },
      },
    },
    '/api/status': { methods: { GET: () => ({ status: 200, body: options.status() }) } },
    '/metrics': { methods: { GET: metrics } },
    '/api/reload': { methods: { POST: reload } },
    '/api/explain': { methods: { POST: explain } },
    '/api/upstreams': {
      methods: { GET: () => ({ status: 200, body: { upstreams: options.status().upstreams } }), POST: upstreams },
    },
    '/api/purge': { methods: { POST: purge } },
  };

  async function metrics(): Promise<Answer> {
    const { type, text } = await exposeMetrics(options.status(), options.traffic());
    return { status: 200, body: text, type };
  }

  function explain(body: string): Answer {
    const question = parseExplainQuestion(body);
    if (typeof question === 'string') return problem(400, question);
    const explained = options.explain(question);
    return typeof explained === 'string' ? problem(400, explained) : { status: 200, body: explained };
  }

  async function purge(body: string): Promise<Answer> {
    const parsed = parsePurgeOrder(body);
    if ('problem' in parsed) return problem(400, 'The order to purge is malformed', { detail: parsed.problem });
    const outcome = await options.purge(parsed.order);
    if (!outcome.ok) return problem(400, 'The order to purge names nothing', { detail: outcome.problem });
    const { purged, bytes, tookMs, fleet } = outcome;
    return {
      status: 200,
      body: { purged, bytes, soft: parsed.order.soft, tookMs, ...(fleet === null ? {} : fleet) },
    };
  }

  async function upstreams(body: string): Promise<Answer> {
    const parsed = parseUpstreamOrder(body);
    if ('problem' in parsed) return problem(400, 'The order is malformed', { detail: parsed.problem });
    const outcome = await options.upstreams(parsed.order);
    if (!outcome.ok)
      return problem(outcome.notFound ? 404 : 409, 'The order was not carried out', { detail: outcome.problem });
    return { status: 200, body: { done: outcome.done, tookMs: outcome.tookMs } };
  }

  async function reload(): Promise<Answer> {
    if (options.reload === undefined) return problem(409, 'There is no file to read again');
    if (reloading) return problem(409, 'A reload is already running');
    reloading = true;
    try {
      const { ok, problems } = await options.reload();
      return ok ? { status: 200, body: { ok } } : problem(422, 'The configuration was refused', { problems });
    } finally {
      reloading = false;
    }
  }

  async function answerTo(request: IncomingMessage): Promise<Answer> {
    const verdict = checkPeer(request, options.listen);
    if (!verdict.ok) return problem(403, verdict.why);
    const authorized = isToken(request.headers.authorization);
    if (!verdict.local && !authorized) return unauthorized();

    const path = (request.url ?? '').split('?', 1)[0] ?? '';
    const resource = Object.hasOwn(resources, path) ? resources[path] : undefined;
    if (resource === undefined) return problem(404, 'No such resource');
    const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '');
    const run = Object.hasOwn(resource.methods, method) ? resource.methods[method] : undefined;
    if (run === undefined) return problem(405, 'The method is not allowed here', {}, { allow: allowOf(resource) });
    if (method !== 'GET' && !authorized) return unauthorized();
    const body = await readBody(request);
    if (run === upstreams) request.socket.setTimeout(ORDER_MS);
    if (body === null) return problem(413, 'The request body is too large', {}, { connection: 'close' });
    return run(body);
  }

  const server = createServer({
    maxHeaderSize: HEADER_BYTES,
    headersTimeout: HEADER_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: 1000,
  });
  server.maxConnections = CONNECTIONS;
  server.setTimeout(IDLE_MS);
  server.on('request', (request, response) => {
    answerTo(request)
      // A fault of ours is the peer's 500 and nothing more; its text may name files.
      .catch(() => problem(500, 'The admin API failed', {}, { connection: 'close' }))
      .then((answer) => send(request, response, answer))
      .catch(() => response.destroy());
  });

  const { url, release } = await listenOn(server, options.listen);
  let closing: Promise<void> | null = null;
  return {
    url,
    close() {
      closing ??= closeServer(server).then(release);
      return closing;
    },
  };
}

/** The body as text, or null when it is too large. */
async function readBody(request: IncomingMessage): Promise<string | null> {
  if (Number(request.headers['content-length'] ?? 0) > BODY_BYTES) return null;
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk as Buffer);
    bytes += (chunk as Buffer).length;
    if (bytes > BODY_BYTES) return null;
  }
  return Buffer.concat(chunks).toString('utf8');
}

function send(request: IncomingMessage, response: ServerResponse, answer: Answer): void {
  if (response.destroyed || response.headersSent) return;
  const body = Buffer.from(answer.type === undefined ? `${JSON.stringify(answer.body)}\n` : String(answer.body));
  response.writeHead(answer.status, {
    'content-type': answer.type ?? (answer.problem === true ? 'application/problem+json' : 'application/json'),
    'content-length': body.length,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    ...answer.headers,
    // A body that was not read to its end would be taken for the next request.
    ...(request.complete ? {} : { connection: 'close' }),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

/** RFC 9457. */
function problem(
  status: number,
  title: string,
  members: Readonly<Record<string, unknown>> = {},
  headers: Readonly<Record<string, string>> = {},
): Answer {
  return { status, body: { type: 'about:blank', title, status, ...members }, problem: true, headers };
}

function unauthorized(): Answer {
  return problem(401, 'The admin token is needed', {}, { 'www-authenticate': 'Bearer realm="sluice admin"' });
}

function allowOf(resource: Resource): string {
  const methods = Object.keys(resource.methods);
  return (methods.includes('GET') ? ['GET', 'HEAD', ...methods.filter((name) => name !== 'GET')] : methods).join(', ');
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
