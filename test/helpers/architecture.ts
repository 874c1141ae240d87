// The rules of the house as a checker: layers, cycles, purity, who may know which package. It gets sources as text and
// answers with complaints; test/architecture.test.ts gives it the gateway's own sources, and bad ones to see it complain.

import { dirname, join } from 'node:path/posix';
import { type Import, importsOf, scan, type Token } from './scanner.ts';

/** Path from the repository's root ("gateway/http/fields.ts") → text. */
export type Sources = ReadonlyMap<string, string>;

/** The table of DESIGN 2, lowest first. A row is a room: its files may import each other, and rooms of lower layers. */
const ROOMS: readonly { readonly layer: number; readonly paths: readonly string[] }[] = [
  { layer: 0, paths: ['gateway/http/'] },
  { layer: 0, paths: ['gateway/tables/'] },
  { layer: 1, paths: ['gateway/config/'] },
  { layer: 2, paths: ['gateway/route/'] },
  { layer: 2, paths: ['gateway/policy/'] },
  { layer: 2, paths: ['gateway/balance/'] },
  { layer: 2, paths: ['gateway/guard/'] },
  { layer: 3, paths: ['gateway/store/'] },
  { layer: 3, paths: ['gateway/upstream/'] },
  { layer: 3, paths: ['gateway/tls/'] },
  { layer: 3, paths: ['gateway/observe/'] },
  { layer: 4, paths: ['gateway/runtime.ts'] },
  { layer: 5, paths: ['gateway/fetch/'] },
  { layer: 6, paths: ['gateway/request/'] },
  { layer: 7, paths: ['gateway/edge/'] },
  { layer: 7, paths: ['gateway/admin/'] },
  { layer: 8, paths: ['gateway/worker.ts', 'gateway/control/'] },
  { layer: 9, paths: ['gateway/main.ts', 'gateway/cli/'] },
];

/** The rooms that a request passes; above them is control. */
const LAST_DATA_LAYER = 7;
const PURE_UP_TO = 2;
const READS_FILES = 'gateway/config/load.ts';
const MAY_USE_PROCESS = ['gateway/main.ts', 'gateway/cli/'];

/** Packages that one place knows, so that replacing one is a change of one place. */
const PACKAGE_HOMES: Readonly<Record<string, string>> = {
  undici: 'gateway/upstream/',
  'http-proxy-3': 'gateway/upstream/tunnel.ts',
  selfsigned: 'gateway/tls/local.ts',
  '@fastify/send': 'gateway/upstream/static.ts',
  '@keyv/redis': 'gateway/store/remote/client.ts',
  '@redis/client': 'gateway/store/remote/client.ts',
  keyv: 'gateway/store/remote/client.ts',
  'rate-limiter-flexible': 'gateway/store/remote/rates.ts',
};

/** Effects that come in as arguments in the pure layers: a global's member, or a bare global. */
const EFFECT_MEMBERS = new Set([
  'Date.now',
  'Math.random',
  'performance.now',
  'crypto.getRandomValues',
  'crypto.randomUUID',
]);
const EFFECT_WORDS = new Set(['setTimeout', 'setInterval', 'setImmediate', 'randomBytes', 'randomInt', 'randomUUID']);
/** Node's own modules that pure layers may load; node:net only for reading addresses. */
const PURE_MODULES = new Set(['node:buffer', 'node:crypto', 'node:path', 'node:url', 'node:util', 'node:querystring']);
const PURE_NET_NAMES = new Set(['isIP', 'isIPv4', 'isIPv6', 'BlockList', 'SocketAddress']);

/** A type stands here, so `any` is the type and not a name. */
const BEFORE_TYPE = new Set([
  ':',
  '<',
  '|',
  '&',
  ',',
  '=',
  '(',
  '[',
  '=>',
  'as',
  'extends',
  'readonly',
  'is',
  'satisfies',
]);
const AFTER_NAME = new Set([':', '(', '?', '?.', '.']);

function roomOf(file: string): (typeof ROOMS)[number] | undefined {
  return ROOMS.find((room) =>
    room.paths.some((path) => file === path || (path.endsWith('/') && file.startsWith(path))),
  );
}

function isUnder(file: string, places: readonly string[]): boolean {
  return places.some((place) => file === place || (place.endsWith('/') && file.startsWith(place)));
}

function packageOf(from: string): string {
  return from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/');
}

function checkLayer(file: string, target: string, line: number): string[] {
  const own = roomOf(file);
  const other = roomOf(target);
  if (own === undefined || other === undefined || own === other || other.layer < own.layer) return [];
  const how = other.layer > own.layer ? 'runs up' : 'runs across';
  return [`${file}:${line} imports ${target}: layer ${own.layer} to ${other.layer} ${how}`];
}

function checkPackage(file: string, found: Import, dependencies: ReadonlySet<string>): string[] {
  const name = packageOf(found.from);
  const at = `${file}:${found.line} imports ${name}`;
  const complaints: string[] = [];
  const home = PACKAGE_HOMES[name];
  if (home !== undefined && !isUnder(file, [home])) complaints.push(`${at}: only ${home} knows it`);
  if (!dependencies.has(name)) complaints.push(`${at}: not in package.json's dependencies`);
  return complaints;
}

function checkPureModule(file: string, found: Import): string[] {
  if (found.typeOnly || file === READS_FILES || PURE_MODULES.has(found.from)) return [];
  if (found.from === 'node:net' && found.names?.every((name) => PURE_NET_NAMES.has(name))) return [];
  return [`${file}:${found.line} imports ${found.from}: a pure layer has no effects`];
}

