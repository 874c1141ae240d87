// The naive reference cache: it remembers everything that the upstream ever said and forgets nothing. For each answer that a client
// got it finds out from which messages it was made (each leaves its number in a field "x-m…", and a 304's stays behind that
// of what it confirmed) and says why the standard and our config do not allow it, or null. It predicts no hits.

import { type Fields, fieldOf, fieldsOf } from '../../gateway/http/fields.ts';
import { isMultipart, judgeBytes } from './bytes.ts';
import type { AnswerRecord, ClientRecord, ExchangeRecord, Purged, PurgeRecord } from './records.ts';
import { KEYED_BYTES, type RouteRules, rulesOf } from './routes.ts';
import {
  ageMs,
  isOurs,
  type Kept,
  keyOf,
  mustNotStore,
  namesSomebody,
  reuse,
  tagsOf,
  urlOf,
  variesBetween,
  variesExactly,
  varyNames,
  withheldFields,
} from './rules.ts';
import { hasItAlready, partsOf, shapesOf } from './selected.ts';
import { contradicts, isHead, isPart, misjoined, type State, stateAfter } from './states.ts';

/** How long after a failure a stale answer is given without asking again, ms (tables/limits.ts). */
const FAILED_MS = 1_000;
/** Fields of a stored response that every answer made of it has. */
const CARRIED = [
  'cache-control',
  'etag',
  'last-modified',
  'expires',
  'cdn-cache-control',
  'content-language',
  'surrogate-key',
  'cache-tag',
  'set-cookie',
  'location',
];
const UNSAFE = ['POST', 'DELETE', 'PUT', 'PATCH'];

export class Reference {
  readonly #exchanges: readonly ExchangeRecord[];
  readonly #purges: PurgeRecord[] = [];

  constructor(exchanges: readonly ExchangeRecord[]) {
    this.#exchanges = exchanges;
  }

  purged(purge: PurgeRecord): void {
    this.#purges.push(purge);
  }

  /** A client has a head: why it must not have it, or null. */
  judge(client: ClientRecord, answer: AnswerRecord): string | null {
    this.#noteInvalidation(client, answer);
    const chain = this.chainOf(answer.fields);
    if (chain === null) return 'it names a message that the upstream never sent';
    if (chain.length === 0) return this.#judgeOwn(client, answer);
    if (fieldOf(answer.fields, 'sluice-cache-control') !== undefined)
      return 'Sluice-Cache-Control, which is for us alone';
    const last = chain.at(-1) as State;
    if (answer.status !== 416 && !sameVary(answer.fields, last.kept.fields, rulesOf(client.target)))
      return 'another Vary';
    const own = last.exchange.client === client;
    if (own && chain.length === 1) return judgePassed(client, answer, last);
    return this.#judgeLinks(client, chain, own) ?? this.#judgeReuse(client, answer, chain, own);
  }

  /** A client's answer is over: why it must not be these bytes, or null. */
  judgeEnd(client: ClientRecord): string | null {
    const { answer } = client;
    if (answer === null) return client.end === 'left' ? null : 'it ended without an answer';
    const chain = this.chainOf(answer.fields);
    if (chain === null || chain.length === 0) return client.end === 'cut' ? 'an answer of our own broke off' : null;
    return judgeBytes(client, answer, chain);
  }

  /** The messages an answer is made of, each with what is known after it; null = one of them was never sent. */
  chainOf(fields: Fields): State[] | null {
    const states: State[] = [];
    for (let i = 0; i < fields.length; i += 2) {
      const n = /^x-m(\d+)$/.exec(fields[i] as string)?.[1];
      if (n === undefined) continue;
      const exchange = this.#exchanges[Number(n) - 1];
      const message = exchange?.message ?? null;
      if (exchange === undefined || message === null || exchange.headSeq === 0) return null;
      states.push(stateAfter(states.at(-1) ?? null, exchange, message));
    }
    return states;
  }

