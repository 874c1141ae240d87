// Runs scenarios: builds the world, takes its steps, and asks the reference after everything that happens. The first thing that
// is not allowed, or does not happen although it must, ends the scenario.

import { mock } from 'node:test';
import fc from 'fast-check';
import type { Config } from '../../gateway/config/config.ts';
import { fieldOf, fieldsOf } from '../../gateway/http/fields.ts';
import { Liveness } from './liveness.ts';
import type { AnswerRecord, ClientRecord, ExchangeRecord, PurgeRecord, Watcher } from './records.ts';
import { Reference } from './reference.ts';
import { rulesOf } from './routes.ts';
import { type Scenario, scenarios } from './scenario.ts';
import { Transcript } from './transcript.ts';
import { config, World } from './world.ts';

/** The fields by which one client's request could be told from another's. */
const IDENTITY = ['cookie', 'authorization', 'x-api-key'];

/** What happened in a scenario that should not have. */
export interface Fault {
  readonly why: string;
  /** Steps and events, one a line. */
  readonly transcript: string;
}

/** Watches one scenario and keeps the first fault. */
class Judge implements Watcher {
  fault: string | null = null;
  readonly #reference: Reference;
  readonly #liveness: Liveness;

  constructor(exchanges: readonly ExchangeRecord[], tight: boolean) {
    this.#reference = new Reference(exchanges);
    this.#liveness = new Liveness(this.#reference, tight);
  }

  asked(client: ClientRecord): void {
    this.#liveness.asked(client);
  }

  forwarded(exchange: ExchangeRecord): void {
    this.#note(`request ${exchange.n} to the upstream`, misForwarded(exchange) ?? this.#liveness.forwarded(exchange));
  }

  headCame(exchange: ExchangeRecord): void {
    this.#liveness.headCame(exchange);
  }

  exchangeEnded(exchange: ExchangeRecord): void {
    this.#liveness.exchangeEnded(exchange);
  }

  answered(client: ClientRecord, answer: AnswerRecord): void {
    const why = this.#reference.judge(client, answer) ?? this.#liveness.answered(client, answer);
    this.#note(`the answer to client ${client.n}`, why);
  }

  closed(client: ClientRecord): void {
    this.#note(`the answer to client ${client.n}`, this.#reference.judgeEnd(client));
  }

  purged(purge: PurgeRecord): void {
    this.#reference.purged(purge);
    this.#liveness.purged();
  }

  afterStep(clients: readonly ClientRecord[]): void {
    this.#note('after this step', this.#liveness.afterStep(clients));
  }

  #note(what: string, why: string | null): void {
    if (why !== null) this.fault ??= `${what}: ${why}`;
  }
}

/** Whether the gateway asks the upstream something that its client did not. */
function misForwarded({ client, method, target, fields }: ExchangeRecord): string | null {
  // What runs in the background reads what the client asked for.
  const isRefresh = client.answer !== null && client.method === 'HEAD' && method === 'GET';
  if (method !== client.method && !isRefresh) return `${method} for a ${client.method}`;
  if (target !== client.target) return `${target} for ${client.target}`;
  const wishes = fieldOf(client.fields, 'cache-control') ?? '';
  if (
    wishes.includes('only-if-cached') &&
    client.answer === null &&
    method === 'GET' &&
    !rulesOf(target).off &&
    !rulesOf(target).deaf
  )
    if (fieldOf(client.fields, 'if-match') === undefined && client.asked.body === '')
      return 'only-if-cached in the request (5.2.1.7)';
  const range = fieldOf(fields, 'range');
  const asksForRest = method === 'GET' && (fieldOf(fields, 'if-range') ?? '').startsWith('"');
  if (range !== undefined && range !== fieldOf(client.fields, 'range') && !asksForRest)
    return `${range}, which the client did not ask for, without a strong If-Range (RFC 9110 13.1.5)`;
  for (const name of IDENTITY)
    if (fieldsOf(fields, name).join() !== fieldsOf(client.fields, name).join()) return `another ${name}`;
  return null;
}

/** Takes a scenario to its end or its first fault. */
export async function run(scenario: Scenario, given?: Config): Promise<Fault | null> {
  const read = given ?? (await config);
  const transcript = new Transcript();
  mock.timers.enable({ apis: ['setTimeout'] });
  try {
    return await walk(scenario, read, transcript);
  } finally {
    mock.timers.reset();
  }
}

async function walk(scenario: Scenario, config: Config, transcript: Transcript): Promise<Fault | null> {
  const exchanges: ExchangeRecord[] = [];
  const judge = new Judge(exchanges, scenario.tight);
  const world = new World(scenario, config, transcript.around(judge), exchanges);
  const records = (): ClientRecord[] => world.clients.map(({ record }) => record);
  const faultNow = (): string | null => judge.fault ?? world.problems[0] ?? null;
  const take = async (what: string, act: () => Promise<void>): Promise<string | null> => {
    transcript.step(world.nowMs, what);
    try {
      await act();
    } catch (error) {
      return `it threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
    }
    judge.afterStep(records());
    return faultNow();
  };
  let why: string | null = null;
  for (const step of scenario.steps) {
    why = await take(world.describe(step), () => world.step(step));
    if (why !== null) break;
  }
  why ??= await take('everything held goes on', () => world.finish());
  why ??= world.leftovers()[0] ?? null;
  return why === null ? null : { why, transcript: transcript.text() };
}

export interface Search {
  readonly seed: number;
  readonly runs: number;
  readonly steps: number;
  /** No new batch begins after this long; null = all runs. */
  readonly mostMs: number | null;
  /** Called after each batch with the runs so far. */
  readonly progress?: (runs: number) => void;
}

const BATCH = 50;

/** Looks for a scenario with a fault. Returns how many were run, and the smallest faulty one as text, or null. */
export async function search(wanted: Search): Promise<{ readonly runs: number; readonly found: string | null }> {
  const beganMs = performance.now();
  let runs = 0;
  while (runs < wanted.runs) {
    if (wanted.mostMs !== null && performance.now() - beganMs > wanted.mostMs) break;
    const batch = Math.min(BATCH, wanted.runs - runs);
    const seed = wanted.seed + runs / BATCH;
    const property = fc.asyncProperty(scenarios(wanted.steps), async (scenario) => (await run(scenario)) === null);
    const result = await fc.check(property, { seed, numRuns: batch });
    runs += batch;
    wanted.progress?.(runs);
    const scenario = result.counterexample?.[0];
    if (!result.failed || scenario === undefined) continue;
    const fault = await run(scenario);
    const again = `npm run model -- --seed ${seed} --runs ${batch} --steps ${wanted.steps}`;
    const text = fault === null ? 'it does not fail again: the scenario is not deterministic' : fault.transcript;
    return { runs, found: `${text}\n${fault === null ? '' : `✗ ${fault.why}\n`}\n${again}` };
  }
  return { runs, found: null };
}
