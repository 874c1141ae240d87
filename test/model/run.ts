// `npm run model`: looks for scenarios with a fault for as long as wanted.

import { parseArgs } from 'node:util';
import { search } from './model.ts';

const HELP = `npm run model [-- OPTION...]

Random requests, upstream answers, purges and clock steps go through the real cache of two workers without sockets; a naive
reference written from RFC 9111 judges every answer. Exits 1 at the first fault and prints the smallest scenario with it.

  --runs N    how many scenarios (20000)
  --seed N    where chance begins (the clock); a fault names the seed that finds it again
  --steps N   how many steps a scenario has at most (40)
  --help      this text

Examples:
  npm run model
  npm run model -- --runs 500000
  npm run model -- --seed 4711 --runs 50
`;

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '20000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    steps: { type: 'string', default: '40' },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) {
  process.stdout.write(HELP);
} else {
  const [runs, seed, steps] = [values.runs, values.seed, values.steps].map(Number) as [number, number, number];
  if (!(runs > 0 && steps > 0 && [runs, seed, steps].every(Number.isInteger))) {
    process.stderr.write('model: --runs and --steps must be over 0, --seed a whole number\n');
    process.exit(2);
  }
  process.stderr.write(`model: ${runs} scenarios, seed ${seed}\n`);
  const beganMs = performance.now();
  const progress = (done: number): void => {
    if (done % 5_000 === 0)
      process.stderr.write(`model: ${done} in ${Math.round((performance.now() - beganMs) / 1000)} s\n`);
  };
  const result = await search({ seed, runs, steps, mostMs: null, progress });
  process.stdout.write(result.found === null ? `held in ${result.runs} scenarios\n` : `${result.found}\n`);
  if (result.found !== null) process.exitCode = 1;
}
