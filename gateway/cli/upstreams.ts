// `sluice upstreams`: how the instances of a running gateway are, and orders about them.

import type { Command } from 'commander';
import type { InstanceStatus, UpstreamStatus } from '../admin/status.ts';
import { type AdminFlags, addAdminFlags, askAdmin } from './admin.ts';
import { EXIT, type Finish, type Host, wantsColour } from './host.ts';

const EXAMPLES = `
An instance is named by its address (api/127.0.0.1:8001), by its number for processes of the gateway's own (api/#1), or by its
place in the upstream (api#2). What is changed here holds until the gateway ends; a reload keeps it.

Orders:
  drain INSTANCE           no new clients; what runs comes to its end, WebSockets are closed with 1012 one by one
  disable INSTANCE         nothing at all, sticky clients go elsewhere
  enable INSTANCE          like any other again
  weight INSTANCE NUMBER   another share (0 = nothing new; "config" = as the file has it)
  add UPSTREAM URL         one more server
  remove INSTANCE          one server less
  restart UPSTREAM         restart the processes of an upstream with a command, one after the other, each behind a drain

Examples:
  sluice upstreams
  sluice upstreams --json
  sluice upstreams drain api/127.0.0.1:8001
  sluice upstreams weight api#2 0.5
  sluice upstreams add api http://127.0.0.1:8003 --weight 2
  sluice upstreams restart api
`;

/** Restarting may take long: each process is waited for. */
const RESTART_MS = 3_600_000;
const RESET = '\x1b[0m';
const COLOURS: Readonly<Record<string, string>> = {
  up: '\x1b[32m',
  unknown: '\x1b[32m',
  starting: '\x1b[33m',
  draining: '\x1b[33m',
  disabled: '\x1b[33m',
  down: '\x1b[31m',
  unreachable: '\x1b[31m',
  ejected: '\x1b[31m',
};

interface UpstreamsFlags extends AdminFlags {
  readonly json?: boolean;
  readonly weight?: string;
}

/** Adds the command to the program. */
export function addUpstreams(program: Command, host: Host, finish: Finish): void {
  const command = program
    .command('upstreams')
    .description('Show the instances of a running gateway, and take them out, in, or restart them.')
    .argument('[order]', 'drain, disable, enable, weight, add, remove, restart; none = show them')
    .argument('[name]', 'an instance, or an upstream')
    .argument('[value]', 'a weight, or a URL')
    .option('--weight <number>', 'of a server that is added (default: 1)')
    .option('--json', 'print the answer as JSON');
  addAdminFlags(command)
    .addHelpText('after', EXAMPLES)
    .action(
      async (order: string | undefined, name: string | undefined, value: string | undefined, flags: UpstreamsFlags) =>
        finish(order === undefined ? await show(flags, host) : await tell(order, name ?? '', value, flags, host)),
    );
}

async function show(flags: UpstreamsFlags, host: Host): Promise<number> {
  const result = await askAdmin('/api/upstreams', null, flags, host);
  if ('code' in result) return result.code;
  const { status, body } = result.answer;
  if (status !== 200) return complain(status, body, host);
  const { upstreams } = body as { readonly upstreams: readonly UpstreamStatus[] };
  const colour = wantsColour(host.env, host.stdoutIsTerminal);
  host.writeOut(flags.json === true ? `${JSON.stringify({ upstreams })}\n` : table(upstreams, Date.now(), colour));
  return EXIT.ok;
}

async function tell(
  order: string,
  name: string,
  value: string | undefined,
  flags: UpstreamsFlags,
  host: Host,
): Promise<number> {
  const written = orderOf(order, name, value, flags.weight);
  if (typeof written === 'string') {
    host.writeError(`sluice: ${written} (sluice upstreams --help says more)\n`);
    return EXIT.usage;
  }
  if (order === 'restart' && host.stderrIsTerminal)
    host.writeError(`restarting ${name}, one process after the other...\n`);
  const result = await askAdmin('/api/upstreams', written, flags, host, RESTART_MS);
  if ('code' in result) return result.code;
  const { status, body } = result.answer;
  if (status !== 200) return complain(status, body, host);
  const done = body as { readonly done: string; readonly tookMs: number };
  host.writeOut(flags.json === true ? `${JSON.stringify(done)}\n` : `${done.done} (${seconds(done.tookMs)})\n`);
  return EXIT.ok;
}

