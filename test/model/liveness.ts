// What a cache that is worth having must do, beside doing nothing wrong: answer from the store what was stored a moment ago, stand
// in for failures, ask with validators, refresh what it gives stale, ask once for what many want, keep nobody waiting for
// nothing. It looks only at plain requests and plain answers, where nobody could doubt it.

import { fieldOf, fieldsOf, hasField } from '../../gateway/http/fields.ts';
import type { AnswerRecord, ClientRecord, ExchangeRecord } from './records.ts';
import type { Reference } from './reference.ts';
import { MAX_OBJECT_BYTES, rulesOf, VARIANTS } from './routes.ts';
import {
  controlOf,
  keyOf,
  lifetime,
  mustNotStore,
  reuse,
  staleWindows,
  urlOf,
  variesExactly,
  wishesOf,
} from './rules.ts';
import { confirms, contradicts, isPart, repeatsValidator, type State, stateAfter } from './states.ts';

/** Lifetimes that nobody can read in two ways. */
const CLEAR =
  /^(?:(?:public|max-age=\d{1,9}|s-maxage=\d{1,9}|stale-while-revalidate=\d+|stale-if-error=\d+)(?:, |$))*$/;
const CLEAR_STATUSES = [200, 203, 204, 301, 404];
const ERRORS = [500, 502, 503, 504];
/** A failure is remembered for so long, ms (tables/limits.ts). */
const FAILED_MS = 1_000;

/** What is known of one URL. */
interface Url {
  /** The response that is stored for certain; null = nothing is certain. */
  sure: readonly State[] | null;
  readonly exchanges: ExchangeRecord[];
  /** Exchanges that ran beside others: which of them is stored is not certain. */
  readonly beside: Set<ExchangeRecord>;
  /** `sure` when an exchange began. */
  readonly before: Map<ExchangeRecord, readonly State[] | null>;
}

export class Liveness {
  readonly #reference: Reference;
  readonly #tight: boolean;
  readonly #urls = new Map<string, Url>();
  /** Clients with the response that must answer them. */
  readonly #mustHit = new Map<ClientRecord, readonly State[]>();
  /** Clients with the stale response that is there for them. */
  readonly #haveStale = new Map<ClientRecord, readonly State[]>();
  /** Clients of this step that must join another's fetch. */
  readonly #mustJoin = new Set<ClientRecord>();
  /** Clients of this step that got something stale, which is to be fetched anew. */
  readonly #gotStale: ClientRecord[] = [];

  constructor(reference: Reference, tight: boolean) {
    this.#reference = reference;
    this.#tight = tight;
  }

