// Plays cases through a gateway: the requests of each in order, many cases at once, and then the verdicts. It starts and
// stops the gateway and the origin, and prints nothing.

import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { startRedis, startSharing } from '../helpers/redis.ts';
import type { Case, RequestConfig } from './cases.ts';
import { checkLog, checkResponse, type Problem } from './checks.ts';
import { type Client, openHttp1, openHttp2, type Received, type Sent } from './client.ts';
import { type Field, fieldOf, resolveValue } from './fields.ts';
import { type LogEntry, startConformanceOrigin } from './origin.ts';
import { formatMessage, type Trace } from './trace.ts';

export interface SuiteOptions {
  /** Threads of the gateway's data plane. */
  readonly workers: number;
  readonly protocol: 'http' | 'https' | 'h2';
  /** A Redis behind the gateway's memory. */
  readonly redis: boolean;
  /** Cases known to fail, which are not worth a second try. */
  readonly knownFailures: ReadonlySet<string>;
  /** Takes both sides of the cases in `traced`; cases then run one at a time. */
  readonly trace: Trace | null;
  readonly traced: ReadonlySet<string>;
}

export interface Outcome {
  readonly case: Case;
  /** All checks of the case itself hold. */
  readonly problem: Problem | null;
  /** The dependency that did not pass, when that is why this one does not. */
  readonly blockedBy: string | null;
  readonly passed: boolean;
  /** It failed beside others and passed alone. */
  readonly secondTry: boolean;
}

export interface SuiteResult {
  readonly outcomes: readonly Outcome[];
  /** Cases that failed and were not tried again, since so many failures are no noise. */
  readonly notRetried: number;
  /** Cases that failed as they did when the floor was written, and were not tried again for that. */
  readonly knownFailed: number;
  readonly seconds: number;
}

const AT_ONCE = 25;
const ANSWER_MS = 10_000;
const PAUSE_MS = 3_000;
/** More new failures than this are not the machine's fault, and each second try takes seconds. */
const MOST_RETRIES = 12;

/** What an operator writes for a site whose responses say how they may be cached; no route, field or path of the suite. */
const CACHE_TEXT = '  heuristic: 10%';

function siteText(originUrl: string): string {
  return `
upstreams:
  site: "${originUrl}"
routes:
  - { match: "/*", upstream: site, cache: auto }
`;
}

function gatewayFor(originUrl: string, workers: number, redisUrl: string | null): Promise<Gateway> {
  const site = siteText(originUrl);
  if (redisUrl !== null) return startSharing(`"${redisUrl}"`, site, { workers, cache: CACHE_TEXT });
  return startGateway({ config: `\nworkers: ${workers}\ncache:\n${CACHE_TEXT}\n${site}` });
}

/** What a fetch client sends of its own accord. */
const FETCH_FIELDS: readonly Field[] = [
  ['accept', '*/*'],
  ['accept-language', '*'],
  ['sec-fetch-mode', 'cors'],
  ['user-agent', 'node'],
  ['accept-encoding', 'gzip, deflate'],
];

function requestOf(one: Case, index: number, token: string, previous: Received | undefined): Sent {
  const config = one.requests[index] ?? {};
  const baseMs =
    config.magic_ims === true && previous !== undefined ? Number(fieldOf(previous.fields, 'server-now')) : Date.now();
  const file = config.filename === undefined ? '' : `/${config.filename}`;
  const query = config.query_arg === undefined ? '' : `?${config.query_arg}`;
  return {
    method: config.request_method ?? 'GET',
    target: `/test/${token}${file}${query}`,
    fields: [
      ['Pragma', 'foo'],
      ['Cache-Control', 'nothing-to-see-here'],
      ...(config.request_headers ?? []).map((entry): Field => [entry[0], resolveValue(entry, config, baseMs, '')]),
      ['Test-Name', one.name],
      ['Test-ID', one.id],
      ['Req-Num', String(index + 1)],
      ...FETCH_FIELDS,
    ],
    body: config.request_body ?? null,
  };
}

function failureOf(error: unknown, number: number): Problem {
  const reason = error instanceof Error ? error.message : String(error);
  const isLate = error instanceof Error && (error.name === 'AbortError' || error.name === 'TimeoutError');
  return { setup: false, reason: `request ${number}: ${isLate ? `no answer in ${ANSWER_MS / 1000} s` : reason}` };
}

async function configure(client: Client, token: string, requests: readonly RequestConfig[]): Promise<void> {
  const fields: Field[] = [['content-type', 'application/json']];
  const sent: Sent = { method: 'PUT', target: `/config/${token}`, fields, body: JSON.stringify(requests) };
  const { status } = await client.send(sent, ANSWER_MS);
  if (status !== 201) throw new Error(`the origin took no configuration: ${status}`);
}

async function readLog(client: Client, token: string): Promise<readonly LogEntry[]> {
  const sent: Sent = { method: 'GET', target: `/state/${token}`, fields: [], body: null };
  const { status, body } = await client.send(sent, ANSWER_MS);
  if (status !== 200) throw new Error(`the origin gave no log: ${status}`);
  return JSON.parse(body) as readonly LogEntry[];
}

