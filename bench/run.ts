// `npm run bench`: the pure parts by tinybench, then the wire by wrk. Figures are for comparing within one run on one
// machine; no test depends on them.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { canInstall, installPackages } from '../scripts/apt.ts';
import { benchMicro } from './micro.ts';
import { formatResults, type Results } from './report.ts';
import { benchWire, type WireOptions } from './wire.ts';

const HELP = `npm run bench [-- OPTION...]

Measures the pure parts (key, match, policy, a whole hit) and then, with wrk, a proxied GET and a cache hit
through this gateway, a bare http-proxy-3 and nginx, each pinned to one core, in interleaved rounds.

  --only micro|wire   one of the two
  --rounds N          rounds of each server on the wire (5)
  --seconds N         length of a round (5)
  --connections N     keep-alive connections of the load (64)
  --quick             2 rounds of 2 s, short pure parts: to see that it runs
  --json              the results as JSON on stdout; progress goes to stderr either way
  --help              this text

Results are also kept in bench/results/, but for --quick. The wire needs Linux, two cores, wrk, taskset and, for its rows, nginx; on
Debian as root wrk and nginx are installed by apt (nginx is not started).
`;

function has(program: string): boolean {
  return ['/usr/bin', '/usr/sbin', '/usr/local/bin'].some((folder) => existsSync(join(folder, program)));
}

function progress(text: string): void {
  process.stderr.write(`bench: ${text}\n`);
}

function fail(text: string, code: number): never {
  process.stderr.write(`bench: ${text}\n`);
  process.exit(code);
}

/** A whole number over 0 and at most `most`, or the end with exit code 2. */
function count(text: string, option: string, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most) fail(`--${option} must be 1 to ${most}`, 2);
  return value;
}

function readArguments(): {
  only: string | undefined;
  json: boolean;
  quick: boolean;
  wire: Omit<WireOptions, 'nginx'>;
} {
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string' },
        rounds: { type: 'string', default: '5' },
        seconds: { type: 'string', default: '5' },
        connections: { type: 'string', default: '64' },
        quick: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    if (values.only !== undefined && values.only !== 'micro' && values.only !== 'wire') fail('--only micro or wire', 2);
    const rounds = values.quick ? 2 : count(values.rounds, 'rounds', 100);
    const seconds = values.quick ? 2 : count(values.seconds, 'seconds', 60);
    const connections = count(values.connections, 'connections', 1000);
    return {
      only: values.only,
      json: values.json,
      quick: values.quick,
      wire: { rounds, seconds, connections, progress },
    };
  } catch (error) {
    return fail(`${(error as Error).message}; see npm run bench -- --help`, 2);
  }
}

/** Brings wrk and nginx; null when there can be no wire bench, whether nginx is there otherwise. */
function prepareWire(): { nginx: boolean } | null {
  if (process.platform !== 'linux') return null;
  const missing = ['wrk', 'nginx'].filter((name) => !has(name));
  if (missing.length > 0 && canInstall()) {
    progress(`installing ${missing.join(', ')} with apt`);
    if (!installPackages(missing)) progress('apt failed; what it said stands above');
  }
  if (!has('wrk') || !has('taskset') || availableParallelism() < 2) return null;
  return { nginx: has('nginx') };
}

function versionOf(program: string, ...args: readonly string[]): string {
  const done = execFileSync('/bin/sh', ['-c', '"$@" 2>&1 | head -1', 'sh', program, ...args], { encoding: 'utf8' });
  return done.trim();
}

const { only, json, quick, wire } = readArguments();
const place = only === 'micro' ? null : prepareWire();
if (place === null && only === 'wire') fail('the wire needs Linux, two cores, wrk and taskset', 1);
if (place === null && only === undefined) progress('no wire bench: it needs Linux, two cores, wrk and taskset');
if (place?.nginx === false) progress('no nginx rows: it is not on this machine');

const micro = only === 'wire' ? [] : await benchMicro({ timeMs: quick ? 100 : 1000, progress });
const rows = place === null ? [] : await benchWire({ ...wire, nginx: place.nginx });
const when = new Date().toISOString().slice(0, 16);
const results: Results = {
  when,
  machine: `${cpus()[0]?.model ?? 'unknown'}, ${availableParallelism()} cores`,
  node: process.versions.node,
  peers: place?.nginx ? [versionOf('nginx', '-v').replace('nginx version: ', '')] : [],
  settings: { rounds: wire.rounds, seconds: wire.seconds, connections: wire.connections },
  micro,
  wire: rows,
};
const asJson = `${JSON.stringify(results, null, 2)}\n`;
process.stdout.write(json ? asJson : `\n${formatResults(results)}`);
if (!quick) {
  const folder = join(import.meta.dirname, 'results');
  const file = join(folder, when.replaceAll(':', ''));
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${file}.json`, asJson);
  writeFileSync(`${file}.md`, formatResults(results));
  progress(`kept in ${file}.md and .json`);
}
