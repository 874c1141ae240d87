// The picture of a simulation: for every fault and size of the pool one panel, in it one bar per policy: the 99th percentile
// on a logarithmic axis, and beside it how much of the traffic the bad server got. Plain SVG.

import type { Fault, Outcome } from './model.ts';

export interface Panel {
  readonly fault: Fault;
  readonly servers: number;
  readonly bars: readonly { readonly policy: string; readonly outcome: Outcome }[];
}

const WIDTH = 360;
const BAR = 16;
const GAP = 5;
const LABEL = 150;
const HEAD = 46;
const AXIS_MS = [10, 100, 1000, 10_000] as const;
const OURS = '#0b7285';
const OTHERS = '#adb5bd';

const NAMES: Readonly<Record<Fault, string>> = {
  none: 'all well',
  slow: 'one ten times slower',
  erroring: 'one fails nine of ten',
  flapping: 'one up and down every 10 s',
};

/** All panels in a grid with `columns` columns. */
export function drawPanels(panels: readonly Panel[], columns: number): string {
  const bars = Math.max(...panels.map((panel) => panel.bars.length));
  const height = HEAD + bars * (BAR + GAP) + 24;
  const rows = Math.ceil(panels.length / columns);
  const width = columns * (WIDTH + 20) + 20;
  const body = panels.map((panel, at) => {
    const x = 20 + (at % columns) * (WIDTH + 20);
    const y = 50 + Math.floor(at / columns) * (height + 10);
    return `<g transform="translate(${x} ${y})">${drawPanel(panel)}</g>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${60 + rows * (height + 10)}" font-family="system-ui, sans-serif" font-size="11">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="20" y="26" font-size="16" font-weight="600" fill="#212529">99th percentile (ms, logarithmic) while one server is bad; at the right the part of all tries that it got</text>
${body.join('\n')}
</svg>
`;
}

function drawPanel({ fault, servers, bars }: Panel): string {
  const from = LABEL;
  const to = WIDTH - 52;
  const x = (ms: number): number => from + ((Math.log10(Math.max(10, ms)) - 1) / 3) * (to - from);
  const bottom = HEAD + bars.length * (BAR + GAP);
  const parts = [
    `<text x="0" y="14" font-size="13" font-weight="600" fill="#212529">${servers} servers, ${NAMES[fault]}</text>`,
    ...AXIS_MS.map(
      (ms) =>
        `<line x1="${x(ms)}" y1="26" x2="${x(ms)}" y2="${bottom}" stroke="#e9ecef"/><text x="${x(ms)}" y="38" text-anchor="middle" fill="#868e96">${ms >= 1000 ? `${ms / 1000} s` : ms}</text>`,
    ),
  ];
  for (const [at, { policy, outcome }] of bars.entries()) {
    const y = HEAD + at * (BAR + GAP);
    const end = x(Math.min(10_000, outcome.p99Ms));
    const colour = policy === 'Sluice' ? OURS : OTHERS;
    const share = fault === 'none' ? '' : `${(outcome.badShare * 100).toFixed(1)} %`;
    const errors = outcome.errors > 0.0005 ? ` ${(outcome.errors * 100).toFixed(1)} % errors` : '';
    parts.push(
      `<text x="${LABEL - 6}" y="${y + 12}" text-anchor="end" fill="#495057">${policy}</text>`,
      `<rect x="${from}" y="${y}" width="${Math.max(1, end - from).toFixed(1)}" height="${BAR}" rx="2" fill="${colour}"/>`,
      label(`${timeOf(outcome.p99Ms)}${errors}`, end, y + 12, to),
      `<text x="${WIDTH}" y="${y + 12}" text-anchor="end" fill="#868e96">${share}</text>`,
    );
  }
  return parts.join('');
}

/** Behind its bar, or in it where there is no room. */
function label(text: string, end: number, y: number, to: number): string {
  return end > to - 40
    ? `<text x="${(end - 5).toFixed(1)}" y="${y}" text-anchor="end" fill="#212529">${text}</text>`
    : `<text x="${(end + 4).toFixed(1)}" y="${y}" fill="#212529">${text}</text>`;
}

function timeOf(ms: number): string {
  return ms >= 1000 ? `${(ms / 1000).toFixed(1)} s` : ms.toFixed(0);
}
