// A scenario as a reader sees it: each step, what went to and came from the upstream, and what the clients got.

import { type Fields, fieldOf } from '../../gateway/http/fields.ts';
import type { AnswerRecord, ClientRecord, ExchangeRecord, PurgeRecord, Watcher } from './records.ts';
import { HOST } from './routes.ts';

/** Fields of the gateway's requests that say nothing about the scenario. */
const USUAL = ['host', 'via', 'x-request-id', 'x-real-ip', 'forwarded', 'content-type', 'x-secret'];

export class Transcript {
  readonly #lines: (() => string)[] = [];
  #beganMs: number | null = null;

  step(nowMs: number, what: string): void {
    this.#beganMs ??= nowMs;
    const at = nowMs - this.#beganMs;
    this.#lines.push(() => `${String(at).padStart(9)} ms  ${what}`);
  }

  /** A watcher that writes down what another watches. */
  around(inner: Watcher): Watcher {
    return {
      asked: (client) => {
        this.#asked(client);
        inner.asked(client);
      },
      forwarded: (exchange) => {
        this.#event(() => `→ upstream ${exchange.n}: ${requestLine(exchange)} (for client ${exchange.client.n})`);
        inner.forwarded(exchange);
      },
      headCame: (exchange) => {
        this.#event(() => headLine(exchange));
        inner.headCame(exchange);
      },
      exchangeEnded: (exchange) => {
        const { n, state } = exchange;
        this.#event(() => `← upstream ${n}: ${state}`);
        inner.exchangeEnded(exchange);
      },
      answered: (client, answer) => {
        this.#event(() => answerLine(client, answer));
        inner.answered(client, answer);
      },
      closed: (client) => {
        const { end } = client;
        this.#event(() => `client ${client.n}: ${end}, ${Buffer.concat(client.body).length} bytes`);
        inner.closed(client);
      },
      purged: (purge: PurgeRecord) => inner.purged(purge),
    };
  }

  text(): string {
    return this.#lines.map((line) => line()).join('\n');
  }

  #asked(client: ClientRecord): void {
    this.#event(() => `client ${client.n}: ${client.method} ${client.target}${fieldsText(client.fields)}`);
  }

  #event(line: () => string): void {
    this.#lines.push(() => `${' '.repeat(14)}${line()}`);
  }
}

function requestLine({ method, target, fields }: ExchangeRecord): string {
  return `${method} ${target}${fieldsText(fields)}`;
}

function headLine({ n, message }: ExchangeRecord): string {
  if (message === null) return `← upstream ${n}`;
  const cut = message.cutAt === null ? '' : `, cut at ${message.cutAt}`;
  const body = message.body.toString('latin1', 0, 16);
  return `← upstream ${n}: ${message.status}${fieldsText(message.fields)}  [${message.body.length} bytes "${body}"${cut}]`;
}

function answerLine(client: ClientRecord, { status, fields }: AnswerRecord): string {
  const made = fields.filter((name, i) => i % 2 === 0 && /^x-m\d+$/.test(name)).map((name) => name.slice(3));
  const from = made.length === 0 ? 'nobody' : `message ${made.join('+')}`;
  const age = fieldOf(fields, 'age');
  const range = fieldOf(fields, 'content-range');
  return [
    `client ${client.n} ⇐ ${status} of ${from}`,
    age === undefined ? '' : `, age ${age}`,
    range === undefined ? '' : `, ${range}`,
    ` (${fieldOf(fields, 'cache-status') ?? 'no cache-status'})`,
  ].join('');
}

function fieldsText(fields: Fields): string {
  let text = '';
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] as string;
    const hidden = USUAL.includes(name) || name.startsWith('x-forwarded-') || /^x-m\d+$/.test(name) || name === HOST;
    if (!hidden) text += `  ${name}: ${fields[i + 1]}`;
  }
  return text;
}