/** The order as the admin API takes it, or what is wrong with the command line. */
function orderOf(
  order: string,
  name: string,
  value: string | undefined,
  weight: string | undefined,
): Readonly<Record<string, unknown>> | string {
  const isOfUpstream = order === 'add' || order === 'restart';
  if (name === '') return `${order} what? the name of an ${isOfUpstream ? 'upstream' : 'instance'} is missing`;
  switch (order) {
    case 'drain':
    case 'disable':
    case 'enable':
    case 'remove':
      return { order, instance: name };
    case 'restart':
      return { order, upstream: name };
    case 'weight': {
      if (value === 'config') return { order, instance: name, weight: null };
      const number = Number(value);
      return value === undefined || !Number.isFinite(number)
        ? 'weight needs a number from 0 to 1000, or "config"'
        : { order, instance: name, weight: number };
    }
    case 'add': {
      if (value === undefined) return 'add needs the URL of a server, such as http://127.0.0.1:8003';
      const number = Number(weight ?? '1');
      return Number.isFinite(number)
        ? { order, upstream: name, url: value, weight: number }
        : '--weight needs a number from 0 to 1000';
    }
    default:
      return `there is no order ${order}`;
  }
}

function complain(status: number, body: unknown, host: Host): number {
  const { title, detail } = body as { readonly title?: string; readonly detail?: string };
  host.writeError(`sluice: ${detail ?? title ?? `the gateway answered ${status}`}\n`);
  return status === 400 ? EXIT.usage : EXIT.runtime;
}

const HEADS = ['instance', 'state', 'for', 'weight', 'in flight', 'ewma', 'ok', 'ejected', 'why'] as const;

/** One table per upstream. `nowMs` since the epoch. */
export function table(upstreams: readonly UpstreamStatus[], nowMs: number, colour: boolean): string {
  return upstreams.map((upstream) => tableOf(upstream, nowMs, colour)).join('\n');
}

function tableOf(upstream: UpstreamStatus, nowMs: number, colour: boolean): string {
  const { name, balance, active, waiting, retrying, breaker, instances } = upstream;
  const facts = [balance, `${active} active`, `${waiting} waiting`, `${retrying} retrying`];
  if (breaker !== 'off') facts.push(`breaker ${breaker}`);
  const rows = instances.map((instance) => rowOf(instance, nowMs));
  const widths = HEADS.map((head, at) => Math.max(head.length, ...rows.map((row) => (row[at] as string).length)));
  const line = (cells: readonly string[], state: string | null): string => {
    const padded = cells.map((cell, at) => cell.padEnd(widths[at] as number));
    if (colour && state !== null) padded[1] = `${COLOURS[state] ?? ''}${padded[1]}${RESET}`;
    return `  ${padded.join('  ').trimEnd()}`;
  };
  const lines = instances.map((instance, at) => line(rows[at] as string[], instance.state));
  return `${name}: ${facts.join(', ')}\n${[line(HEADS, null), ...lines].join('\n')}\n`;
}

function rowOf(instance: InstanceStatus, nowMs: number): string[] {
  const { id, state, sinceMs, weight, configWeight, tier, inFlight, limit, ewmaMs, tries, ok, ejections } = instance;
  const share = weight === configWeight ? String(weight) : `${weight} (${configWeight})`;
  const place = tier >= 1000 ? ' backup' : tier > 0 ? ` tier ${tier}` : '';
  const slow = instance.slowUntilMs > nowMs ? `slow start, ${seconds(instance.slowUntilMs - nowMs)} left` : '';
  return [
    id,
    state,
    sinceMs === 0 ? '' : seconds(nowMs - sinceMs),
    `${share}${place}`,
    limit === 0 ? String(inFlight) : `${inFlight} of ${limit}`,
    `${ewmaMs} ms`,
    tries === 0 ? '-' : `${((100 * ok) / tries).toFixed(tries === ok ? 0 : 1)} % of ${tries}`,
    String(ejections),
    [instance.evidence, slow].filter((text) => text !== '').join('; '),
  ];
}

/** "350 ms", "12 s", "3 min", "5 h". */
function seconds(ms: number): string {
  const least = Math.max(0, ms);
  if (least < 1000) return `${Math.round(least)} ms`;
  if (least < 120_000) return `${Math.round(least / 1000)} s`;
  return least < 7_200_000 ? `${Math.round(least / 60_000)} min` : `${Math.round(least / 3_600_000)} h`;
}
