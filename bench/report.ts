// What the bench found, as a table for people and as JSON for machines. Formats only.

import type { MicroRow } from './micro.ts';
import type { WireRow } from './wire.ts';

export interface Results {
  readonly when: string;
  readonly machine: string;
  readonly node: string;
  readonly peers: readonly string[];
  readonly settings: Readonly<Record<string, number>>;
  readonly micro: readonly MicroRow[];
  readonly wire: readonly WireRow[];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => (i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`)).join('|')}|`;
  return [line(head), rule, ...rows.map(line)].join('\n');
}

/** CPU per request relative to another server in the same scenario, or '' when that one did not run. */
function ratio(row: WireRow, rows: readonly WireRow[], other: string): string {
  const base = rows.find((one) => one.server === other && one.scenario === row.scenario);
  return base === undefined ? '' : (row.cpuMicros / base.cpuMicros).toFixed(2);
}

function spread(row: WireRow): string {
  const values = row.rounds.map((round) => round.cpuMicros);
  return `${Math.min(...values).toFixed(1)}-${Math.max(...values).toFixed(1)}`;
}

function wireTable(rows: readonly WireRow[]): string {
  const head = ['wire', 'requests/s', 'CPU µs/request', 'min-max', 'of http-proxy-3', '+ agent', 'of nginx'];
  const cells = rows.map((row) => [
    `${row.scenario} ${row.server}`,
    String(Math.round(row.perSecond)),
    row.cpuMicros.toFixed(1),
    spread(row),
    ratio(row, rows, 'http-proxy-3'),
    ratio(row, rows, 'http-proxy-3 + agent'),
    ratio(row, rows, 'nginx'),
  ]);
  return table(head, cells);
}

function microTable(rows: readonly MicroRow[]): string {
  const head = ['pure', 'ns/call (median)', 'p99', 'calls/s'];
  const cells = rows.map((row) => [
    row.name,
    row.medianNs.toFixed(0),
    row.p99Ns.toFixed(0),
    Math.round(1e9 / row.medianNs).toLocaleString('en'),
  ]);
  return table(head, cells);
}

/** All results as Markdown. */
export function formatResults(results: Results): string {
  const settings = Object.entries(results.settings).map(([name, value]) => `${name} ${value}`);
  const parts = [
    `# Bench of ${results.when}`,
    `${results.machine}; Node ${results.node}; ${[...results.peers, ...settings].join('; ')}`,
  ];
  if (results.wire.length > 0) {
    parts.push(
      wireTable(results.wire),
      'A GET of 1 KB over keep-alive connections; each server on one core, load and origin on the other; interleaved rounds, ' +
        'medians; CPU is user + system time of all processes and threads of the server; no access logs.',
    );
  }
  if (results.micro.length > 0) parts.push(microTable(results.micro));
  return `${parts.join('\n\n')}\n`;
}