function checkEffects(file: string, tokens: readonly Token[], index: number): string[] {
  const token = tokens[index] as Token;
  const before = tokens[index - 1]?.text;
  if (before === '.' || before === '?.') return [];
  const member = tokens[index + 1]?.text === '.' ? `${token.text}.${tokens[index + 2]?.text}` : '';
  const noArguments = tokens[index + 1]?.text !== '(' || tokens[index + 2]?.text === ')';
  let effect = '';
  if (EFFECT_MEMBERS.has(member)) effect = member;
  else if (EFFECT_WORDS.has(token.text)) effect = token.text;
  else if (token.text === 'Date' && before === 'new' && noArguments) effect = 'new Date()';
  return effect === '' ? [] : [`${file}:${token.line} uses ${effect}: time and chance are arguments here`];
}

function checkWords(file: string, tokens: readonly Token[], layer: number): string[] {
  const complaints: string[] = [];
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i] as Token;
    if (token.kind !== 'word') continue;
    const before = tokens[i - 1]?.text ?? '';
    const after = tokens[i + 1]?.text ?? '';
    const at = `${file}:${token.line}`;
    if (token.text === 'export' && after === 'default') complaints.push(`${at} has a default export`);
    if (token.text === 'any' && BEFORE_TYPE.has(before) && !AFTER_NAME.has(after))
      complaints.push(`${at} has the type any`);
    const isGlobal =
      before !== '.' && before !== '?.' ? after === '.' || after === '?.' : tokens[i - 2]?.text === 'globalThis';
    if (token.text === 'process' && isGlobal && !isUnder(file, MAY_USE_PROCESS)) {
      complaints.push(`${at} uses process: only main.ts and cli/ do, others get it as an argument`);
    }
    if (layer <= PURE_UP_TO) complaints.push(...checkEffects(file, tokens, i));
  }
  return complaints;
}

/**
 * A function literal that is assigned to a property is put into V8's old space at once (it takes it for a method that stays), and
 * with it everything that it closes over lives until the next full collection: for each request that is three quarters of the
 * collector's work. With a name of its own first it is like any other object.
 */
function checkLiterals(file: string, tokens: readonly Token[], layer: number): string[] {
  if (layer > LAST_DATA_LAYER) return [];
  const complaints: string[] = [];
  for (let i = 2; i < tokens.length; i++) {
    const dot = tokens[i - 2]?.text;
    if (tokens[i]?.text !== '=' || (dot !== '.' && dot !== '?.')) continue;
    const next = tokens[i + 1]?.text === 'async' ? i + 2 : i + 1;
    if (tokens[next]?.text === 'function' || arrowStarts(tokens, next))
      complaints.push(`${file}:${tokens[i]?.line} assigns a function literal to a property: give it a name first`);
  }
  return complaints;
}

function arrowStarts(tokens: readonly Token[], start: number): boolean {
  if (tokens[start]?.text !== '(') return tokens[start + 1]?.text === '=>';
  let depth = 0;
  for (let i = start; i < tokens.length; i++) {
    const text = tokens[i]?.text;
    if (text === '(') depth++;
    else if (text === ')') depth--;
    // Behind the parameters: at once, or behind a type.
    if (depth === 0)
      return tokens
        .slice(i + 1, i + 8)
        .some((token, at, some) => token.text === '=>' && !some.slice(0, at).some(({ text }) => text === ';'));
  }
  return false;
}

/** Each cycle once, as "a → b → a". */
function findCycles(edges: ReadonlyMap<string, readonly string[]>): string[] {
  const cycles: string[] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const start = path.indexOf(file);
    if (start !== -1) cycles.push(`cycle: ${[...path.slice(start), file].join(' → ')}`);
    if (start !== -1 || done.has(file)) return;
    path.push(file);
    for (const next of edges.get(file) ?? []) visit(next);
    path.pop();
    done.add(file);
  };
  for (const file of edges.keys()) visit(file);
  return cycles;
}

/**
 * Everything in these sources that breaks a rule of DESIGN section 2, as lines for a reader; empty when all is well.
 * `dependencies` are the packages that the published program brings along.
 */
export function checkArchitecture(sources: Sources, dependencies: ReadonlySet<string>): string[] {
  const complaints: string[] = [];
  const edges = new Map<string, string[]>();
  for (const [file, text] of sources) {
    const room = roomOf(file);
    if (room === undefined) complaints.push(`${file} stands in no layer: add its room to the table`);
    const layer = room?.layer ?? Number.POSITIVE_INFINITY;
    const tokens = scan(text);
    const targets: string[] = [];
    for (const found of importsOf(tokens)) {
      if (found.from.startsWith('.')) {
        const target = join(dirname(file), found.from);
        targets.push(target);
        if (!sources.has(target)) complaints.push(`${file}:${found.line} imports ${target}: no such source`);
        complaints.push(...checkLayer(file, target, found.line));
      } else if (found.from === 'node:process' && !isUnder(file, MAY_USE_PROCESS)) {
        complaints.push(`${file}:${found.line} imports node:process: only main.ts and cli/ do`);
      } else if (found.from.startsWith('node:')) {
        if (layer <= PURE_UP_TO) complaints.push(...checkPureModule(file, found));
      } else {
        complaints.push(...checkPackage(file, found, dependencies));
      }
    }
    edges.set(file, targets);
    complaints.push(...checkWords(file, tokens, layer), ...checkLiterals(file, tokens, layer));
  }
  return [...complaints, ...findCycles(edges)];
}
