// What every attack of this folder stands on: the real program, a scripted upstream that says what it was asked, bytes
// thrown at the program, and a victim on a connection of its own who must get exactly the own answer.

import assert from 'node:assert/strict';
import type { ConnectionOptions } from 'node:tls';
import { call } from '../helpers/client.ts';
import { type Gateway, type GatewayOptions, startGateway } from '../helpers/gateway.ts';
import {
  type Origin,
  type OriginAnswer,
  type OriginOptions,
  type OriginRequest,
  startOrigin,
} from '../helpers/origin.ts';
import { RawClient, type RawResponse } from '../helpers/raw-client.ts';

/** A whole request that must never arrive anywhere. */
export const SMUGGLED = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n';

/** How long a connection may stay open that should have been closed. */
const PATIENCE_MS = 5000;

/** What the upstream heard, as its answer tells. */
export interface Heard {
  /** The upstream's own number of the request, from 1. */
  readonly n: number;
  readonly method: string;
  readonly target: string;
  readonly body: string;
}

/** Answers with what was heard, once the whole request is there; its number stands in X-N as well. */
export const tell: OriginAnswer = async (request, reply, n) => {
  const body = (await request.body()).toString('latin1');
  const { method, target } = request;
  const text = Buffer.from(JSON.stringify({ n, method, target, body } satisfies Heard));
  const head = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-n: ${n}\r\ncontent-length: ${text.length}\r\n\r\n`;
  await reply.write(Buffer.concat([Buffer.from(head), method === 'HEAD' ? Buffer.alloc(0) : text]));
};

export interface Field {
  readonly gateway: Gateway;
  readonly origin: Origin;
  /** Bytes that the upstream received over all connections. */
  readonly upstreamBytes: number;
  /** Requests that the upstream received to their last byte. */
  readonly whole: readonly OriginRequest[];
  /** Somebody else's request over a connection of its own gets its own answer. */
  victim(): Promise<void>;
  /** Stops both; the gateway must have lived all along without a fault of its own. */
  stop(): Promise<void>;
}

let victims = 0;

/** The gateway in front of one upstream that tells; `config` gets the upstream's address. */
export async function startField(
  config: (url: string) => string,
  options: Omit<GatewayOptions, 'config'> = {},
  originOptions: OriginOptions = {},
): Promise<Field> {
  let upstreamBytes = 0;
  const whole: OriginRequest[] = [];
  const origin = await startOrigin(tell, {
    ...originOptions,
    onConnection(socket, connection) {
      socket.on('data', (chunk: Buffer) => {
        upstreamBytes += chunk.length;
      });
      originOptions.onConnection?.(socket, connection);
    },
  });
  const note = (request: OriginRequest): void => {
    request.body().then(
      () => whole.push(request),
      () => {},
    );
  };
  // The list of the origin grows; every request is looked at once.
  const push = (origin.requests as OriginRequest[]).push;
  (origin.requests as OriginRequest[]).push = function pushed(...items: OriginRequest[]): number {
    for (const item of items) note(item);
    return push.apply(this, items);
  };
  const gateway = await startGateway({ ...options, config: config(origin.url) }).catch(async (error: unknown) => {
    await origin.close();
    throw error;
  });
  return {
    gateway,
    origin,
    whole,
    get upstreamBytes() {
      return upstreamBytes;
    },
    async victim() {
      const path = `/victim/${++victims}`;
      const answer = await call({ port: gateway.http, path });
      assert.equal(answer.status, 200);
      assert.equal((JSON.parse(answer.body) as Heard).target, path, 'the victim got another answer');
    },
    async stop() {
      assert.deepEqual(faults(gateway), []);
      assert.equal(await gateway.stop(), 0);
      await origin.close();
    },
  };
}

/** Lines of the log that tell of a fault of the gateway itself. */
export function faults(gateway: Gateway): string[] {
  return gateway.log
    .filter((line) => line.level === 'error' || /\bat .+\.ts:\d+/.test(line.msg))
    .map((line) => line.msg);
}

/** Sends the pieces one after the other, a turn of the loop apart, and gives all that came until the gateway closed. */
export async function strike(
  port: number,
  pieces: string | readonly (string | (() => Promise<unknown>))[],
  tls?: ConnectionOptions,
): Promise<string> {
  const client = await RawClient.connect({ port }, tls);
  try {
    for (const piece of typeof pieces === 'string' ? [pieces] : pieces) {
      // A gateway that closed early is what many of these want to see.
      if (typeof piece === 'string') await client.send(piece).catch(() => {});
      else await piece();
    }
    return await within(client.readAll(), 'the connection stays open');
  } finally {
    client.destroy();
  }
}

/** The status of each whole answer in the bytes of a connection, none of which was to HEAD; throws when bytes are left over. */
export function statusesOf(text: string): number[] {
  const statuses: number[] = [];
  let rest = text;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    assert.notEqual(end, -1, `half an answer: ${JSON.stringify(rest.slice(0, 200))}`);
    const head = rest.slice(0, end);
    const status = Number(
      /^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1] ?? assert.fail(`no status line: ${JSON.stringify(head)}`),
    );
    statuses.push(status);
    const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
    assert.ok(length !== undefined || status < 200 || status === 204, `an answer without a length: ${head}`);
    rest = rest.slice(end + 4 + Number(length ?? 0));
  }
  return statuses;
}

/** Rejects when a promise takes longer than a gateway with small limits may. */
export async function within<T>(promise: Promise<T>, what: string, ms: number = PATIENCE_MS): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} after ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** The one answer to these bytes over a connection of its own, which may stay open. */
export async function ask(port: number, bytes: string, tls?: ConnectionOptions): Promise<RawResponse> {
  const client = await RawClient.connect({ port }, tls);
  try {
    await client.send(bytes);
    return await within(client.readResponse({ head: bytes.startsWith('HEAD ') }), 'no answer');
  } finally {
    client.destroy();
  }
}

/** What the upstream heard, out of its answer. */
export function heard(response: { readonly status: number; readonly body: string }): Heard {
  assert.equal(response.status, 200, response.body);
  return JSON.parse(response.body) as Heard;
}
