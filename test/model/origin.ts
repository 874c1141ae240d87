// The scripted upstream: what the gateway's attempts talk to instead of a socket. It answers each request by the behaviour of its
// target, and each answer stops where the client's request says until a step lets it go on. Honest: a 304 means that
// the representation is the one it was asked about.

import type { Fields } from '../../gateway/http/fields.ts';
import { fieldOf } from '../../gateway/http/fields.ts';
import type { Attempt, AttemptHandlers, Instance, Outgoing, Upstream } from '../../gateway/upstream/upstream.ts';
import { fakeUpstream } from '../helpers/fake-upstream.ts';
import type { ClientRecord, ExchangeRecord, MessageRecord } from './records.ts';
import { likesBest } from './rules.ts';
import { DATE_WHEN_SENT, httpDate, Running, type Around as Surroundings } from './running.ts';
import { hasItAlready, type Part, partsOf, sameAsIfRange } from './selected.ts';
import { ANSWERS, type Behaviour, plainest } from './vocabulary.ts';

/** What the origin has at a target. */
interface Representation {
  readonly version: number;
  readonly whole: Buffer;
  /** Whole seconds. */
  readonly modifiedMs: number;
}

/** What it needs of the world around it. */
export interface Around extends Surroundings {
  /** Whose request this is, by the id that the gateway gave it. */
  clientOf(requestId: string): ClientRecord;
}

export class Origin {
  readonly exchanges: ExchangeRecord[];
  readonly #around: Around;
  readonly #behaviours = new Map<string, Behaviour>();
  readonly #has = new Map<string, Representation>();
  readonly #running = new Set<Running>();
  #versions = 0;
  #modifiedMs = 0;

  /** Every request is written into `exchanges`. */
  constructor(around: Around, exchanges: ExchangeRecord[]) {
    this.#around = around;
    this.exchanges = exchanges;
  }

  say(target: string, behaviour: Behaviour): void {
    this.#behaviours.set(target, behaviour);
  }

  /** Another representation from now on. */
  change(target: string): Representation {
    const version = ++this.#versions;
    // Never two in one second: Last-Modified must tell them apart.
    this.#modifiedMs = Math.max(this.#modifiedMs + 1000, Math.floor(this.#around.now() / 1000) * 1000 - 100_000);
    const made: Representation = {
      version,
      whole: contentOf(target, version, this.behaviourOf(target).bytes),
      modifiedMs: this.#modifiedMs,
    };
    this.#has.set(target, made);
    return made;
  }

  behaviourOf(target: string): Behaviour {
    return this.#behaviours.get(target) ?? plainest(ANSWERS);
  }

  /** What it has at the target now, with the validators it would give. */
  current(target: string): { readonly etag: string; readonly modified: string } {
    const { version, modifiedMs } = this.#at(target);
    return { etag: `"v${version}"`, modified: httpDate(modifiedMs) };
  }

  /** Answers that wait for a step, oldest first. */
  held(): readonly Running[] {
    return [...this.#running].filter((running) => running.isHeld);
  }

  /** The upstream as one worker sees it: two instances, so that there is one to retry on. */
  upstream(): Upstream {
    const instances = ['1', '2'].map<Instance>((name) => ({
      id: `api/${name}`,
      authority: `origin-${name}.example`,
      token: '',
      send: (outgoing, handlers) => this.#send(outgoing, handlers),
      tunnel: () => {
        throw new Error('the model asks for no tunnel');
      },
    }));
    return fakeUpstream({
      pick: ({ tried }) => instances.find((instance) => !tried.has(instance)) ?? 'tried',
    });
  }

  #at(target: string): Representation {
    return this.#has.get(target) ?? this.change(target);
  }

