// `npm run profile -- hit|miss|h2`: a CPU profile of the gateway's worker under load, as a list of the functions that the
// time went to. Node writes the profile of each thread when the gateway ends.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadHttp1, loadHttp2 } from './peers/measure.ts';
import { makeCertificate, startSluice } from './peers/servers.ts';
import { startOrigin } from './servers.ts';

const HELP = `npm run profile -- hit|miss|h2 [OPTION...]

Runs the gateway with one worker on core 0 under load from core 1 and prints the functions that its time went to: "hit" is a cached
1 KB over HTTP/1.1, "miss" the same proxied, "h2" the cached one over HTTP/2. Needs Linux, two cores, wrk and h2load
(npm run bench:peers installs them on Debian).

  --seconds N    length of the load (5)
  --top N        how many functions (30)
  --no-lane      without the express lane
  --json         the functions as JSON
  --help         this text

Examples:
  npm run profile -- hit
  npm run profile -- miss --seconds 10 --top 50
`;

const KINDS = ['hit', 'miss', 'h2'] as const;

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

interface Frame {
  readonly name: string;
  readonly place: string;
  readonly percent: number;
}

function fail(text: string, code: number): never {
  process.stderr.write(`profile: ${text}\n`);
  process.exit(code);
}

function count(text: string, option: string, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > most) fail(`--${option} must be 1 to ${most}`, 2);
  return value;
}

function readOptions(): { kind: string; seconds: number; top: number; lane: boolean; json: boolean } {
  const flag = { type: 'boolean', default: false } as const;
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        seconds: { type: 'string', default: '5' },
        top: { type: 'string', default: '30' },
        'no-lane': flag,
        json: flag,
        help: flag,
      },
    });
    if (values.help) {
      process.stdout.write(HELP);
      process.exit(0);
    }
    const [kind = '', ...more] = positionals;
    if (more.length > 0 || !KINDS.some((one) => one === kind)) fail('say hit, miss or h2; see --help', 2);
    const seconds = count(values.seconds, 'seconds', 60);
    return { kind, seconds, top: count(values.top, 'top', 1000), lane: !values['no-lane'], json: values.json };
  } catch (error) {
    return fail(`${(error as Error).message}; see npm run profile -- --help`, 2);
  }
}

/** Time that a thread did something, µs, by function; idle time is left out. */
function selfTimes(profile: Profile): Map<string, number> {
  const root = join(import.meta.dirname, '..');
  const names = new Map(
    profile.nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
      const path = url.startsWith('file:') ? relative(root, fileURLToPath(url)) : url;
      return [id, `${functionName || '(anonymous)'}\t${path === '' ? '' : `${path}:${lineNumber + 1}`}`];
    }),
  );
  const times = new Map<string, number>();
  for (const [i, id] of profile.samples.entries()) {
    const name = names.get(id) ?? '';
    if (!name.startsWith('(idle)')) times.set(name, (times.get(name) ?? 0) + (profile.timeDeltas[i] ?? 0));
  }
  return times;
}

function sumOf(times: ReadonlyMap<string, number>): number {
  return [...times.values()].reduce((sum, one) => sum + one, 0);
}

const options = readOptions();
if (process.platform !== 'linux' || availableParallelism() < 2) fail('this needs Linux and two cores', 1);
const folder = mkdtempSync(join(tmpdir(), 'sluice-profile-'));
const origin = await startOrigin(1);
try {
  const certificate = await makeCertificate(folder);
  const node = ['--cpu-prof', `--cpu-prof-dir=${join(folder, 'profiles')}`];
  const gateway = await startSluice(
    { core: 0, originUrl: origin.url, certificate, log: false, workers: 1 },
    { flags: options.lane ? [] : ['--no-lane'], node },
  );
  process.stderr.write(`profile: ${options.kind} for ${options.seconds} s\n`);
  const path = options.kind === 'miss' ? '/a' : '/hit/a';
  try {
    // Warm: what is compiled and stored then is not what is asked about, and at the end a small part.
    if (options.kind === 'h2') await loadHttp2(1, `${gateway.https}${path}`, options.seconds * 20_000);
    else await loadHttp1(1, `${gateway.http}${path}`, options.seconds, 64);
  } finally {
    await gateway.stop();
  }
  const threads = readdirSync(join(folder, 'profiles')).map((file) =>
    selfTimes(JSON.parse(readFileSync(join(folder, 'profiles', file), 'utf8')) as Profile),
  );
  // The worker is the thread that was busiest.
  const [busiest] = threads.toSorted((a, b) => sumOf(b) - sumOf(a));
  if (busiest === undefined) throw new Error('the gateway wrote no profile');
  const total = sumOf(busiest);
  const frames: Frame[] = [...busiest]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, options.top)
    .map(([key, micros]) => {
      const [name = '', place = ''] = key.split('\t');
      return { name, place, percent: (100 * micros) / total };
    });
  if (options.json) process.stdout.write(`${JSON.stringify(frames, null, 2)}\n`);
  else {
    process.stdout.write(`Of ${(total / 1e6).toFixed(1)} s that the worker was busy:\n`);
    for (const { name, place, percent } of frames)
      process.stdout.write(`${percent.toFixed(1).padStart(5)} %  ${name}  ${place}\n`);
  }
} finally {
  await origin.child.stop();
  rmSync(folder, { recursive: true, force: true });
}