  asked(client: ClientRecord): void {
    const url = this.#urlOf(client.target);
    const [only] = url.exchanges;
    const cold = url.exchanges.length === 1 && only?.state === 'asked' && isPlain(only.client);
    if (cold && isPlain(client) && !this.#reference.isPurgedSince(client.target, only.client.atMs)) {
      if (keyOf(client) === keyOfClient(only.client)) this.#mustJoin.add(client);
    }
    const sure = url.sure;
    const stored = sure?.at(-1);
    if (sure === null || stored === undefined || this.#tight || !isSimple(client)) return;
    if (!selects(client, stored)) return;
    const rules = rulesOf(client.target);
    const left = lifetime(stored.kept, rules, client.atMs);
    const { whileRevalidateMs } = staleWindows(stored.kept, rules, left.source);
    // Times are stored as whole ms.
    if (Math.floor(left.least) + whileRevalidateMs > 0) this.#mustHit.set(client, sure);
    else if (isPlain(client)) this.#haveStale.set(client, sure);
  }

  /** What is wrong with a request to the upstream, or null. */
  forwarded(exchange: ExchangeRecord): string | null {
    const { client } = exchange;
    const url = this.#urlOf(exchange.target);
    if (this.#mustJoin.has(client) && url.exchanges.length === 1 && url.exchanges[0]?.state === 'asked')
      return 'it asks although a request for the same thing is on its way';
    const others = url.exchanges.filter((other) => other.endSeq === 0);
    for (const other of others) url.beside.add(other).add(exchange);
    url.exchanges.push(exchange);
    url.before.set(exchange, url.sure);
    const stale = this.#haveStale.get(client);
    if (stale === undefined || stale !== url.sure || client.answer !== null) return null;
    const etag = fieldOf((stale.at(-1) as State).kept.fields, 'etag');
    if (etag === undefined || fieldOf(exchange.fields, 'if-none-match') === etag) return null;
    return `it does not ask with the validator ${etag} of what is stored`;
  }

  headCame(exchange: ExchangeRecord): void {
    if (!changesNothing(exchange)) this.#urlOf(exchange.target).sure = null;
  }

  exchangeEnded(exchange: ExchangeRecord): void {
    const url = this.#urlOf(exchange.target);
    if (!changesNothing(exchange))
      url.sure = url.beside.has(exchange) ? null : this.#storedBy(exchange, url.before.get(exchange) ?? null);
  }

  purged(): void {
    for (const url of this.#urls.values()) {
      const client = url.sure?.at(-1)?.exchange.client;
      if (client !== undefined && this.#reference.isPurgedSince(client.target, client.atMs)) url.sure = null;
    }
  }

  /** What this client should have had instead, or null. */
  answered(client: ClientRecord, answer: AnswerRecord): string | null {
    this.purged();
    const chain = this.#reference.chainOf(answer.fields) ?? [];
    const last = chain.at(-1);
    if (last !== undefined && last.exchange.client !== client) {
      const { may } = reuse(last.kept, client.fields, rulesOf(client.target), answer.atMs);
      if (may === 'while-revalidate') this.#gotStale.push(client);
    }
    const must = this.#mustHit.get(client);
    if (must !== undefined && answer.status !== 416 && !isSame(must, chain))
      return `message ${numbers(must)} is stored and answers this request`;
    const stale = this.#haveStale.get(client)?.at(-1);
    const failed = chain.length === 0 || (chain.length === 1 && ERRORS.includes(answer.status));
    if (stale === undefined || !failed) return null;
    // Another client's exchange may have replaced it meanwhile.
    if (
      this.#urlOf(client.target).exchanges.some(
        ({ headSeq, client: other }) => headSeq > client.seq && other !== client,
      )
    )
      return null;
    if (this.#reference.isPurgedSince(client.target, stale.exchange.client.atMs)) return null;
    const left = lifetime(stale.kept, rulesOf(client.target), answer.atMs);
    const { ifErrorMs } = staleWindows(stale.kept, rulesOf(client.target), left.source);
    return Math.floor(left.least) + ifErrorMs > 0
      ? `message ${stale.message.n} may stand in for this failure (RFC 5861 4)`
      : null;
  }

  /** What should have happened by the end of a step, or null. */
  afterStep(clients: readonly ClientRecord[]): string | null {
    this.#mustJoin.clear();
    for (const client of clients) {
      if (client.end !== 'open') continue;
      const isRunning = this.#urlOf(client.target).exchanges.some(({ endSeq }) => endSeq === 0);
      if (!client.asked.slow && !isRunning) return `client ${client.n} waits, and nothing is on its way for it`;
      if (this.#mustHit.has(client) && client.answer === null) return `client ${client.n} waits for what is stored`;
    }
    for (const client of this.#gotStale.splice(0)) {
      // What came to such a request could not be stored (5.2.1.5).
      if (wishesOf(client.fields, rulesOf(client.target)).has('no-store')) continue;
      const isFetched = this.#urlOf(client.target).exchanges.some(
        ({ method, seq, endSeq, endMs }) =>
          method === (client.method === 'HEAD' ? 'GET' : client.method) &&
          (seq > client.seq || endSeq === 0 || endMs > client.atMs - FAILED_MS),
      );
      if (!isFetched) return `client ${client.n} got something stale that nobody fetches anew (RFC 5861 3)`;
    }
    return null;
  }

  #urlOf(target: string): Url {
    const name = urlOf(target, rulesOf(target));
    const known = this.#urls.get(name);
    if (known !== undefined) return known;
    const made: Url = { sure: null, exchanges: [], beside: new Set(), before: new Map() };
    this.#urls.set(name, made);
    return made;
  }

  /** What is stored for certain after this exchange, which ran alone. */
  #storedBy(exchange: ExchangeRecord, before: readonly State[] | null): readonly State[] | null {
    const { client, message, state, method, target } = exchange;
    const updates = method === 'HEAD' && message?.status === 200;
    if (state !== 'ended' || message === null || !(method === 'GET' || updates) || !isPlain(client, method))
      return null;
    if (this.#reference.isPurgedSince(target, client.atMs)) return null;
    // Of the answers to a Range, the rest of a part too, only 200 and 206 are stored (gateway/README).
    if (hasField(exchange.fields, 'range') && message.status !== 200 && message.status !== 206) return null;
    // What the client got whole out of parts is whole from then on.
    const completed = isPart(message)
      ? (this.#reference.chainOf(client.answer?.fields ?? []) ?? []).slice(0, -1)
      : null;
    if (completed !== null && (client.answer?.status !== 200 || completed.length === 0)) return null;
    const held = completed ?? (message.status === 304 || updates ? before : null);
    const base = held?.at(-1) ?? null;
    if ((message.status === 304 || updates) && (base === null || !selects(client, base))) return null;
    if (updates && base !== null && (contradicts(message, base) || !repeatsValidator(message, base))) return null;
    const after = stateAfter(base, exchange, message);
    // Under another Vary it may be gone.
    if (updates && fieldsOf(message.fields, 'vary').join() !== fieldsOf(base?.kept.fields ?? [], 'vary').join())
      return null;
    if (base !== null && message.status === 304 && !confirms(after, base)) return null;
    const { kept } = after;
    const rules = rulesOf(target);
    // Beyond cache.variants nothing more is stored, and old ones count until they are seen to be gone.
    const variants = this.#urlOf(target).exchanges.filter(
      (other) => hasField(other.message?.fields ?? [], 'vary') || rules.vary.length > 0,
    );
    const isClear =
      variants.length <= VARIANTS &&
      !hasField(kept.fields, 'cdn-cache-control') &&
      !hasField(kept.fields, 'sluice-cache-control') &&
      CLEAR.test(fieldsOf(kept.fields, 'cache-control').join(', ')) &&
      CLEAR_STATUSES.includes(kept.status) &&
      !hasField(kept.fields, 'set-cookie') &&
      message.whole.length <= MAX_OBJECT_BYTES &&
      mustNotStore(kept, 'GET', rules) === null;
    const isUseful = lifetime(kept, rules, kept.headMs).least > 1 || (fieldOf(kept.fields, 'etag') ?? '').endsWith('"');
    // Without a lifetime of anybody's it may be kept, but need not.
    const isTimed = lifetime(kept, rules, kept.headMs).source !== 'none' || controlOf(kept.fields).size > 0;
    return isClear && isUseful && isTimed ? [...(held ?? []), after] : null;
  }
}

/** It leaves what is stored as it is: other methods, failures without a head, and errors that nobody waits for. */
function changesNothing({ method, headSeq, message, client }: ExchangeRecord): boolean {
  if ((method !== 'GET' && method !== 'HEAD') || headSeq === 0 || message === null) return true;
  return message.status >= 500 && client.answer !== null;
}

function keyOfClient(client: ClientRecord): string {
  return keyOf(client);
}

/** Whether this is the response that the request selects. */
function selects(client: ClientRecord, { kept, exchange }: State): boolean {
  if (keyOfClient(client) !== keyOfClient(exchange.client)) return false;
  return variesExactly(kept.fields, client.fields, exchange.client.fields, rulesOf(client.target)) === null;
}

const numbers = (chain: readonly State[]): string => chain.map(({ message }) => message.n).join('+');

/** The same body, as the same message left it. A 304 may have been about the response from before the last 304. */
function isSame(a: readonly State[], b: readonly State[]): boolean {
  return a[0]?.message === b[0]?.message && a.at(-1)?.message === b.at(-1)?.message;
}

/** What the store can answer if it holds it: nothing in the request speaks against it. */
function isSimple({ asked, target }: ClientRecord): boolean {
  const { method, control, condition, identity, body } = asked;
  const reads = method === 'GET' || method === 'HEAD';
  const { off, deaf } = rulesOf(target);
  const isSilent = control.length === 0 || deaf;
  return reads && isSilent && identity.length + body.length === 0 && condition !== 'match' && !off;
}

/** The plainest GET, or HEAD. */
function isPlain(client: ClientRecord, wanted: 'GET' | 'HEAD' = 'GET'): boolean {
  const { method, condition, range } = client.asked;
  return isSimple(client) && method === wanted && condition === 'none' && range.length === 0;
}