  #send(outgoing: Outgoing, handlers: AttemptHandlers): Attempt {
    const { watcher } = this.#around;
    const client = this.#around.clientOf(fieldOf(outgoing.fields, 'x-request-id') ?? '');
    const behaviour = this.behaviourOf(outgoing.path);
    const isFirst = !this.exchanges.some((earlier) => earlier.client === client);
    const failure = behaviour.failure === 'flaky' ? (isFirst ? 'connect' : null) : behaviour.failure;
    const n = this.exchanges.length + 1;
    const fails = failure !== null && failure !== 'cut';
    const exchange: ExchangeRecord = {
      n,
      client,
      method: outgoing.method,
      target: outgoing.path,
      fields: outgoing.fields,
      atMs: this.#around.now(),
      seq: this.#around.nextSeq(),
      message: fails ? null : this.#message(n, outgoing, behaviour, failure === 'cut'),
      state: 'asked',
      headMs: 0,
      headSeq: 0,
      endMs: 0,
      endSeq: 0,
    };
    this.exchanges.push(exchange);
    const running = new Running(exchange, handlers, this.#around, fails ? failure : null, () =>
      this.#running.delete(running),
    );
    this.#running.add(running);
    watcher.forwarded(exchange);
    running.begin(outgoing.body);
    return running;
  }

  #message(n: number, outgoing: Outgoing, behaviour: Behaviour, cut: boolean): MessageRecord {
    const { method, path, fields: asked } = outgoing;
    const has = behaviour.volatile ? this.change(path) : this.#at(path);
    const head = this.#head(n, behaviour, has, asked);
    let { status } = behaviour;
    let body = has.whole;
    const more: string[] = [];
    const reads = ['GET', 'HEAD', 'QUERY'].includes(method);
    if (reads && status === 200 && behaviour.notModified !== 'never' && hasItAlready(asked, head)) {
      return { n, status: 304, fields: notModifiedFields(head, behaviour), whole: has.whole, body: empty, cutAt: null };
    }
    const parts = partsOf(asked, has.whole.length);
    const partial = method === 'GET' && status === 200 && behaviour.ranges && sameAsIfRange(asked, head);
    const [part, ...others] = parts === null || parts === 'none' ? [] : parts;
    if (partial && part !== undefined && others.length > 0) {
      status = 206;
      body = multipart([part, ...others], has.whole);
      head[1] = `multipart/byteranges; boundary=${BOUNDARY}`;
    } else if (partial && part !== undefined) {
      status = 206;
      body = has.whole.subarray(part.first, part.last + 1);
      more.push('content-range', `bytes ${part.first}-${part.last}/${has.whole.length}`);
    }
    if (status === 204) body = empty;
    if (status !== 204 && behaviour.framing === 'length') more.push('content-length', String(body.length));
    if (method === 'HEAD') body = empty;
    const cutAt = cut && body.length > 0 ? Math.floor(body.length / 2) : null;
    return { n, status, fields: [...head, ...more], whole: has.whole, body, cutAt };
  }

  #head(n: number, behaviour: Behaviour, has: Representation, asked: Fields): string[] {
    const { control, age, date, validators, vary, more } = behaviour;
    const nowMs = this.#around.now();
    const language = languageOf(behaviour, asked);
    const tag = `v${has.version}${language === null ? '' : `-${language}`}`;
    const head = ['content-type', 'text/plain', `x-m${n}`, '1', 'x-secret', `s${n}`];
    if (date === 'garbage') head.push('date', 'yesterday');
    else if (date === 'sent') head.push('date', DATE_WHEN_SENT);
    else if (date !== 'none') head.push('date', httpDate(nowMs + (date === 'asked' ? 0 : date * 1000)));
    head.push(...control.map((text) => (text.startsWith('@') ? httpDate(nowMs + Number(text.slice(1)) * 1000) : text)));
    if (age !== null) head.push('age', age);
    if (validators === 'etag' || validators === 'etag and date') head.push('etag', `"${tag}"`);
    if (validators === 'weak') head.push('etag', `W/"${tag}"`);
    if (validators === 'bare') head.push('etag', tag);
    if (validators === 'date' || validators === 'etag and date') head.push('last-modified', httpDate(has.modifiedMs));
    if (vary !== null) head.push('vary', vary);
    if (language !== null) head.push('content-language', language);
    head.push(...more);
    return head;
  }
}

const empty = Buffer.alloc(0);

function languageOf({ language }: Behaviour, asked: Fields): 'de' | 'en' | null {
  if (language === 'none') return null;
  return language === 'liked' && !likesBest(asked, 'de') && likesBest(asked, 'en') ? 'en' : 'de';
}
const BOUNDARY = 'of-the-origin';

/** Several parts as one body (RFC 9110 14.6). */
function multipart(parts: readonly Part[], whole: Buffer): Buffer {
  const pieces = parts.flatMap(({ first, last }) => [
    Buffer.from(`\r\n--${BOUNDARY}\r\ncontent-range: bytes ${first}-${last}/${whole.length}\r\n\r\n`),
    whole.subarray(first, last + 1),
  ]);
  return Buffer.concat([...pieces, Buffer.from(`\r\n--${BOUNDARY}--\r\n`)]);
}

/** Bytes that tell target, version and place. */
function contentOf(target: string, version: number, bytes: number): Buffer {
  const lines: string[] = [];
  for (let at = 0; at < bytes; ) {
    const line = `${target}#${version}@${at};`;
    lines.push(line);
    at += line.length;
  }
  return Buffer.from(lines.join('').slice(0, bytes), 'latin1');
}

/** A 304's fields; the least of it are its number, its Date and what it is about. */
function notModifiedFields(head: Fields, behaviour: Behaviour): Fields {
  if (behaviour.notModified === 'full') return head;
  const fields: string[] = [];
  for (let i = 0; i < head.length; i += 2) {
    const name = head[i] as string;
    if (/^x-m\d+$/.test(name) || name === 'date') fields.push(name, head[i + 1] as string);
    if (name === 'etag') fields.push(name, behaviour.notModified === 'other' ? '"another"' : (head[i + 1] as string));
  }
  return fields;
}
