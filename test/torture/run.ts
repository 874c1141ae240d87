// `npm run torture`: the torture of the arena for as long as wanted.

import { parseArgs } from 'node:util';
import { torture } from './torture.ts';

const HELP = `npm run torture [-- OPTION...]

Four threads insert, read, update, purge and stream in one arena of 64 MiB while they are terminated at random.
Exits 1 at the first body that is not its key's, the first purged one that comes back, or a wait without end.

  --seconds N   how long (60)
  --kill N      mean ms between two terminations (250)
  --seed N      where chance begins (the clock)
  --json        the result as JSON on stdout
  --help        this text

Examples:
  npm run torture
  npm run torture -- --seconds 600 --kill 50
`;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    kill: { type: 'string', default: '250' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(HELP);
} else {
  const seconds = Number(values.seconds);
  const killMs = Number(values.kill);
  const seed = Number(values.seed);
  if (!(seconds > 0 && killMs > 0 && Number.isInteger(seed))) {
    process.stderr.write('torture: --seconds and --kill must be over 0, --seed a whole number\n');
    process.exit(2);
  }
  process.stderr.write(`torture: ${seconds} s, seed ${seed}\n`);
  const result = await torture(seconds, killMs, seed);
  const text = values.json
    ? JSON.stringify(result)
    : `${result.faults.length === 0 ? 'held' : result.faults.join('\n')}\n${JSON.stringify({ ...result, faults: undefined }, null, 2)}`;
  process.stdout.write(`${text}\n`);
  if (result.faults.length > 0) process.exit(1);
}
