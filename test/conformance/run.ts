// `npm run conformance`: plays the public suite for HTTP caches through the real gateway and says how it fares.

import { parseArgs } from 'node:util';
import { type CaseSet, loadCases } from './cases.ts';
import { belowFloor, raiseFloor, readFloor, readPurposes, scoreOf } from './floor.ts';
import { formatJson, formatReport, formatVerdicts } from './report.ts';
import { runSuite, type SuiteOptions, withDependencies } from './suite.ts';
import { createTrace } from './trace.ts';

const HELP = `npm run conformance [-- OPTION...]

Plays the cases behind cache-tests.fyi that apply to a proxy through this gateway, in one plain configuration, and prints
the score, the published scores of other proxies beside it, and each case that did not pass with its reason.
Cases come from the file in $CACHE_TESTS, else from ../shared/conformance/cache-tests.json, else from the npm package
http-cache-tests, an older state of the suite with totals of its own.

  --tls           the client speaks TLS
  --h2            the client speaks HTTP/2, over TLS
  --redis         a Redis behind the gateway's memory (redis-server must be installed)
  --workers N     threads of the gateway's data plane (1)
  --id ID         only this case and what it depends on; shows each request and response on both sides. May be repeated
  --raise-floor   write a better score into test/conformance/floor.json, below which npm test fails
  --json          the results as JSON
  --help          this text

Examples:
  npm run conformance
  npm run conformance -- --tls --h2 --workers 2
  npm run conformance -- --redis --workers 2
  npm run conformance -- --id vary-match
  CACHE_TESTS=new-cases.json npm run conformance -- --json

Exit code: 0; 1 when the score is below the floor or a case of --id did not pass; 2 when the command cannot be run.
`;

interface Arguments {
  readonly protocol: SuiteOptions['protocol'];
  readonly workers: number;
  readonly redis: boolean;
  readonly ids: readonly string[];
  readonly raiseFloor: boolean;
  readonly json: boolean;
}

function readArguments(argv: readonly string[]): Arguments | 'help' {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      tls: { type: 'boolean', default: false },
      h2: { type: 'boolean', default: false },
      workers: { type: 'string', default: '1' },
      redis: { type: 'boolean', default: false },
      id: { type: 'string', multiple: true, default: [] },
      'raise-floor': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const workers = Number(values.workers);
  if (!Number.isInteger(workers) || workers < 1 || workers > 64) throw new Error('--workers must be 1 to 64');
  const secure = values.tls ? 'https' : 'http';
  return {
    protocol: values.h2 ? 'h2' : secure,
    workers,
    redis: values.redis,
    ids: values.id,
    raiseFloor: values['raise-floor'],
    json: values.json,
  };
}

const PROTOCOLS = { http: 'HTTP/1.1', https: 'HTTP/1.1 and TLS', h2: 'HTTP/2 and TLS' } as const;

function write(text: string): void {
  process.stdout.write(text);
}

/** Runs the cases of `--id` with everything shown; whether all of them passed. */
async function runSome(set: CaseSet, args: Arguments): Promise<boolean> {
  const unknown = args.ids.find((id) => !set.cases.some((one) => one.id === id));
  if (unknown !== undefined) throw new Error(`no case ${unknown} in ${set.source}`);
  const traced = new Set(args.ids);
  const cases = withDependencies(set.cases, args.ids);
  const trace = createTrace((text) => process.stderr.write(text));
  const { workers, protocol, redis } = args;
  const options = { workers, protocol, redis, knownFailures: traced, trace, traced };
  const result = await runSuite(cases, options);
  const report = { set: { ...set, cases }, result, setting: settingOf(args), purposes: readPurposes(set.name) };
  write(args.json ? formatJson(report) : formatVerdicts(result.outcomes));
  return result.outcomes.every((one) => one.passed || !traced.has(one.case.id));
}

function settingOf(args: Arguments): string {
  const workers = `${args.workers} ${args.workers === 1 ? 'worker' : 'workers'}`;
  return `${PROTOCOLS[args.protocol]}, ${workers}${args.redis ? ', Redis' : ''}`;
}

/** Runs all cases; whether the floor holds. */
async function runAll(set: CaseSet, args: Arguments): Promise<boolean> {
  const { workers, protocol, redis } = args;
  const floor = readFloor(set.name);
  const knownFailures = new Set(floor?.failing ?? []);
  const result = await runSuite(set.cases, {
    workers,
    protocol,
    redis,
    knownFailures,
    trace: null,
    traced: new Set(),
  });
  const report = { set, result, setting: settingOf(args), purposes: readPurposes(set.name) };
  write(args.json ? formatJson(report) : formatReport(report));
  const complaint = floor === null ? null : belowFloor(scoreOf(result.outcomes), floor);
  if (complaint !== null) process.stderr.write(`conformance: ${complaint}\n`);
  if (args.raiseFloor && set.name !== 'file') {
    const { required, optimal } = raiseFloor(set.name, result.outcomes);
    process.stderr.write(`conformance: the floor of ${set.name} is required ${required} optimal ${optimal}\n`);
  }
  return complaint === null;
}

async function main(argv: readonly string[]): Promise<number> {
  try {
    const args = readArguments(argv);
    if (args === 'help') {
      write(HELP);
      return 0;
    }
    const set = await loadCases(process.env.CACHE_TESTS);
    return (await (args.ids.length > 0 ? runSome(set, args) : runAll(set, args))) ? 0 : 1;
  } catch (error) {
    process.stderr.write(`conformance: ${error instanceof Error ? error.message : error}\n`);
    return 2;
  }
}

process.exitCode = await main(process.argv.slice(2));
