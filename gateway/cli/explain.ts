// `sluice explain`: what the running gateway would do with a request, and why, without making it.

import type { Command } from 'commander';
import type { Explanation } from '../request/explain.ts';
import { type AdminFlags, addAdminFlags, askAdmin } from './admin.ts';
import { EXIT, type Finish, type Host } from './host.ts';

const EXAMPLES = `
Nothing is asked of the servers behind the gateway, and nothing changes. For a request that is made, send the admin token along:
  curl -H "Sluice-Explain: $(cat certs/admin.token)" https://api.example.com/v1/items -sI
and its answer has the same as JSON in the field Sluice-Explain.

Examples:
  sluice explain GET https://api.example.com/v1/items
  sluice explain GET https://localhost:8443/v1/items -H 'Accept-Language: de' -H 'Cache-Control: no-cache'
  sluice explain HEAD http://localhost:8080/ --json | jq .verdict
`;

interface Flags extends AdminFlags {
  readonly header: readonly string[];
  readonly json?: boolean;
}

/** Adds the command to the program. */
export function addExplain(program: Command, host: Host, finish: Finish): void {
  const command = program
    .command('explain')
    .description('Say what the gateway would do with a request, and why: route, key, verdict, what is stored.')
    .argument('<method>', 'GET, HEAD, ...')
    .argument('<url>', 'as a client would ask for it')
    .option('-H, --header <line>', 'a request field such as "Accept-Language: de"; may be repeated', collect, [])
    .option('--json', 'print the answer as JSON');
  addAdminFlags(command)
    .addHelpText('after', EXAMPLES)
    .action(async (method: string, url: string, flags: Flags) => {
      finish(await explain(method.toUpperCase(), url, flags, host));
    });
}

function collect(line: string, lines: readonly string[]): readonly string[] {
  return [...lines, line];
}

async function explain(method: string, url: string, flags: Flags, host: Host): Promise<number> {
  const headers: [string, string][] = [];
  for (const line of flags.header) {
    const colon = line.indexOf(':');
    if (colon <= 0) {
      host.writeError(`sluice: -H '${line}': must be a field such as 'Accept-Language: de'\n`);
      return EXIT.usage;
    }
    headers.push([line.slice(0, colon).trim(), line.slice(colon + 1).trim()]);
  }
  const result = await askAdmin('/api/explain', { method, url, headers }, flags, host);
  if ('code' in result) return result.code;
  const { status, body } = result.answer;
  if (status !== 200) {
    const { title } = body as { readonly title?: string };
    host.writeError(`sluice: ${title ?? `the gateway answered ${status}`}\n`);
    return status === 400 ? EXIT.usage : EXIT.runtime;
  }
  const explanation = body as Explanation;
  host.writeOut(flags.json === true ? `${JSON.stringify(explanation, null, 2)}\n` : formatExplanation(explanation));
  return EXIT.ok;
}

/** An explanation as lines for people. */
export function formatExplanation(explanation: Explanation): string {
  const { request, route, key, verdict, stored, storing, variants } = explanation;
  const rows: [string, string][] = [['request', `${request.method} ${request.url}`]];
  rows.push(['route', route === null ? 'none' : `${route.name} (${route.at}; cache: ${route.cache})`]);
  if (key !== null) for (const [i, line] of key.split('\n').entries()) rows.push([i === 0 ? 'key' : '', line]);
  rows.push(['verdict', `${verdict.cache}${becauseOf(verdict)}`]);
  if (stored === null) rows.push(['stored', 'nothing that answers this']);
  else {
    const stale = stored.ttlSeconds < 0 ? `stale for ${-stored.ttlSeconds} s` : `fresh for ${stored.ttlSeconds} s more`;
    rows.push([
      'stored',
      `${stored.status}, ${stored.bytes} bytes, age ${stored.ageSeconds} s, ${stale} (by the word ${stored.freshness})`,
    ]);
    if (stored.part !== null) rows.push(['', `only bytes ${stored.part}`]);
    if (stored.validatesAlways) rows.push(['', 'validated before each use']);
    const windows = `while it is fetched anew ${stored.whileRevalidateSeconds} s, if the upstream fails ${stored.ifErrorSeconds} s`;
    rows.push(['', `may be served stale: ${windows}`]);
    if (stored.etag !== '') rows.push(['', `ETag ${stored.etag}`]);
    if (stored.lastModified !== '') rows.push(['', `Last-Modified ${stored.lastModified}`]);
    rows.push(['', `fetched ${stored.fetchedAt}`]);
    rows.push(['tags', stored.tags.length === 0 ? 'none' : stored.tags.join(' ')]);
  }
  if (storing !== null && !storing.stored) rows.push(['not stored', `the last answer${becauseOf(storing)}`]);
  for (const [i, variant] of variants.entries()) {
    const where = variant.key.split('\n').slice(1).join(', ');
    rows.push([i === 0 ? 'variants' : '', `${where === '' ? variant.key : where}${variant.present ? '' : ' (gone)'}`]);
  }
  return rows.map(([name, text]) => `${name.padEnd(12)}${text}\n`).join('');
}

function becauseOf(why: { readonly reason?: string; readonly text?: string; readonly section?: string }): string {
  return why.reason === undefined ? '' : `: ${why.reason}, ${why.text} (${why.section})`;
}
