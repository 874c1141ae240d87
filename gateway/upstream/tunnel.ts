// A WebSocket tunnel: the handshake and the piping are http-proxy-3's (this is the only file that knows it), over
// HTTP/1.1. What it leaves open is done here: the handshake's proof, exact fields and path, timers, byte counts, an
// answer other than 101, a goodbye that both peers understand, and an end for every socket. It reads no messages.

import { createHash } from 'node:crypto';
import { type ClientRequest, IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import type { ProxyServer, ServerOptions } from 'http-proxy-3';
import type { ServerAddress, UpstreamConfig } from '../config/config.ts';
import { type Fields, fieldOf, lowerFields, removeField } from '../http/fields.ts';
import { connectionNames, stripHopByHop } from '../http/hop.ts';
import { LIMITS } from '../tables/limits.ts';
import { ClientSide } from './client-side.ts';
import { bareHost, tlsName, tlsOptions } from './dial.ts';
import { headBytes, LINGER_MS, relayAnswer } from './relay.ts';
import type { FailureWord, Tunnel, TunnelEnd, TunnelRequest } from './upstream.ts';

export interface TunnelInput extends TunnelRequest {
  readonly address: ServerAddress;
  readonly tls: UpstreamConfig['tls'];
}

/** RFC 6455 1.3. */
const WEBSOCKET_GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

const running = new WeakMap<object, RunningTunnel>();

let loading: Promise<ProxyServer> | null = null;

/** Loaded with the first WebSocket: most workers see none. */
function library(): Promise<ProxyServer> {
  loading ??= import('http-proxy-3').then(
    ({ createProxyServer }) => {
      const proxy = createProxyServer({});
      // Errors reach the callback of ws(); an error event without a listener would end the worker.
      proxy.on('error', () => {});
      proxy.on('proxyReqWs', (request, _asked, client) => running.get(client)?.begin(request));
      return proxy;
    },
    (error: unknown) => {
      // No file descriptor was free, perhaps: the next one tries again.
      loading = null;
      throw error;
    },
  );
  return loading;
}

/** Opens a tunnel to one server. Nothing is written to the client's socket before the upstream answered. */
export function openTunnel(input: TunnelInput): Tunnel {
  return new RunningTunnel(input);
}

class RunningTunnel implements Tunnel {
  readonly closed: Promise<TunnelEnd>;
  readonly #input: TunnelInput;
  readonly #client: ClientSide;
  #phase: 'connecting' | 'asked' | 'open' | 'relaying' | 'over' = 'connecting';
  #resolve: (end: TunnelEnd) => void = () => {};
  #request: ClientRequest | null = null;
  #upstream: Socket | null = null;
  /** The TCP connection stands; with TLS the handshake may still fail. */
  #reached = false;
  #timer: ReturnType<typeof setTimeout> | null = null;
  /** Cuts a tunnel whose goodbye is never due. */
  #closeTimer: ReturnType<typeof setTimeout> | null = null;
  /** told: the client has our close frame. left: both sides are ended, and may take a moment to close. */
  #goodbye: 'none' | 'told' | 'left' = 'none';
  #status = 0;
  #failure: TunnelEnd['failure'] = null;
  #relayedBytes = 0;

  constructor(input: TunnelInput) {
    this.#input = input;
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#client = new ClientSide(input.socket, {
      onActivity: () => {
        if (this.#goodbye === 'none') this.#timer?.refresh();
      },
      onGone: () => this.#clientGone(),
      onTold: () => {
        this.#goodbye = 'told';
        this.#arm(LINGER_MS);
      },
      onAnswered: () => this.#leave(),
    });
    this.#client.once('close', () => this.#sideClosed());
    running.set(this.#client, this);
    this.#arm(input.timeouts.connectMs);
    library().then(
      (proxy) => this.#ask(proxy),
      (error: unknown) => this.#fail('client', error),
    );
  }

  destroy(): void {
    this.#fail('aborted', new Error('aborted'));
  }

  close(code: number): void {
    if (this.#phase === 'over' || this.#closeTimer !== null) return;
    this.#closeTimer = setTimeout(() => this.#fail('aborted', new Error('no end of a frame')), LIMITS.tunnelCloseMs);
    this.#client.goodbye(code);
  }

  /** http-proxy-3 made its request; nothing of it is on the wire yet. */
  begin(request: ClientRequest): void {
    this.#request = request;
    // The path goes out as it was matched: http-proxy-3 would send it through new URL() first.
    request.path = this.#input.path;
    request.once('socket', (socket) => {
      socket.once('connect', () => {
        this.#reached = true;
        if (!this.#secure) this.#asked();
      });
      socket.once('secureConnect', () => this.#asked());
    });
    // Ahead of http-proxy-3's own listener, which pipes whatever claims to be a 101.
    request.once('upgrade', (answer, socket) => this.#onUpgrade(answer, socket));
    request.on('information', (info) => {
      if (info.statusCode === 101) this.#fail('malformed', new Error('101 without Upgrade'));
    });
  }

  get #secure(): boolean {
    return this.#input.address.tls;
  }

  #ask(proxy: ProxyServer): void {
    // The client may have left while it was loaded.
    if (this.#phase === 'over') return;
    const { fields, head } = this.#input;
    const asked = new IncomingMessage(new Socket());
    asked.method = 'GET';
    asked.url = '/';
    asked.httpVersion = '1.1';
    asked.httpVersionMajor = 1;
    asked.headers = headersOf([...fields, 'connection', 'Upgrade', 'upgrade', 'websocket']);
    try {
      proxy.ws(asked, this.#client as unknown as Socket, head, this.#options(), (error) => this.#onError(error));
    } catch (error) {
      this.#fail('client', error);
      return;
    }
    // http-proxy-3 relays other answers without backpressure and never notices when they are cut.
    this.#request?.removeAllListeners('response');
    this.#request?.once('response', (answer) => this.#onAnswer(answer));
  }

  #options(): ServerOptions {
    const { address, tls } = this.#input;
    const { ca, cert, key } = tlsOptions(tls);
    return {
      target: {
        protocol: address.tls ? 'https:' : 'http:',
        host: address.kind === 'unix' ? 'localhost' : bareHost(address.host),
        port: address.kind === 'unix' ? 80 : address.port,
        ...(address.kind === 'unix' ? { socketPath: address.path } : {}),
        ...(ca === undefined ? {} : { ca: tls.ca }),
        ...(cert === undefined || key === undefined ? {} : { cert: tls.cert, key: tls.key }),
      },
      secure: tls.verify,
      ignorePath: true,
      // The object that http-proxy-3 lays its own options over. An empty name keeps Node from taking it from Host.
      ssl: { servername: tlsName(address, tls.servername), maxHeaderSize: LIMITS.responseHeaderBytes },
    };
  }

  #asked(): void {
    if (this.#phase !== 'connecting') return;
    this.#phase = 'asked';
    this.#arm(this.#input.timeouts.firstByteMs);
  }

  #onUpgrade(answer: IncomingMessage, socket: Socket): void {
    this.#upstream = socket;
    socket.once('close', () => this.#sideClosed());
    if (this.#phase === 'over') {
      socket.destroy();
      return;
    }
    const fields = lowerFields(answer.rawHeaders);
    const problem = handshakeProblem(fields, fieldOf(this.#input.fields, 'sec-websocket-key') ?? '');
    if (problem !== null) {
      this.#fail('malformed', new Error(problem));
      return;
    }
    const kept = stripHopByHop(fields);
    removeField(kept, 'content-length');
    this.#phase = 'open';
    this.#status = 101;
    this.#arm(this.#input.idleMs);
    const reply = ['connection', 'Upgrade', 'upgrade', 'websocket', ...kept];
    this.#client.open(headBytes(101, 'Switching Protocols', reply));
  }

  #onAnswer(answer: IncomingMessage): void {
    if (this.#phase === 'over') return;
    const status = answer.statusCode ?? 0;
    const fields = lowerFields(answer.rawHeaders);
    if (status < 200 || status > 599 || fields.length > 2 * LIMITS.responseHeaders) {
      this.#fail('malformed', new Error(`answer with status ${status} and ${fields.length / 2} fields`));
      return;
    }
    this.#phase = 'relaying';
    this.#status = status;
    this.#arm(this.#input.timeouts.betweenBytesMs);
    this.#client.detach();
    relayAnswer(
      answer,
      stripHopByHop(fields),
      this.#input.socket,
      (bytes) => {
        this.#relayedBytes += bytes;
        this.#timer?.refresh();
      },
      (error) => {
        if (error !== null) this.#note('reset', error);
        this.#over();
      },
    );
  }

  #onError(error: Error): void {
    // An answer that was cut fails its own relay; one that is complete is the client's, whatever came behind it (faults 145).
    if (this.#phase === 'relaying') return;
    const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
    if (this.#phase === 'connecting') this.#fail(this.#secure && this.#reached ? 'tls' : 'connect', error);
    else this.#fail(code.startsWith('HPE_') ? 'malformed' : 'reset', error);
  }

  /** The client's socket is gone, or half closed before the upstream answered. */
  #clientGone(): void {
    if (this.#phase === 'connecting' || this.#phase === 'asked') this.#fail('client', new Error('the client left'));
  }

  /** One side of an open tunnel closed: the other gets its end, and a moment to follow. */
  #sideClosed(): void {
    if (this.#phase !== 'open') return;
    const upstream = this.#upstream;
    if (this.#client.destroyed && (upstream === null || upstream.destroyed)) {
      this.#over();
      return;
    }
    this.#arm(LINGER_MS);
    if (this.#client.destroyed) upstream?.destroySoon();
    // Read on, so that the client's own end is seen.
    else this.#client.resume();
  }

  /** The client answered our goodbye, or did not in time. */
  #leave(): void {
    if (this.#goodbye === 'left' || this.#phase !== 'open') return;
    this.#goodbye = 'left';
    this.#arm(LINGER_MS);
    this.#client.leave();
  }

  #onTimer(): void {
    switch (this.#phase) {
      case 'connecting':
        this.#fail('connect-timeout', new Error('no connection in time'));
        return;
      case 'asked':
        this.#fail('timeout', new Error('no answer to the handshake in time'));
        return;
      case 'open': {
        if (this.#goodbye === 'told') {
          this.#leave();
          return;
        }
        const lingering = this.#client.destroyed || this.#upstream === null || this.#upstream.destroyed;
        if (!lingering && this.#goodbye === 'none') this.#note('timeout', new Error('idle'));
        this.#over();
        return;
      }
      case 'relaying':
        this.#fail('timeout', new Error('the answer stalled'));
        return;
      case 'over':
        return;
    }
  }

  #note(word: FailureWord, cause: unknown): void {
    this.#failure ??= { word, sent: this.#phase !== 'connecting', cause };
  }

  #fail(word: FailureWord, cause: unknown): void {
    if (this.#phase === 'over') return;
    this.#note(word, cause);
    this.#over();
  }

  /** Everything goes, but the client's socket stays when nothing was written to it. */
  #over(): void {
    if (this.#phase === 'over') return;
    const phase = this.#phase;
    this.#phase = 'over';
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#closeTimer !== null) clearTimeout(this.#closeTimer);
    if (phase === 'connecting' || phase === 'asked') this.#client.detach();
    else this.#client.destroy();
    if (phase === 'relaying' && this.#failure !== null) this.#input.socket.destroy();
    this.#upstream?.destroy();
    this.#request?.destroy();
    this.#resolve({
      status: this.#status,
      established: phase === 'open',
      bytesIn: this.#client.bytesIn,
      bytesOut: this.#client.bytesOut + this.#relayedBytes,
      failure: this.#failure,
    });
  }

  #arm(ms: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#onTimer(), Math.min(ms, 2_147_483_647));
  }
}

/** What is wrong with a 101, or null (RFC 6455 4.1). */
function handshakeProblem(fields: Fields, key: string): string | null {
  if (fields.length > 2 * LIMITS.responseHeaders) return 'too many fields in the 101';
  if (fieldOf(fields, 'upgrade')?.toLowerCase() !== 'websocket') return '101 for another protocol';
  if (!connectionNames(fields).includes('upgrade')) return '101 without Connection: upgrade';
  const proof = createHash('sha1').update(`${key}${WEBSOCKET_GUID}`).digest('base64');
  return fieldOf(fields, 'sec-websocket-accept') === proof ? null : 'wrong Sec-WebSocket-Accept';
}

/** Node's header object; a name like __proto__ is a name like any other. */
function headersOf(fields: Fields): NodeJS.Dict<string | string[]> {
  const headers: NodeJS.Dict<string | string[]> = Object.create(null);
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const value = fields[i + 1] as string;
    const before = headers[name];
    if (before === undefined) headers[name] = value;
    else if (Array.isArray(before)) before.push(value);
    else headers[name] = [before, value];
  }
  return headers;
}
