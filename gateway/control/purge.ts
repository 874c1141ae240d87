// Carries out an operator's order to purge, under the routes that are served, and says so in the log.

import type { PurgeOrder, PurgeOutcome } from '../admin/purge-order.ts';
import type { RouteConfig } from '../config/config.ts';
import { compileRoutes } from '../route/compile.ts';
import { TICK_MS } from '../store/purge-table.ts';
import type { Cache } from './cache.ts';
import type { Fleet } from './fleet.ts';
import type { ControlLog } from './log.ts';
import { purgeSubjects } from './purge-subjects.ts';

/** Names in a line of the log. */
const MOST_NAMED = 5;
/** Characters of each. */
const MOST_SHOWN = 200;

/** Purges. Resolves when it is counted; it holds for every request that comes from now on. */
export async function purge(
  order: PurgeOrder,
  cache: Cache,
  fleet: Fleet,
  routes: readonly RouteConfig[],
  log: ControlLog,
): Promise<PurgeOutcome> {
  const beganMs = performance.now();
  const named = purgeSubjects(order, compileRoutes(routes));
  if ('problem' in named) return { ok: false, problem: named.problem };
  // The purge holds here from this time on, or a little later.
  const sinceMs = Math.max(cache.purges.newestMs + TICK_MS, Date.now());
  const counting = cache.purge(named.subjects, order.soft);
  const [{ objects, bytes }, others] = await Promise.all([
    counting,
    fleet.purge(named.subjects, order.soft, sinceMs, hasPlainKeys(routes)),
  ]);
  const tookMs = Math.round(10 * (performance.now() - beganMs)) / 10;
  log.info(`${order.soft ? 'soft purge' : 'purge'} by ${describe(order)}: ${objects} objects in ${tookMs} ms`, {
    event: 'purge',
    objects,
    bytes,
    soft: order.soft,
    ...(others === null ? {} : { fleet: others }),
  });
  return { ok: true, purged: objects, bytes, tookMs, fleet: others };
}

/** Whether no key of theirs has more than its URL in it: then a URL names its values in Redis. */
function hasPlainKeys(routes: readonly RouteConfig[]): boolean {
  return routes.every(({ cache: { key, methods } }) => {
    const isGet = methods.every((method) => method === 'GET' || method === 'HEAD');
    return key.headers.length === 0 && key.cookies.length === 0 && isGet;
  });
}

function describe({ kind, names, host }: PurgeOrder): string {
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : '';
  const shown = names.slice(0, MOST_NAMED).map((name) => JSON.stringify(name.slice(0, MOST_SHOWN)));
  const what = [kind, ...shown].join(' ');
  return `${what}${more}${host === '' ? '' : ` on ${host}`}`;
}
