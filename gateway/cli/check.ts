// `sluice check`: everything that is wrong with a configuration, and nothing else. Opens no socket, starts nothing.

import type { Command } from 'commander';
import { EXIT, type Finish, type Host, wantsColour } from './host.ts';
import { loadWithRoutes } from './load.ts';
import { findConfig } from './lookup.ts';

const EXAMPLES = `
Examples:
  sluice check                          ./gateway.yaml, else /etc/sluice/gateway.yaml
  sluice check -c staging.yaml
  sluice check --json | jq '.problems[].message'
`;

/** Adds the command to the program. */
export function addCheck(program: Command, host: Host, finish: Finish): void {
  program
    .command('check')
    .description('Check the configuration: all errors at once, with line and column.')
    .option('-c, --config <file>', 'configuration ($SLUICE_CONFIG, ./gateway.yaml, /etc/sluice/gateway.yaml)')
    .option('--json', 'print the problems as JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (options: { readonly config?: string; readonly json?: boolean }) => {
      finish(await check(options.config, options.json === true, host));
    });
}

async function check(flag: string | undefined, json: boolean, host: Host): Promise<number> {
  const { countProblems, formatProblems, problemsAsJson } = await import('../config/report.ts');
  const found = await findConfig(flag, host);
  if ('problem' in found) {
    if (json)
      host.writeOut(
        problemsAsJson([
          {
            severity: 'error',
            code: 'unreadable-file',
            message: found.problem.split('\n')[0] ?? '',
            file: '',
            line: 0,
            column: 0,
            width: 1,
            source: '',
            hint: '',
            help: '',
          },
        ]),
      );
    else host.writeError(`sluice: ${found.problem}`);
    return EXIT.config;
  }
  const loaded = await loadWithRoutes(found.path, host);
  const problems = loaded.ok ? loaded.warnings : loaded.problems;
  if (json) {
    host.writeOut(problemsAsJson(problems));
    return loaded.ok ? EXIT.ok : EXIT.config;
  }
  const text = formatProblems(problems, { colour: wantsColour(host.env, host.stderrIsTerminal) });
  if (text !== '') host.writeError(text);
  if (!loaded.ok) return EXIT.config;
  const { routes, upstreams } = loaded.config;
  const noted = problems.length === 0 ? '' : `, ${countProblems(problems)}`;
  host.writeOut(
    `${found.path}: OK (${count(routes.length, 'route')}, ${count(upstreams.length, 'upstream')}${noted})\n`,
  );
  return EXIT.ok;
}

function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : 's'}`;
}
