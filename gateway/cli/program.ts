// The command line of sluice: names, flags, help, exit codes. Each command loads what it needs when it runs, so that
// `sluice check` never waits for the data plane.

import { Command, CommanderError } from 'commander';
import { addCheck } from './check.ts';
import { addDoctor } from './doctor.ts';
import { addExplain } from './explain.ts';
import { EXIT, type Finish, type Host } from './host.ts';
import { addInit } from './init.ts';
import { addProxy } from './proxy.ts';
import { addPurge } from './purge.ts';
import { addRun } from './run.ts';
import { addSchema } from './schema.ts';
import { addUpstreams } from './upstreams.ts';

const EXAMPLES = `
Examples:
  sluice init --fastapi                 write gateway.yaml for a FastAPI application
  sluice check                          say everything that is wrong with gateway.yaml
  sluice doctor                         examine the Redis behind the cache
  sluice run                            run ./gateway.yaml
  sluice explain GET https://localhost:8443/    say what is done with a request, and why
  sluice proxy http://127.0.0.1:8000    proxy and cache in front of a server, without a file
  sluice purge --tag catalog            take answers out of the cache of a running gateway
  sluice upstreams                      show how the instances of a running gateway are

Exit codes: 0 done, 1 failed at run time, 2 wrong command line, 78 wrong configuration.
`;

/** Runs one command line (without node and script); resolves to the exit code. */
export async function runProgram(args: readonly string[], host: Host): Promise<number> {
  let code: number = EXIT.ok;
  const finish: Finish = (result) => {
    code = result;
  };
  const program = new Command('sluice')
    .description('A reverse proxy and edge caching gateway in front of several instances of an API.')
    .version(`sluice ${host.version} (Node ${host.nodeVersion})`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .showSuggestionAfterError()
    .showHelpAfterError('(sluice --help says what there is)')
    .exitOverride()
    .configureOutput({ writeOut: host.writeOut, writeErr: host.writeError })
    .addHelpText('after', EXAMPLES);
  addRun(program, host, finish);
  addCheck(program, host, finish);
  addDoctor(program, host, finish);
  addExplain(program, host, finish);
  addProxy(program, host, finish);
  addInit(program, host, finish);
  addPurge(program, host, finish);
  addUpstreams(program, host, finish);
  addSchema(program, host, finish);
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    // Help and version were asked for; everything else commander throws is a wrong command line.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    throw error;
  }
}