  /** A later request must not get what began before this (RFC 9111 4.4). */
  #noteInvalidation(client: ClientRecord, answer: AnswerRecord): void {
    if (rulesOf(client.target).asking.includes(client.method)) return;
    if (!UNSAFE.includes(client.method) || answer.status < 200 || answer.status > 399) return;
    const said = ['location', 'content-location'].flatMap((name) => fieldsOf(answer.fields, name));
    for (const target of [client.target, ...said])
      this.#purges.push({ what: { kind: 'url', target }, soft: false, atMs: answer.atMs, seq: answer.seq, by: client });
  }

  /** Whether anything of this target may have been invalidated, or made stale, at this time or later: tags count as all. */
  isPurgedSince(target: string, ms: number): boolean {
    return this.#purges.some(({ atMs, what }) => atMs >= ms && (what.kind === 'tag' || names(what, target, [])));
  }

  /** The last purge, hard or soft, of something that began then and has these tags, before the client came: more is not kept. */
  #purgeOf({ exchange, kept }: State, soft: boolean, before: ClientRecord): PurgeRecord | null {
    const found = this.#purges.findLast(
      (purge) =>
        purge.soft === soft &&
        // What a POST invalidates is what was there before its answer.
        purge.by !== exchange.client &&
        exchange.seq < purge.seq &&
        purge.seq < before.seq &&
        names(purge.what, exchange.target, tagsOf(kept.fields)),
    );
    return found ?? null;
  }

  /** The plain HEAD that showed that a stored response is not what the origin has any more, before the client came (4.3.5). */
  #endByHead(
    state: State,
    client: ClientRecord,
  ): { readonly n: number; readonly gone: boolean; readonly atMs: number } | null {
    const { exchange: stored, kept } = state;
    const rules = rulesOf(client.target);
    const key = keyOf(client);
    for (const { method, message, client: asker, seq, headSeq, endSeq, headMs, state: end } of this.#exchanges) {
      if (method !== 'HEAD' || message === null || headSeq === 0 || endSeq === 0 || end !== 'ended') continue;
      if (stored.endSeq === 0 || seq < stored.endSeq || endSeq > client.seq) continue;
      const { control, identity, condition, range, body } = asker.asked;
      if (control.length + identity.length + range.length + body.length > 0 || condition !== 'none') continue;
      if (keyOf(asker) !== key) continue;
      if (variesExactly(kept.fields, asker.fields, stored.client.fields, rules) !== null) continue;
      const gone = [404, 410].includes(message.status) && message.status !== kept.status;
      if (gone || (message.status === 200 && contradicts(message, state))) return { n: message.n, gone, atMs: headMs };
    }
    return null;
  }

  /** The upstream failed for this URL while the client waited, or so shortly before that it is not asked again. */
  #failedFor(client: ClientRecord, answer: AnswerRecord): boolean {
    const rules = rulesOf(client.target);
    return this.#exchanges.some((exchange) => {
      const { message, state } = exchange;
      if (urlOf(exchange.target, rules) !== urlOf(client.target, rules)) return false;
      const isError = message !== null && exchange.headSeq > 0 && [500, 502, 503, 504].includes(message.status);
      if (!isError && state !== 'failed' && state !== 'aborted') return false;
      const [atMs, seq] = isError ? [exchange.headMs, exchange.headSeq] : [exchange.endMs, exchange.endSeq];
      return seq < answer.seq && (seq > client.seq || atMs > client.atMs - FAILED_MS);
    });
  }

  /** An answer that no message of the upstream is in: an error, a 504, a 416. */
  #judgeOwn(client: ClientRecord, answer: AnswerRecord): string | null {
    const wishes = fieldOf(client.fields, 'cache-control') ?? '';
    if (answer.status === 504 && wishes.includes('only-if-cached') && !rulesOf(client.target).deaf) return null;
    if (answer.status === 416) {
      const told = /^bytes \*\/(\d+)$/.exec(fieldOf(answer.fields, 'content-range') ?? '')?.[1];
      const right = told !== undefined && partsOf(client.fields, Number(told)) === 'none';
      return right ? null : 'a 416 to a range that can be had';
    }
    if (![502, 503, 504].includes(answer.status)) return `nobody said ${answer.status}`;
    return this.#failedFor(client, answer) ? null : 'an error although the upstream did not fail';
  }

  /** Whether every message on the way may have been kept for the request that came next. */
  #judgeLinks(client: ClientRecord, chain: readonly State[], own: boolean): string | null {
    for (const [i, state] of chain.entries()) {
      const { exchange, message } = state;
      const next = chain[i + 1];
      const why =
        i === 0 ? (message.status === 304 ? 'a 304 to nothing' : null) : misjoined(state, chain[i - 1] as State);
      if (why !== null) return `message ${message.n} at place ${i}: ${why}`;
      if (next === undefined && own) continue;
      const reader = next?.exchange.client ?? client;
      const rules = rulesOf(exchange.target);
      const unshared = mustNotStore(state.kept, i > 0 && isHead(exchange) ? 'GET' : exchange.method, rules);
      if (isUnkeyed(exchange.client) && keyedAs(exchange, reader) !== 'GET')
        return `message ${message.n} answered a request with a body that is in no key`;
      if (unshared !== null) return `message ${message.n} is not for others: ${unshared}`;
      const here = `message ${message.n}, which client ${reader.n} gets,`;
      if (keyOf({ ...exchange.client, method: keyedAs(exchange, reader) }) !== keyOf(reader))
        return `${here} answers another key`;
      const earlier = chain.slice(0, i).map((before) => before.exchange.client.fields);
      const name = variesBetween(state.kept.fields, exchange.client.fields, reader.fields, rules, earlier);
      if (name !== null) return `${here} varies on ${name}, in which the requests differ (4.1)`;
      // Whose part was only joined to it later got none of it; who had its gap filled did.
      const isGiven = next === undefined || !isPart(next.message) || reader === client;
      if (isGiven && isOurs(state.kept, rules) && namesSomebody(reader.fields, rules))
        return `${here} is fresh by our config, and the request names somebody (DESIGN 5.6)`;
      if (this.#purgeOf(state, false, reader) !== null)
        return `${here} began before a purge that came before the request`;
      if (next !== undefined && !isPart(message) && (message.cutAt !== null || exchange.state === 'failed'))
        return `message ${message.n} never came whole`;
    }
    return null;
  }

  #judgeReuse(client: ClientRecord, answer: AnswerRecord, chain: readonly State[], own: boolean): string | null {
    const first = chain[0] as State;
    const { kept } = chain.at(-1) as State;
    const rules = rulesOf(client.target);
    if (!['GET', 'HEAD', ...rules.asking].includes(client.method)) return `a stored answer to ${client.method}`;
    if (isUnkeyed(client)) return 'a stored answer to a request with a body, which is in no key';
    if (fieldOf(client.fields, 'if-match') !== undefined) return "If-Match is the origin's to judge (4.3.2)";
    if (first.exchange.state === 'failed' && !isPart(first.message) && first.exchange.endSeq < client.seq)
      return 'its body had broken off before the client came';
    if (!own) {
      const end = this.#endByHead(chain.at(-1) as State, client);
      if (end?.gone === true) return `the answer to HEAD of message ${end.n} said that there is nothing any more`;
      const softly = this.#purgeOf(chain.at(-1) as State, true, client);
      const staleSinceMs = Math.min(...[end, softly].map((why) => why?.atMs ?? Number.POSITIVE_INFINITY));
      const may = reuse(kept, client.fields, rules, answer.atMs, staleSinceMs);
      if (may.may === 'never') return `it must not be used: ${may.why}`;
      if (may.may === 'if-error' && !this.#failedFor(client, answer))
        return 'it is stale and stands in for a failure (RFC 5861 4), but the upstream did not fail';
    }
    return judgeShape(client, answer, first, kept) ?? judgeFields(answer, chain.at(-1) as State, own);
  }
}

