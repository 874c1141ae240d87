// `sluice proxy URL...`: the gateway without a file, in front of the servers named on the command line.

import type { Command } from 'commander';
import { EXIT, type Finish, type Host, wantsColour } from './host.ts';
import { runOn } from './run.ts';

const EXAMPLES = `
Examples:
  sluice proxy http://127.0.0.1:8000
  sluice proxy 8001 8002 --cache 30s    two local servers; answers without Cache-Control are kept for 30 seconds
  sluice proxy https://api.example.com --listen 127.0.0.1:9000
  sluice proxy unix:/run/api.sock --listen :8080
`;

interface ProxyFlags {
  readonly listen: readonly string[];
  readonly cache?: string;
  readonly admin?: string;
}

/** Adds the command to the program. */
export function addProxy(program: Command, host: Host, finish: Finish): void {
  program
    .command('proxy')
    .description('Proxy and cache in front of these servers, without a file.')
    .argument('<url...>', 'servers: http://host:port, https://host, unix:/path, host:port or a local port')
    .option(
      '-l, --listen <address>',
      'where to listen, may be repeated (default: 127.0.0.1:8080 and [::1]:8080)',
      (value: string, all: readonly string[]) => [...all, value],
      [],
    )
    .option(
      '--cache <rule>',
      'off, auto (obey the servers), or a duration for answers that say nothing (default: auto)',
    )
    .option('--admin <address>', 'where the admin API listens (default: nowhere)')
    .addHelpText('after', EXAMPLES)
    .action(async (urls: readonly string[], flags: ProxyFlags) => {
      const { proxyConfig } = await import('../config/proxy.ts');
      const made = proxyConfig(urls, {
        folder: host.folder,
        listen: flags.listen,
        ...(flags.cache === undefined ? {} : { cache: flags.cache }),
        ...(flags.admin === undefined ? {} : { admin: flags.admin }),
      });
      if (!made.ok) {
        const { formatProblems } = await import('../config/report.ts');
        host.writeError(formatProblems(made.problems, { colour: wantsColour(host.env, host.stderrIsTerminal) }));
        finish(EXIT.usage);
        return;
      }
      finish(await runOn(async () => made, '', { traceStates: false, lane: true }, host));
    });
}
