// The origin behind the gateway: it is told a case's responses, gives the one that each request's Req-Num names, and keeps
// a log of what reached it. It knows nothing about caches and judges nothing.

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import type { RequestConfig } from './cases.ts';
import { type Field, fieldOf, pairsOf, resolveValue } from './fields.ts';
import { formatMessage, type Trace } from './trace.ts';

/** One request of a case as the origin saw it. */
export interface LogEntry {
  readonly number: number;
  readonly method: string;
  readonly requestFields: readonly Field[];
  /** Those that must reach the client unchanged. */
  readonly responseFields: readonly Field[];
}

interface CaseState {
  readonly configs: readonly RequestConfig[];
  readonly log: LogEntry[];
  /** Fields sent last for each Req-Num: a validation compares with the dates before it. */
  readonly sent: Map<number, readonly Field[]>;
}

export interface ConformanceOrigin {
  readonly url: string;
  /** Calls this for every message of the case with that token, until the next call; null ends it. */
  traceTo(trace: Trace | null): void;
  close(): Promise<void>;
}

const BODILESS = new Set([204, 304]);

function reply(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(body);
}

/** A validator of the request before: its config's, also when the cache answered it. A date is known once it was sent. */
function validatorOf(config: RequestConfig, sent: readonly Field[], name: string): string | null {
  const entry = config.response_headers?.find(([one]) => one.toLowerCase() === name);
  return typeof entry?.[1] === 'string' ? entry[1] : fieldOf(sent, name);
}

/** Status of a response that should have been to a conditional request; 999 tells the client that it was not. */
function validatedStatus(
  requestFields: readonly Field[],
  config: RequestConfig,
  sent: readonly Field[],
): [status: number, reason: string] {
  const lastModified = validatorOf(config, sent, 'last-modified');
  const etag = validatorOf(config, sent, 'etag');
  const matches =
    (lastModified !== null && fieldOf(requestFields, 'if-modified-since') === lastModified) ||
    (etag !== null && fieldOf(requestFields, 'if-none-match') === etag);
  return matches ? [304, 'Not Modified'] : [999, '304 Not Generated'];
}

/** The fields of a response as sent, and those of them that are logged. */
function makeFields(
  config: RequestConfig,
  target: string,
  count: number,
  clientCount: string,
  nowMs: number,
): { sent: Field[]; logged: Field[] } {
  const sent: Field[] = [
    ['Server-Base-Url', target],
    ['Server-Request-Count', String(count)],
    ['Client-Request-Count', clientCount],
    ['Server-Now', String(nowMs)],
  ];
  const logged: Field[] = [];
  for (const entry of config.response_headers ?? []) {
    const field: Field = [entry[0], resolveValue(entry, config, nowMs, target)];
    sent.push(field);
    if (entry[2] !== false) logged.push(field);
  }
  if (fieldOf(sent, 'content-type') === null) sent.push(['Content-Type', 'text/plain']);
  return { sent, logged };
}

class CaseOrigin {
  readonly #cases = new Map<string, CaseState>();
  trace: Trace | null = null;

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = request.url ?? '';
    const [kind, token] = target.split('?')[0]?.split('/').slice(1) ?? [];
    if (token === undefined) return reply(response, 404, '');
    if (kind === 'config') {
      const configs = JSON.parse(await text(request)) as RequestConfig[];
      this.#cases.set(token, { configs, log: [], sent: new Map() });
      return reply(response, 201, '');
    }
    const state = this.#cases.get(token);
    if (state === undefined) return reply(response, 404, '');
    if (kind === 'state') return reply(response, 200, JSON.stringify(state.log));
    if (kind === 'test') return this.#test(state, token, target, request, response);
    return reply(response, 404, '');
  }

  async #test(
    state: CaseState,
    token: string,
    target: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const requestFields = pairsOf(request.rawHeaders);
    const clientCount = fieldOf(requestFields, 'req-num') ?? '';
    const number = Number(clientCount);
    const config = state.configs[number - 1];
    const method = request.method ?? '';
    const requestBody = await text(request);
    this.trace?.('origin received', formatMessage(`${method} ${target}`, requestFields, requestBody));
    if (config === undefined) return reply(response, 409, `"no request ${clientCount}"`);

    if (config.response_pause !== undefined) await pause(config.response_pause * 1000);
    for (const [status, fields = []] of config.interim_responses ?? []) {
      this.trace?.('origin sent', formatMessage(`${status}`, fields, ''));
      const lines = [
        `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
        ...fields.map(([name, value]) => `${name}: ${value}`),
      ];
      response.socket?.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
    }

    const isValidation = config.expected_type?.endsWith('validated') ?? false;
    const [status, reason] = isValidation
      ? validatedStatus(requestFields, state.configs[number - 2] ?? {}, state.sent.get(number - 1) ?? [])
      : (config.response_status ?? [200, 'OK']);
    const { sent, logged } = makeFields(config, target, state.log.length + 1, clientCount, Date.now());
    state.log.push({ number, method, requestFields, responseFields: logged });
    state.sent.set(number, sent);
    sent.push(['Request-Numbers', state.log.map((one) => one.number).join(' ')]);

    if (config.disconnect === true) {
      this.trace?.('origin sent', 'nothing: it cut the connection');
      response.socket?.destroy();
      return;
    }
    const body = BODILESS.has(status) ? '' : (config.response_body ?? token);
    const isDelimitedByClose = fieldOf(sent, 'transfer-encoding') !== null;
    // RFC 9112 6.3: a transfer coding that is not chunked at its end lasts until the connection is closed.
    if (isDelimitedByClose) response.shouldKeepAlive = false;
    else if (!BODILESS.has(status) && fieldOf(sent, 'content-length') === null) {
      sent.push(['Content-Length', String(Buffer.byteLength(body))]);
    }
    this.trace?.('origin sent', formatMessage(`${status} ${reason}`, sent, request.method === 'HEAD' ? '' : body));
    response.writeHead(status, reason, sent.flat());
    response.end(BODILESS.has(status) ? undefined : body);
  }
}

/** Starts the origin on a free port of 127.0.0.1. Who starts it closes it. */
export async function startConformanceOrigin(): Promise<ConformanceOrigin> {
  const origin = new CaseOrigin();
  // Longer than a run: an origin that closes idle connections would add races that no case is about.
  const server: Server = createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
    origin.handle(request, response).catch(() => response.socket?.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    traceTo(trace) {
      origin.trace = trace;
    },
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}
