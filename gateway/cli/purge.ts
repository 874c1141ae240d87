// `sluice purge`: takes answers out of the cache of a running gateway, or makes them stale, and says how many they were.

import type { Command } from 'commander';
import { type AdminFlags, addAdminFlags, askAdmin } from './admin.ts';
import { EXIT, type Finish, type Host } from './host.ts';

const EXAMPLES = `
A URL without http:// or https:// is meant under both. What the route leaves out of its keys is left out here, too. A tag is
what Surrogate-Key, Cache-Tag, Cache-Groups or cache.tags of the route say; case matters. What is purged with --soft stays
in the cache, stale: it is asked for anew, but can be confirmed by the upstream, and served while that fails.

Examples:
  sluice purge https://api.example.com/v1/items/42
  sluice purge api.example.com/v1/items api.example.com/v1/items?page=2
  sluice purge --prefix https://api.example.com/v1/catalog/
  sluice purge --prefix /v1/catalog/    on every host
  sluice purge --tag catalog --tag item-42 --soft
  sluice purge --tag catalog --host api.example.com
  sluice purge --all
`;

interface PurgeFlags extends AdminFlags {
  readonly prefix?: string;
  readonly tag?: readonly string[];
  readonly all?: boolean;
  readonly soft?: boolean;
  readonly host?: string;
  readonly json?: boolean;
}

/** What POST /api/purge answers. */
interface Purged {
  readonly purged: number;
  readonly bytes: number;
  readonly soft: boolean;
  readonly tookMs: number;
  /** With a Redis behind the cache. */
  readonly gateways?: readonly {
    readonly name: string;
    readonly confirmed: boolean;
    readonly objects: number;
    readonly bytes: number;
  }[];
  readonly redis?: { readonly objects: number; readonly bytes: number } | { readonly problem: string };
}

/** Adds the command to the program. */
export function addPurge(program: Command, host: Host, finish: Finish): void {
  const command = program
    .command('purge')
    .description('Take answers out of the cache of a running gateway: by URL, beginning, tag, or all.')
    .argument('[url...]', 'URLs, each with all its variants')
    .option('--prefix <prefix>', 'every URL that begins so; a path means every host')
    .option(
      '--tag <tag>',
      'every answer with this tag, may be repeated',
      (value: string, all: readonly string[] | undefined) => [...(all ?? []), value],
    )
    .option('--all', 'everything')
    .option('--soft', 'keep it, but stale')
    .option('--host <host>', 'only on this host; without a port on each of its ports')
    .option('--json', 'print the answer as JSON');
  addAdminFlags(command)
    .addHelpText('after', EXAMPLES)
    .action(async (urls: readonly string[], flags: PurgeFlags) => finish(await purge(urls, flags, host)));
}

async function purge(urls: readonly string[], flags: PurgeFlags, host: Host): Promise<number> {
  const whats = [
    ...(urls.length > 0 ? [{ url: urls }] : []),
    ...(flags.prefix !== undefined ? [{ prefix: flags.prefix }] : []),
    ...(flags.tag !== undefined ? [{ tag: flags.tag }] : []),
    ...(flags.all === true ? [{ all: true }] : []),
  ];
  if (whats.length !== 1) {
    host.writeError(
      'sluice: purge what? exactly one of URLs, --prefix, --tag, --all (sluice purge --help says more)\n',
    );
    return EXIT.usage;
  }
  const order = { ...whats[0], soft: flags.soft === true, ...(flags.host === undefined ? {} : { host: flags.host }) };
  const result = await askAdmin('/api/purge', order, flags, host);
  if ('code' in result) return result.code;
  const { status, body } = result.answer;
  if (status !== 200) {
    const { title, detail } = body as { readonly title?: string; readonly detail?: string };
    host.writeError(`sluice: ${detail ?? title ?? `the gateway answered ${status}`}\n`);
    return status === 400 ? EXIT.usage : EXIT.runtime;
  }
  const done = body as Purged;
  host.writeOut(flags.json === true ? `${JSON.stringify(done)}\n` : `${describe(done)}\n`);
  return EXIT.ok;
}

function describe({ purged, bytes, soft, tookMs, gateways, redis }: Purged): string {
  const objects = `${purged} object${purged === 1 ? '' : 's'}`;
  const done = soft ? `made ${objects} stale` : `purged ${objects}`;
  const lines = [`${done} (${size(bytes)}) in ${Math.ceil(tookMs)} ms`];
  if (redis !== undefined)
    lines.push('problem' in redis ? `  redis: ${redis.problem}` : `  redis: ${counted(redis.objects, redis.bytes)}`);
  for (const one of gateways ?? []) {
    const what = one.confirmed
      ? counted(one.objects, one.bytes)
      : 'did not confirm; it purges before it uses Redis again';
    lines.push(`  ${one.name}: ${what}`);
  }
  return lines.join('\n');
}

function counted(objects: number, bytes: number): string {
  return `${objects} object${objects === 1 ? '' : 's'} (${size(bytes)})`;
}

function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const units = ['KiB', 'MiB', 'GiB'];
  let amount = bytes / 1024;
  let unit = 0;
  while (amount >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit++;
  }
  return `${amount.toFixed(1)} ${units[unit]}`;
}
