// The simulation as a picture: one group of bars per trace, one bar per policy. Text in, SVG out.

interface ChartRow {
  readonly trace: string;
  readonly part: string;
  readonly objects: Readonly<Record<string, number>>;
}

const COLOURS = ['#d9480f', '#868e96', '#adb5bd', '#4dabf7', '#228be6', '#37b24d', '#212529'];
const LEFT = 170;
const WIDTH = 960;
const BAR = 7;
const GAP = 14;

/** Miss ratios of requests as bars from 0 to 1. */
export function drawChart(rows: readonly ChartRow[], names: readonly string[]): string {
  const group = names.length * BAR + GAP;
  const top = 56;
  const height = top + rows.length * group + 20;
  const scale = WIDTH - LEFT - 60;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    `<text x="16" y="22" font-size="15" font-weight="bold">Miss ratio of requests (shorter is better)</text>`,
  ];
  names.forEach((name, i) => {
    const x = 16 + i * 118;
    parts.push(
      `<rect x="${x}" y="34" width="10" height="10" fill="${COLOURS[i]}"/><text x="${x + 15}" y="43">${name}</text>`,
    );
  });
  for (const mark of [0, 0.25, 0.5, 0.75, 1]) {
    const x = LEFT + mark * scale;
    parts.push(`<line x1="${x}" y1="${top}" x2="${x}" y2="${height - 18}" stroke="#dee2e6"/>`);
    parts.push(`<text x="${x}" y="${height - 5}" text-anchor="middle" fill="#495057">${mark}</text>`);
  }
  rows.forEach((row, at) => {
    const y = top + at * group + GAP / 2;
    parts.push(
      `<text x="${LEFT - 8}" y="${y + (names.length * BAR) / 2 + 4}" text-anchor="end">${row.trace}, ${row.part}</text>`,
    );
    names.forEach((name, i) => {
      const ratio = row.objects[name] ?? 0;
      parts.push(
        `<rect x="${LEFT}" y="${y + i * BAR}" width="${(ratio * scale).toFixed(1)}" height="${BAR - 1}" fill="${COLOURS[i]}"/>`,
      );
    });
  });
  parts.push('</svg>');
  return `${parts.join('\n')}\n`;
}