/** Whether a purge names what is stored for a target with these tags. */
function names(what: Purged, target: string, tags: readonly string[]): boolean {
  if (what.kind === 'all') return true;
  if (what.kind === 'tag') return tags.includes(what.tag);
  const url = urlOf(target, rulesOf(target));
  if (what.kind === 'prefix') return url.startsWith(what.target);
  return urlOf(what.target, rulesOf(target)) === url;
}

/** The upstream's answer to this very request, as it came. */
function judgePassed(client: ClientRecord, answer: AnswerRecord, { exchange, message, kept }: State): string | null {
  const { status } = answer;
  const known = status === 304 && message.status === 200 && hasItAlready(client.fields, kept.fields);
  if (status !== message.status && !known) return `the status ${status} in place of ${message.status}`;
  const conditions = ['if-none-match', 'if-modified-since'];
  if (message.status === 304) {
    const asked = conditions.some((name) => fieldOf(client.fields, name) !== undefined);
    if (!asked || !conditions.every((name) => sameLines(name, client.fields, exchange.fields)))
      return 'a 304 to a question that the client did not ask';
  }
  for (const name of [...CARRIED, 'content-range'])
    if (!isLeftOut(name, status) && !sameLines(name, answer.fields, message.fields)) return `another ${name}`;
  return null;
}

