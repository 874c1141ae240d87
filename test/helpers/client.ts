// A plain HTTP/1.1 client for scenarios: one request, the whole answer. For bytes on the wire there is raw-client.ts.

import { type Agent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';

export interface Call {
  readonly port: number;
  readonly path: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Uint8Array;
  /** PEM of the CA; makes it https to "localhost". */
  readonly ca?: string;
  /** Kept connections; without one each call has its own. */
  readonly agent?: Agent;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: NodeJS.Dict<string>;
  /** Interim answers before it. */
  readonly interim: readonly { readonly status: number; readonly headers: IncomingHttpHeaders }[];
}

/** Sends a request and gives the answer's head; the body is the caller's to read. Rejects when the connection breaks first. */
export function open(call: Call): Promise<{ response: IncomingMessage; interim: Answer['interim'] }> {
  return new Promise((resolve, reject) => {
    const interim: { status: number; headers: IncomingHttpHeaders }[] = [];
    const send = call.ca === undefined ? httpRequest : httpsRequest;
    const request = send({
      host: '127.0.0.1',
      port: call.port,
      path: call.path,
      method: call.method ?? 'GET',
      headers: {
        ...(call.body === undefined ? {} : { 'content-length': String(Buffer.byteLength(call.body)) }),
        ...call.headers,
      },
      agent: call.agent ?? false,
      ...(call.ca === undefined ? {} : { ca: call.ca, servername: 'localhost' }),
    });
    request.on('information', (info) => interim.push({ status: info.statusCode, headers: info.headers }));
    request.on('response', (response) => resolve({ response, interim }));
    request.on('error', reject);
    request.end(call.body);
  });
}

/** Sends a request and gives the whole answer. Rejects when it does not end cleanly. */
export async function call(input: Call): Promise<Answer> {
  const { response, interim } = await open(input);
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  if (!response.complete) throw new Error('the answer was cut');
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(chunks).toString('latin1'),
    trailers: response.trailers,
    interim,
  };
}

/** What Cache-Status says (RFC 9211). */
export const cacheStatus = (answer: Answer): string => String(answer.headers['cache-status']);
