// `sluice doctor`: tries what a gateway needs of the Redis behind its cache, and says what to change. Asks no gateway and
// changes nothing.

import type { Command } from 'commander';
import type { Finding } from '../store/remote/findings.ts';
import { EXIT, type Finish, type Host, wantsColour } from './host.ts';
import { loadWithRoutes } from './load.ts';
import { findConfig } from './lookup.ts';

const EXAMPLES = `
Connects as a gateway would (cache.shared), and looks at version, role, rights of the user, memory, eviction policy, latency
and clock. It writes a few keys that end within a minute.

Examples:
  sluice doctor                         of ./gateway.yaml, else /etc/sluice/gateway.yaml
  sluice doctor -c fleet.yaml
  sluice doctor --json | jq '.findings[] | select(.grade != "ok")'

Exit codes: 0 nothing fails (warnings may be there), 1 something does, 78 the configuration is wrong.
`;

const COLOURS: Readonly<Record<Finding['grade'], string>> = { ok: '\x1b[32m', warn: '\x1b[33m', fail: '\x1b[31m' };
const MARKS: Readonly<Record<Finding['grade'], string>> = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' };

/** Adds the command to the program. */
export function addDoctor(program: Command, host: Host, finish: Finish): void {
  program
    .command('doctor')
    .description('Examine the Redis behind the cache: what is wrong with it and what to change.')
    .option('-c, --config <file>', 'configuration ($SLUICE_CONFIG, ./gateway.yaml, /etc/sluice/gateway.yaml)')
    .option('--json', 'print the findings as JSON')
    .addHelpText('after', EXAMPLES)
    .action(async (options: { readonly config?: string; readonly json?: boolean }) => {
      finish(await doctor(options.config, options.json === true, host));
    });
}

async function doctor(flag: string | undefined, json: boolean, host: Host): Promise<number> {
  const found = await findConfig(flag, host);
  if ('problem' in found) {
    host.writeError(`sluice: ${found.problem}`);
    return EXIT.config;
  }
  const loaded = await loadWithRoutes(found.path, host);
  if (!loaded.ok) {
    const { formatProblems } = await import('../config/report.ts');
    host.writeError(formatProblems(loaded.problems, { colour: wantsColour(host.env, host.stderrIsTerminal) }));
    return EXIT.config;
  }
  const { shared } = loaded.config.cache;
  if (shared === null) {
    const text = 'no Redis behind the cache (cache.shared): nothing to examine';
    host.writeOut(json ? `${JSON.stringify({ findings: [] })}\n` : `${text}\n`);
    return EXIT.ok;
  }
  const places = shared.path === '' ? shared.nodes.map(({ host: name, port }) => `${name}:${port}`) : [shared.path];
  if (!json && host.stderrIsTerminal) host.writeError(`examining ${places.join(', ')} ...\n`);
  const { examine } = await import('../store/remote/examine.ts');
  const { findingsOf } = await import('../store/remote/findings.ts');
  const result = await examine(shared, host.now);
  const findings: readonly Finding[] =
    'problem' in result
      ? [{ what: 'connection', grade: 'fail', seen: result.problem, advice: adviceFor(result.problem) }]
      : [{ what: 'connection', grade: 'ok', seen: places.join(', '), advice: '' }, ...findingsOf(result.examined)];
  if (json) host.writeOut(`${JSON.stringify({ findings })}\n`);
  else {
    const colour = wantsColour(host.env, host.stdoutIsTerminal);
    host.writeOut(`${findings.map((each) => lineOf(each, colour)).join('\n')}\n`);
  }
  return findings.some(({ grade }) => grade === 'fail') ? EXIT.runtime : EXIT.ok;
}

function lineOf({ what, grade, seen, advice }: Finding, colour: boolean): string {
  const mark = colour ? `${COLOURS[grade]}${MARKS[grade]}\x1b[0m` : MARKS[grade];
  const line = `${mark}  ${what.padEnd(11)} ${seen}`;
  return advice === '' ? line : `${line}\n      ${' '.repeat(11)} → ${advice}`;
}

function adviceFor(problem: string): string {
  if (/NOAUTH|WRONGPASS/.test(problem)) return 'user and password stand in the URL: redis://user:password@host:6379';
  if (/ECONNREFUSED/.test(problem)) return 'is Redis running, and does it listen on this address (bind, port)?';
  if (/ENOTFOUND|EAI_AGAIN/.test(problem)) return 'the host name is not known here';
  if (/no answer|timeout/i.test(problem)) return 'a firewall, a wrong address, or a Redis that hangs';
  if (/certificate|SSL|TLS/i.test(problem)) return 'cache.shared.tls: { ca: } names the CA of its certificate';
  if (/DENIED/.test(problem)) return 'Redis is in protected mode: give it a password, or bind it to a private address';
  return '';
}