function judgeShape(client: ClientRecord, answer: AnswerRecord, { message }: State, kept: Kept): string | null {
  const shapes = shapesOf(client, { status: kept.status, fields: kept.fields, bytes: message.whole.length });
  const range = isMultipart(answer) ? 'several' : (fieldOf(answer.fields, 'content-range') ?? '');
  const allowed = shapes.some(({ status, contentRange }) => status === answer.status && contentRange === range);
  const wanted = shapes.map(({ status, contentRange }) => `${status} ${contentRange}`.trim()).join(' or ');
  return allowed ? null : `${answer.status} ${range} where ${wanted} is right`;
}

function judgeFields(answer: AnswerRecord, { kept, message }: State, own: boolean): string | null {
  const age = ageMs(kept, answer.atMs);
  // What the origin has just completed is passed on with the Age that it came with, if any.
  const told = fieldOf(answer.fields, 'age');
  if (own && isPart(message)) return judgeCarried(answer, kept, own);
  const wrong =
    told === undefined ||
    !/^\d+$/.test(told) ||
    Number(told) < Math.floor(age.least / 1000) - 1 ||
    Number(told) > Math.min(2 ** 31, Math.floor(age.most / 1000) + 1);
  if (wrong) return `Age ${told ?? 'is missing'} where it is ${Math.floor(age.least / 1000)}`;
  return judgeCarried(answer, kept, own);
}

function judgeCarried(answer: AnswerRecord, kept: Kept, own: boolean): string | null {
  const withheld = withheldFields(kept);
  if (!own) {
    const leaked = withheld.find((name) => fieldOf(answer.fields, name) !== undefined);
    if (leaked !== undefined) return `the field ${leaked}, which is not for others (5.2.2.4, 5.2.2.7)`;
  }
  for (const name of CARRIED) {
    if (withheld.includes(name) || isLeftOut(name, answer.status) || sameLines(name, answer.fields, kept.fields))
      continue;
    return `another ${name} than the response has`;
  }
  return null;
}

function sameLines(name: string, a: Fields, b: Fields): boolean {
  return fieldsOf(a, name).join('\n') === fieldsOf(b, name).join('\n');
}

/** Vary says what the response's says, and what the route adds. */
function sameVary(answered: Fields, stored: Fields, rules: RouteRules): boolean {
  const has = new Set(varyNames(answered));
  const wanted = new Set([...varyNames(stored), ...rules.vary]);
  return [...wanted].every((name) => has.has(name) || has.has('*')) && [...has].every((name) => wanted.has(name));
}

/** A body that is part of no key may decide the answer all the same. */
function isUnkeyed({ asked, method, target }: ClientRecord): boolean {
  return asked.body.length > (rulesOf(target).asking.includes(method) ? KEYED_BYTES : 0);
}

/** The method under which an answer may be kept: that of a POST to this very URL is what GET gets (RFC 9110 9.3.3). */
function keyedAs({ method, client, target, message }: ExchangeRecord, reader: ClientRecord): string {
  const isRead = reader.method === 'GET' || reader.method === 'HEAD';
  const told = fieldOf(message?.fields ?? [], 'content-location');
  return method === 'POST' && isRead && told === target ? 'GET' : client.method;
}

/** A 304 says nothing about the representation but what tells it from others (RFC 9110 15.4.5). */
const isLeftOut = (name: string, status: number): boolean => status === 304 && name === 'content-language';
