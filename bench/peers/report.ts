// What bench:peers found, as Markdown tables and as a chart of CPU per request relative to nginx. Formats only.

import { median } from '../wire.ts';
import { LOADS, type LoadScenario } from './scenarios.ts';

export interface LoadRound {
  readonly cpuMicros: number;
  readonly perSecond: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

export interface LoadRow {
  readonly scenario: string;
  readonly server: string;
  readonly rounds: LoadRound[];
  /** Of the server after its last round. */
  residentBytes: number;
}

export interface OtherRow {
  readonly scenario: string;
  readonly server: string;
  readonly what: string;
  readonly value: number;
}

export interface PeerResults {
  readonly when: string;
  readonly commit: string;
  readonly machine: string;
  readonly node: string;
  readonly peers: readonly string[];
  readonly settings: Readonly<Record<string, number>>;
  readonly loads: readonly LoadRow[];
  readonly others: readonly OtherRow[];
}

function cpuOf(row: LoadRow): number {
  return median(row.rounds.map(({ cpuMicros }) => cpuMicros));
}

/** CPU per request relative to nginx, null where nginx did not run. The ratio of each round, then the median: neighbours disturb both. */
export function ratioOf(row: LoadRow, rows: readonly LoadRow[]): number | null {
  const nginx = rows.find((one) => one.scenario === row.scenario && one.server === 'nginx');
  if (nginx === undefined) return null;
  return median(row.rounds.map(({ cpuMicros }, i) => cpuMicros / (nginx.rounds[i]?.cpuMicros ?? Number.NaN)));
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n');
}

function milliseconds(row: LoadRow, which: 'p50Ms' | 'p99Ms'): string {
  const values = row.rounds.flatMap((round) => round[which] ?? []);
  return values.length === 0 ? '' : median(values).toFixed(2);
}

function scenarioTable(scenario: LoadScenario, results: PeerResults): string {
  const rows = results.loads.filter((row) => row.scenario === scenario.name);
  const cells = rows.map((row) => {
    const values = row.rounds.map(({ cpuMicros }) => cpuMicros);
    return [
      row.server,
      cpuOf(row).toFixed(1),
      `${Math.min(...values).toFixed(1)}-${Math.max(...values).toFixed(1)}`,
      ratioOf(row, results.loads)?.toFixed(2) ?? '',
      String(Math.round(median(row.rounds.map(({ perSecond }) => perSecond)))),
      milliseconds(row, 'p50Ms'),
      milliseconds(row, 'p99Ms'),
      String(Math.round(row.residentBytes / 2 ** 20)),
    ];
  });
  const head = ['server', 'CPU µs/request', 'min-max', 'of nginx', 'requests/s', 'p50 ms', 'p99 ms', 'RSS MiB'];
  const goal = scenario.goal === null ? '' : `, goal for sluice: ${scenario.goal} of nginx`;
  return `## ${scenario.name}: ${scenario.text}${goal}\n\n${table(head, cells)}`;
}

/** All results as Markdown. */
export function formatPeers(results: PeerResults): string {
  const settings = Object.entries(results.settings).map(([name, value]) => `${name} ${value}`);
  const parts = [
    `# Sluice and its peers, ${results.when}`,
    `Commit ${results.commit}; ${results.machine}; Node ${results.node}; ${[...results.peers, ...settings].join('; ')}.`,
    'Each server is one process on one core, load and origin are on the other; rounds are interleaved; CPU is user and system time of all ' +
      'processes and threads of the server. "of nginx" is the median of the ratios of each round.',
  ];
  for (const scenario of LOADS) {
    if (results.loads.some((row) => row.scenario === scenario.name)) parts.push(scenarioTable(scenario, results));
  }
  if (results.others.length > 0) {
    const cells = results.others.map(({ scenario, server, what, value }) => [scenario, server, what, value.toFixed(2)]);
    parts.push(`## Other figures\n\n${table(['scenario', 'server', 'what', 'value'], cells)}`);
  }
  return `${parts.join('\n\n')}\n`;
}

const COLOURS: Readonly<Record<string, string>> = { sluice: '#0b7285', nginx: '#868e96' };
const BAR = 16;
const LEFT = 250;
const WIDTH = 760;
/** Longer bars are cut and say so. */
const MOST = 8;

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
}

/** Bars of CPU per request relative to nginx, a group per scenario. */
export function chartOf(results: PeerResults): string {
  const lines: string[] = [];
  const scale = (WIDTH - LEFT - 60) / MOST;
  let y = 40;
  for (const scenario of LOADS) {
    const rows = results.loads.filter((row) => row.scenario === scenario.name && ratioOf(row, results.loads) !== null);
    if (rows.length === 0) continue;
    lines.push(`<text x="10" y="${y + 12}" class="h">${escaped(scenario.text)}</text>`);
    y += 20;
    for (const row of rows) {
      const ratio = ratioOf(row, results.loads) as number;
      const width = Math.min(ratio, MOST) * scale;
      const colour = COLOURS[row.server] ?? '#ced4da';
      lines.push(`<text x="${LEFT - 8}" y="${y + 12}" text-anchor="end">${escaped(row.server)}</text>`);
      lines.push(`<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR - 3}" fill="${colour}"/>`);
      const figure = `${ratio.toFixed(2)}${ratio > MOST ? ' (cut)' : ''}`;
      lines.push(`<text x="${(LEFT + width + 6).toFixed(1)}" y="${y + 12}">${figure}</text>`);
      y += BAR;
    }
    y += 10;
  }
  const one = (LEFT + scale).toFixed(1);
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y + 10}" font-family="system-ui, sans-serif" font-size="12">
<style>.h{font-weight:600}text{fill:#212529;paint-order:stroke;stroke:#fff;stroke-width:3px}</style>
<rect width="100%" height="100%" fill="#fff"/>
<text x="10" y="20" class="h" font-size="14">CPU per request relative to nginx (less is better), ${escaped(results.when.slice(0, 10))}</text>
<line x1="${one}" y1="34" x2="${one}" y2="${y}" stroke="#868e96" stroke-dasharray="3 3"/>
${lines.join('\n')}
</svg>
`;
}
