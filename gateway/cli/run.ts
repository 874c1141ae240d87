// `sluice run`: the gateway on a configuration file, until it is told to stop.

import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import type { LoadResult } from '../config/load.ts';
import type { RunOptions } from '../control/options.ts';
import { EXIT, type Finish, type Host, wantsColour } from './host.ts';
import { loadWithRoutes } from './load.ts';
import { findConfig } from './lookup.ts';

const EXAMPLES = `
Signals: SIGHUP reloads the file (a change of it does, too), SIGTERM and SIGINT finish what is in flight and end;
a second one, a second later, ends now.

Examples:
  sluice run
  sluice run -c /etc/sluice/gateway.yaml
  sluice run --trace states             print each step of every request
`;

/** Adds the command to the program. */
export function addRun(program: Command, host: Host, finish: Finish): void {
  program
    .command('run')
    .description('Run the gateway on a configuration file.')
    .option('-c, --config <file>', 'configuration ($SLUICE_CONFIG, ./gateway.yaml, /etc/sluice/gateway.yaml)')
    .addOption(new Option('--trace <what>', 'print what happens inside').choices(['states']))
    .option(
      '--no-lane',
      "speak HTTP/1.1 to clients through Node's own server and to upstreams through undici (slower; to find faults)",
    )
    .addHelpText('after', EXAMPLES)
    .action(async (options: { readonly config?: string; readonly trace?: string; readonly lane: boolean }) => {
      const found = await findConfig(options.config, host);
      if ('problem' in found) {
        host.writeError(`sluice: ${found.problem}`);
        finish(EXIT.config);
        return;
      }
      const { path } = found;
      finish(
        await runOn(
          () => loadWithRoutes(path, host),
          resolve(host.folder, path),
          { traceStates: options.trace === 'states', lane: options.lane },
          host,
        ),
      );
    });
}

/** Runs the gateway on what `load` gives; resolves to the exit code. `file` is absolute, '' when there is none to watch. */
export async function runOn(
  load: () => Promise<LoadResult>,
  file: string,
  how: Pick<RunOptions, 'traceStates' | 'lane'>,
  host: Host,
): Promise<number> {
  const { runGateway } = await import('../control/run.ts');
  const options: RunOptions = {
    version: host.version,
    load,
    file,
    env: host.env,
    nodeVersion: host.nodeVersion,
    pid: host.pid,
    execPath: host.execPath,
    startedMs: host.startedMs,
    stdoutIsTerminal: host.stdoutIsTerminal,
    stdoutFd: host.stdoutFd,
    stderrFd: host.stderrFd,
    colour: wantsColour(host.env, host.stdoutIsTerminal),
    ...how,
    kill: host.kill,
    writeOut: host.writeOut,
    writeError: host.writeError,
    onFault: host.onFault,
    onSignal: host.onSignal,
  };
  return runGateway(options);
}