/** Plays one case; its first problem, or null. */
async function playCase(one: Case, client: Client, trace: Trace | null): Promise<Problem | null> {
  const token = randomUUID();
  const responses: Received[] = [];
  try {
    await configure(client, token, one.requests);
    for (const [index, config] of one.requests.entries()) {
      const sent = requestOf(one, index, token, responses.at(-1));
      trace?.('client sent', formatMessage(`${sent.method} ${sent.target}`, sent.fields, sent.body ?? ''));
      const response = await client.send(sent, ANSWER_MS);
      for (const { status, fields } of response.interim) {
        trace?.('client received', formatMessage(String(status), fields, ''));
      }
      trace?.('client received', formatMessage(String(response.status), response.fields, response.body));
      responses.push(response);
      const problem = checkResponse(config, index + 1, response, token);
      if (problem !== null) return problem;
      if (config.pause_after === true) await pause(PAUSE_MS);
    }
    return checkLog(one.requests, responses, await readLog(client, token));
  } catch (error) {
    return failureOf(error, responses.length + 1);
  }
}

function pausesOf(one: Case): number {
  return one.requests.filter((config) => config.pause_after === true || config.response_pause !== undefined).length;
}

type Problems = Map<string, Problem | null>;

/** Plays the cases, at most `atOnce` at a time. */
async function playAll(
  cases: readonly Case[],
  atOnce: number,
  play: (one: Case) => Promise<Problem | null>,
): Promise<Problems> {
  // The longest first, so that none is left alone at the end.
  const queue = [...cases].sort((a, b) => pausesOf(b) - pausesOf(a));
  const problems: Problems = new Map();
  const lanes = Array.from({ length: atOnce }, async () => {
    for (let one = queue.shift(); one !== undefined; one = queue.shift()) problems.set(one.id, await play(one));
  });
  await Promise.all(lanes);
  return problems;
}

/** The cases, and those they depend on, in the order of the list. */
export function withDependencies(all: readonly Case[], ids: readonly string[]): readonly Case[] {
  const byId = new Map(all.map((one) => [one.id, one]));
  const wanted = new Set<string>();
  const add = (id: string): void => {
    if (wanted.has(id)) return;
    wanted.add(id);
    byId.get(id)?.dependsOn.forEach(add);
  };
  ids.forEach(add);
  return all.filter((one) => wanted.has(one.id));
}

/** Verdicts as the suite counts: a case whose dependency did not pass is not passed. */
export function judge(
  cases: readonly Case[],
  problems: ReadonlyMap<string, Problem | null>,
): Map<string, string | null> {
  const byId = new Map(cases.map((one) => [one.id, one]));
  const blockers = new Map<string, string | null>();
  const blockerOf = (id: string): string | null => {
    const known = blockers.get(id);
    if (known !== undefined) return known;
    // Holds while its dependencies are looked at, so that a circle ends.
    blockers.set(id, null);
    const blocker = byId.get(id)?.dependsOn.find((other) => problems.get(other) !== null || blockerOf(other) !== null);
    blockers.set(id, blocker ?? null);
    return blocker ?? null;
  };
  for (const one of cases) blockerOf(one.id);
  return blockers;
}

async function openClient(
  options: SuiteOptions,
  ports: { http: number; https: number },
  ca: () => string,
): Promise<Client> {
  if (options.protocol === 'http') return openHttp1(ports.http, null);
  if (options.protocol === 'https') return openHttp1(ports.https, ca());
  return openHttp2(ports.https, ca(), 4 * options.workers);
}

/** Starts a gateway and an origin, plays the cases, and ends both. */
export async function runSuite(cases: readonly Case[], options: SuiteOptions): Promise<SuiteResult> {
  const startedMs = performance.now();
  await using stack = new AsyncDisposableStack();
  const origin = await startConformanceOrigin();
  stack.defer(() => origin.close());
  const redis = options.redis ? stack.use(await startRedis()) : null;
  const gateway = await gatewayFor(origin.url, options.workers, redis?.url ?? null);
  stack.use(gateway);
  const client = await openClient(options, gateway, () => readFileSync(join(gateway.folder, 'certs/ca.pem'), 'utf8'));
  stack.defer(() => client.close());

  const play = async (one: Case): Promise<Problem | null> => {
    const trace = options.traced.has(one.id) ? options.trace : null;
    trace?.(`case ${one.id}`, `    ${one.name}`);
    origin.traceTo(trace);
    return playCase(one, client, trace);
  };
  const problems = await playAll(cases, options.trace === null ? AT_ONCE : 1, play);

  const scored = cases.filter((one) => one.kind !== 'check').map((one) => one.id);
  const allFailed = withDependencies(cases, scored).filter((one) => problems.get(one.id) !== null);
  const failed = allFailed.filter((one) => !options.knownFailures.has(one.id));
  const secondTry = new Set<string>();
  const isNoise = options.trace === null && failed.length <= MOST_RETRIES;
  for (const one of isNoise ? failed : []) {
    const problem = await play(one);
    problems.set(one.id, problem);
    if (problem === null) secondTry.add(one.id);
  }

  const blockers = judge(cases, problems);
  const outcomes = cases.map((one): Outcome => {
    const problem = problems.get(one.id) ?? null;
    const blockedBy = blockers.get(one.id) ?? null;
    return {
      case: one,
      problem,
      blockedBy,
      passed: problem === null && blockedBy === null,
      secondTry: secondTry.has(one.id),
    };
  });
  const seconds = (performance.now() - startedMs) / 1000;
  return { outcomes, notRetried: isNoise ? 0 : failed.length, knownFailed: allFailed.length - failed.length, seconds };
}
