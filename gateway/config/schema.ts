// The whole of gateway.yaml as one zod schema: every key that works, its type, its default, its meaning. A key that does
// not work yet is not here and therefore an error. Pure.

import * as z from 'zod';
import { type CacheSection, cacheSchema } from './cache.ts';
import type { Config, LimitsConfig, LogConfig, TimeoutsConfig } from './config.ts';
import { routeSchema, type WrittenRoute } from './routes.ts';
import {
  adminSchema,
  limitsSchema,
  listenSchema,
  logSchema,
  serverTimingSchema,
  shutdownSchema,
  type TlsSection,
  timeoutsSchema,
  tlsSchema,
  trustedProxiesSchema,
  versionSchema,
  workersSchema,
} from './sections.ts';
import { UPSTREAM_NAME, upstreamSchema, type WrittenUpstream } from './upstreams.ts';

/** The parts that stand once; each is read on its own, so that a mistake in one hides none in another. */
export interface Sections {
  readonly version: 1;
  readonly workers: number | null;
  readonly listen: Config['listen'];
  readonly tls: TlsSection;
  readonly trusted_proxies: readonly string[];
  readonly limits: LimitsConfig;
  readonly timeouts: TimeoutsConfig;
  readonly cache: CacheSection;
  readonly admin: Config['admin'];
  readonly log: LogConfig;
  readonly shutdown: Config['shutdown'];
  readonly server_timing: boolean;
}

export const SECTIONS: { readonly [K in keyof Sections]: z.ZodType<Sections[K], unknown> } = {
  version: versionSchema,
  workers: workersSchema,
  listen: listenSchema,
  tls: tlsSchema,
  trusted_proxies: trustedProxiesSchema,
  limits: limitsSchema,
  timeouts: timeoutsSchema,
  cache: cacheSchema,
  admin: adminSchema,
  log: logSchema,
  shutdown: shutdownSchema,
  server_timing: serverTimingSchema,
};

/** Everything in `upstreams` and `routes`, entry by entry. */
export interface Entries {
  readonly upstreams: Readonly<Record<string, WrittenUpstream>>;
  readonly routes: readonly WrittenRoute[];
}

/** The file as a whole: what the JSON Schema and the reference are made from. */
export const fileSchema: z.ZodType<Sections & Entries, unknown> = z
  .strictObject({
    version: SECTIONS.version,
    workers: SECTIONS.workers,
    listen: SECTIONS.listen,
    tls: SECTIONS.tls,
    trusted_proxies: SECTIONS.trusted_proxies,
    limits: SECTIONS.limits,
    timeouts: SECTIONS.timeouts,
    cache: SECTIONS.cache,
    upstreams: z
      .record(z.string().regex(UPSTREAM_NAME), upstreamSchema)
      .prefault({})
      .describe(
        'The servers behind the gateway, by name. Short forms: api: "http://127.0.0.1:8001" and api: ["http://...", "http://..."].',
      ),
    routes: z.array(routeSchema).min(1).describe('Which requests go where.'),
    admin: SECTIONS.admin,
    log: SECTIONS.log,
    shutdown: SECTIONS.shutdown,
    server_timing: SECTIONS.server_timing,
  })
  .describe(
    'gateway.yaml of Sluice. Durations: 500ms 10s 5m 2h 1d. Sizes: 512B 16KiB 10MiB. Relative paths start at the folder of the file.',
  );
