// The composition root of the control plane: starts everything in order, reloads on SIGHUP or a changed file, drains on
// SIGTERM. It decides when; what happens is in the parts it calls.

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { availableParallelism, platform } from 'node:os';
import { dirname, join } from 'node:path';
import type { AdminServer } from '../admin/server.ts';
import { ensureToken, keptSecret, TOKEN_DIGEST_BYTES, tokenDigest } from '../admin/token.ts';
import type { Config } from '../config/config.ts';
import { formatProblems } from '../config/report.ts';
import { createCounterBuffer } from '../observe/counters.ts';
import type { Logger } from '../observe/log.ts';
import { createRateMemory } from '../store/rates.ts';
import { createVitals, VITALS_WORKERS, Vitals } from '../upstream/vitals.ts';
import { createAddresses } from './addresses.ts';
import { formatBanner } from './banner.ts';
import { type Breakers, createBreakers } from './breakers.ts';
import { type Cache, createCache } from './cache.ts';
import { type Concurrency, createConcurrency } from './concurrency.ts';
import { createDiscoverer, type Discoverer } from './discover.ts';
import { type EarlyThreads, startEarly } from './early.ts';
import { createEjector, type Ejector } from './eject.ts';
import { explainQuestion } from './explain.ts';
import { createFleet, type Fleet } from './fleet.ts';
import { createFleetSecret, type FleetSecret } from './fleet-secret.ts';
import { createManaged, type ManagedUpstream } from './managed.ts';
import { createOperator, type Operator } from './operate.ts';
import type { RunOptions } from './options.ts';
import { createProber } from './probe.ts';
import { purge } from './purge.ts';
import { INSTANCE_ROWS } from './rows.ts';
import { createSite, isRunning, type Site } from './site.ts';
import { createStandings, type Standings } from './standings.ts';
import { bannerInput, statusReport, trafficFigures } from './status.ts';
import { startTicker, type Ticker } from './tick.ts';
import { createTrafficBook, type TrafficBook } from './traffic.ts';
import { type ConfigWatch, watchConfig } from './watch.ts';
import { createWorkers, type Workers } from './workers.ts';

const EXIT = { ok: 0, runtime: 1, config: 78, forced: 130 } as const;
/** A terminal's Ctrl-C reaches npm's child twice; a second signal counts only after this. */
const SECOND_SIGNAL_MS = 1_000;
/** How long the first answers of instances are waited for before ready is said. */
const FIRST_PROBES_MS = 1_000;
const CERTIFICATE_CHECK_MS = 3_600_000;
/** How often the cache is written to cache.warm while it serves. */
const KEEP_WARM_MS = 300_000;
const FILES_WHEN_UNKNOWN = 20_480;

/** Runs until told to stop; resolves to the exit code. */
export async function runGateway(options: RunOptions): Promise<number> {
  const early = startEarly(availableParallelism());
  try {
    return await runWith(options, early);
  } finally {
    // However it went, those that nobody took do not keep the process.
    await early.end();
  }
}

async function runWith(options: RunOptions, early: EarlyThreads): Promise<number> {
  const loaded = await options.load();
  if (!loaded.ok) {
    options.writeError(formatProblems(loaded.problems, { colour: options.colour }));
    return EXIT.config;
  }
  const { config } = loaded;
  const { createLogger } = await import('../observe/log.ts');
  const pretty = config.log.format === 'pretty' || (config.log.format === 'auto' && options.stdoutIsTerminal);
  const log = await createLogger({
    level: config.log.level,
    format: config.log.format,
    fd: options.stdoutFd,
    terminal: options.stdoutIsTerminal,
    colour: options.colour,
  });
  for (const warning of loaded.warnings) log.warn(formatProblems([warning], { colour: false }).trim());
  try {
    const gateway = new Gateway(options, config, log, pretty, await openFilesLimit(), early);
    // Those that it had no use for.
    void early.end();
    return await gateway.run();
  } finally {
    log.flushSync();
  }
}

interface LastReload {
  readonly atMs: number;
  readonly ok: boolean;
  readonly problems: string;
}

class Gateway {
  readonly #options: RunOptions;
  readonly #first: Config;
  readonly #log: Logger;
  readonly #pretty: boolean;
  readonly #counters: SharedArrayBuffer;
  readonly #traffic: TrafficBook;
  readonly #vitals: Vitals;
  readonly #site: Site;
  readonly #workers: Workers;
  readonly #prober: ReturnType<typeof createProber>;
  readonly #standings: Standings;
  readonly #ejector: Ejector;
  readonly #concurrency: Concurrency;
  readonly #breakers: Breakers;
  readonly #operator: Operator;
  readonly #discoverer: Discoverer;
  /** Servers changed in DNS, and nobody has applied that yet. */
  #isRediscovering = false;
  #ticker: Ticker | null = null;
  readonly #workerCount: number;
  readonly #cache: Cache;
  readonly #fleet: Fleet;
  readonly #tokenDigest = new SharedArrayBuffer(TOKEN_DIGEST_BYTES);
  #admin: AdminServer | null = null;
  #tokenFile: string | null = null;
  #watch: ConfigWatch | null = null;
  #renewal: NodeJS.Timeout | null = null;
  #keeping: NodeJS.Timeout | null = null;
  #lastReload: LastReload | null = null;
  #reloading: Promise<unknown> = Promise.resolve();
  #state: 'starting' | 'ready' | 'draining' = 'starting';
  #stopAskedMs = 0;
  #stopAsked: (forced: boolean) => void = () => {};

  constructor(options: RunOptions, config: Config, log: Logger, pretty: boolean, files: number, early: EarlyThreads) {
    this.#options = options;
    this.#first = config;
    this.#log = log;
    this.#pretty = pretty;
    this.#workerCount = workersFor(config, log);
    this.#cache = createCache(config.cache.memoryBytes, log, Date.now);
    this.#fleet = createFleet({
      generations: this.#cache.generations,
      purges: this.#cache.purges,
      purgeHere: (subjects, soft) => this.#cache.purge(subjects, soft),
      log,
      now: Date.now,
      rnd: Math.random,
    });
    this.#counters = createCounterBuffer(this.#workerCount);
    this.#traffic = createTrafficBook(this.#workerCount);
    const vitals = createVitals();
    this.#vitals = new Vitals(vitals);
    this.#standings = createStandings({ vitals: this.#vitals, log, now: Date.now });
    this.#prober = createProber({
      vitals: { setState: (slot, state) => this.#standings.setHealth(slot, state) },
      answers: (slot) => this.#vitals.sum(slot, this.#workerCount, 'ok'),
      isRunning: (spec) => isRunning(this.#site, spec),
      log,
      now: Date.now,
      rnd: Math.random,
    });
    this.#ejector = createEjector({
      vitals: this.#vitals,
      workerCount: this.#workerCount,
      standings: this.#standings,
      prober: this.#prober,
      now: Date.now,
    });
    const counted = { vitals: this.#vitals, workerCount: this.#workerCount, log, now: Date.now };
    this.#concurrency = createConcurrency(counted);
    this.#breakers = createBreakers(counted);
    this.#workers = createWorkers({
      count: this.#workerCount,
      birth: {
        vitals,
        counters: this.#counters,
        traffic: this.#traffic.memory,
        heartbeats: new SharedArrayBuffer(4 * this.#workerCount),
        cache: this.#cache.memory,
        rates: createRateMemory(randomBytes(4).readInt32LE()),
        adminToken: this.#tokenDigest,
        logFd: options.stdoutFd,
        terminal: options.stdoutIsTerminal,
        colour: options.colour,
        traceStates: options.traceStates,
        lane: options.lane,
        reusePort: this.#workerCount > 1,
      },
      log,
      early,
      onDeath: (row) => {
        this.#vitals.clearWorker(row);
        this.#cache.reclaim(row);
        this.#cache.generations.forget(row);
      },
      onInvalidated: (row, purges) => {
        this.#fleet.invalidated(purges);
        this.#cache.generations.settle(row);
      },
      now: Date.now,
    });
    this.#discoverer = createDiscoverer({
      log,
      rnd: Math.random,
      changed: () => void this.#rediscover(),
    });
    const addresses = createAddresses();
    const fleetSecret = createFleetSecret();
    const workers = this.#workers;
    this.#site = createSite({
      addresses,
      workers: () => workers,
      workerCount: this.#workerCount,
      prober: this.#prober,
      vitals: this.#vitals,
      traffic: this.#traffic,
      standings: this.#standings,
      ejector: this.#ejector,
      concurrency: this.#concurrency,
      breakers: this.#breakers,
      slots: INSTANCE_ROWS,
      ticketKeys: randomBytes(48),
      files,
      discoverer: this.#discoverer,
      fleet: this.#fleet,
      stickySecret: (config) => stickySecret(config, fleetSecret),
      startManaged: (upstream) => this.#startManaged(upstream),
      log,
      now: Date.now,
    });
    this.#operator = createOperator({
      site: this.#site,
      standings: this.#standings,
      vitals: this.#vitals,
      workerCount: this.#workerCount,
      tell: (message) => workers.tell(message),
      inTurn: (act) => this.#inTurn(act),
      log,
      now: Date.now,
    });
  }

  async run(): Promise<number> {
    const asked = new Promise<boolean>((resolve) => {
      this.#stopAsked = resolve;
    });
    let forced = false;
    const force = new Promise<'forced'>((resolve) => {
      this.#options.onSignal((signal) => {
        if (signal === 'SIGHUP') void this.reload();
        else if (this.#stopAskedMs === 0) {
          this.#stopAskedMs = Date.now();
          this.#log.info(`${signal}: draining`);
          this.#stopAsked(false);
        } else if (Date.now() - this.#stopAskedMs >= SECOND_SIGNAL_MS) {
          forced = true;
          resolve('forced');
        }
      });
    });
    this.#options.onFault((error) => {
      // A bug of control's must not cost the clients their connections; the workers serve on.
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#log.error(`a fault in control: ${text}`);
    });
    const problem = await Promise.race([this.#start(), force]);
    if (problem !== null) {
      if (forced) return this.#abandon();
      this.#options.writeError(`sluice: ${problem}\n`);
      await this.#end();
      return EXIT.runtime;
    }
    await asked;
    await Promise.race([this.#drain(), force]);
    await Promise.race([this.#end(), force]);
    return forced ? this.#abandon() : EXIT.ok;
  }

  #abandon(): number {
    this.#log.warn('second signal: ending now');
    this.#site.kill();
    return EXIT.forced;
  }

  /** Reads the file again and applies it whole or not at all. Reloads never overlap. */
  reload(): Promise<{ ok: boolean; problems: string }> {
    return this.#inTurn(() => this.#reload());
  }

  /** Several changes that come while another application runs are applied together. */
  async #rediscover(): Promise<void> {
    if (this.#isRediscovering) return;
    this.#isRediscovering = true;
    const outcome = await this.#inTurn(() => {
      this.#isRediscovering = false;
      return this.#site.rediscover();
    });
    if (!outcome.ok)
      this.#log.error(`servers from DNS could not be applied: ${outcome.problem}`, { event: 'discovery' });
  }

  /** Applications never overlap. */
  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const next = this.#reloading.then(act);
    this.#reloading = next.catch(() => undefined);
    return next;
  }

  async #start(): Promise<string | null> {
    // Watched before it is applied: processes may take seconds to start, and a change meanwhile is not to be lost.
    let changed = false;
    if (this.#options.file !== '') {
      this.#watch = await watchConfig(this.#watched(this.#first), () => {
        if (this.#state === 'ready') void this.reload();
        else changed = true;
      });
    }
    const applied = await this.#site.apply(this.#first);
    if (!applied.ok) return applied.problem;
    const problem = await this.#startAdmin();
    if (problem !== null) return problem;
    this.#ticker = startTicker(
      this.#vitals,
      [() => this.#ejector.tick(), () => this.#concurrency.tick(), () => this.#breakers.tick()],
      (error) =>
        this.#log.error(
          `a fault in control: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
        ),
    );
    await this.#prober.settled(FIRST_PROBES_MS);
    // The local leaf is renewed before it expires; files are watched, and looked at once an hour all the same.
    this.#renewal = setInterval(() => void this.#renew(), CERTIFICATE_CHECK_MS);
    this.#renewal.unref();
    this.#keeping = setInterval(() => void this.#keepWarm(), KEEP_WARM_MS);
    this.#keeping.unref();
    this.#state = 'ready';
    if (this.#first.cache.warm !== null) void this.#cache.warmUp(this.#first.cache.warm);
    this.#sayReady();
    if (changed) void this.reload();
    return null;
  }

  async #startAdmin(): Promise<string | null> {
    const { listen, token } = this.#first.admin;
    if (listen === null) return null;
    try {
      const { createAdmin } = await import('../admin/server.ts');
      const made = await ensureToken(token, this.#first.tls.folder);
      new Uint8Array(this.#tokenDigest).set(tokenDigest(made.token));
      this.#tokenFile = made.file;
      this.#admin = await createAdmin({
        listen,
        token: made.token,
        status: () => this.#status(),
        traffic: () => trafficFigures(this.#view()),
        readiness: () => this.#readiness(),
        upstreams: (order) => this.#operator.order(order),
        explain: (question) => explainQuestion(question, this.#site, this.#cache, Date.now()),
        purge: (order) =>
          purge(
            order,
            this.#cache,
            this.#fleet,
            (this.#site.served?.published.config ?? this.#first).routes,
            this.#log,
          ),
        ...(this.#options.file === '' ? {} : { reload: () => this.reload() }),
      });
      return null;
    } catch (error) {
      return `admin: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  async #startManaged(upstream: Config['upstreams'][number]): Promise<ManagedUpstream> {
    const managed = await createManaged({
      upstream,
      nodeFolder: dirname(this.#options.execPath),
      env: this.#options.env,
      kill: this.#options.kill,
      log: this.#log,
      now: Date.now,
      rnd: Math.random,
      onState: (instance) => this.#prober.changed(instance.id),
    });
    await managed.start();
    return managed;
  }

  async #reload(): Promise<{ ok: boolean; problems: string }> {
    if (this.#state !== 'ready') return { ok: false, problems: 'not while starting or draining' };
    const beganMs = Date.now();
    const before = this.#site.served?.published.config.hash ?? '';
    let problems = '';
    try {
      const loaded = await this.#options.load();
      if (!loaded.ok) problems = formatProblems(loaded.problems, { colour: false });
      else {
        if (loaded.config.cache.memoryBytes !== this.#first.cache.memoryBytes)
          this.#log.warn('cache.memory: a new size applies after a restart');
        if (loaded.config.workers !== this.#first.workers)
          this.#log.warn('workers: a new number applies after a restart');
        if (JSON.stringify(loaded.config.admin) !== JSON.stringify(this.#first.admin))
          this.#log.warn('admin: a change applies after a restart');
        const applied = await this.#site.apply(loaded.config);
        if (!applied.ok) problems = applied.problem;
        else {
          for (const warning of loaded.warnings) this.#log.warn(formatProblems([warning], { colour: false }).trim());
          await this.#watch?.follow(this.#watched(loaded.config));
        }
      }
    } catch (error) {
      problems = error instanceof Error ? error.message : String(error);
    }
    const ok = problems === '';
    this.#lastReload = { atMs: beganMs, ok, problems };
    const after = this.#site.served?.published.config.hash ?? '';
    if (ok)
      this.#log.info(`reloaded in ${Date.now() - beganMs} ms (config ${before.slice(0, 8)} to ${after.slice(0, 8)})`, {
        event: 'reload',
        ok,
      });
    else this.#log.error(`reload refused, the old config stays: ${problems}`, { event: 'reload', ok });
    return { ok, problems };
  }

  async #renew(): Promise<void> {
    const outcome = await this.#inTurn(() => this.#site.renew());
    if (!outcome.ok) this.#log.error(`certificates could not be renewed: ${outcome.problem}`);
  }

  #watched(config: Config): string[] {
    const files = [this.#options.file];
    for (const { cert, key } of config.tls.certificates) files.push(cert, key);
    return files;
  }

  async #drain(): Promise<void> {
    this.#state = 'draining';
    await this.#reloading;
    const { delayMs, graceMs } = (this.#site.served?.published.config ?? this.#first).shutdown;
    if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
    const beganMs = Date.now();
    const { finished, cut } = await this.#workers.drain(graceMs);
    const left = cut === 0 ? '' : `, cut ${cut}`;
    this.#cache.stop();
    await this.#keepWarm();
    this.#log.info(`drained ${finished} requests in ${((Date.now() - beganMs) / 1000).toFixed(1)} s${left}`, {
      finished,
      cut,
    });
  }

  /** Writes the cache to the file of the config that is served, if it names one. */
  async #keepWarm(): Promise<void> {
    const file = this.#site.served?.published.config.cache.warm ?? null;
    if (file !== null) await this.#cache.keepWarm(file);
  }

  async #end(): Promise<void> {
    this.#cache.stop();
    if (this.#renewal !== null) clearInterval(this.#renewal);
    if (this.#keeping !== null) clearInterval(this.#keeping);
    this.#watch?.close();
    this.#prober.stop();
    this.#ticker?.stop();
    this.#discoverer.stop();
    await this.#workers.terminate();
    await Promise.all([this.#site.stop(), this.#admin?.close(), this.#fleet.stop()]);
  }

  #readiness(): { ready: boolean; reasons: readonly string[] } {
    const reasons: string[] = [];
    if (this.#state !== 'ready') reasons.push(this.#state);
    if (this.#workers.states().every(({ alive }) => !alive)) reasons.push('no worker is alive');
    return { ready: reasons.length === 0, reasons };
  }

  #view(): Parameters<typeof statusReport>[0] {
    return {
      options: this.#options,
      site: this.#site,
      workers: this.#workers,
      prober: this.#prober,
      standings: this.#standings,
      ejector: this.#ejector,
      breakers: this.#breakers,
      vitals: this.#vitals,
      workerCount: this.#workerCount,
      counters: this.#counters,
      traffic: this.#traffic,
      cache: this.#cache,
      fleet: this.#fleet,
      readiness: this.#readiness(),
      draining: this.#state === 'draining',
      lastReload: this.#lastReload,
      adminUrl: this.#admin?.url ?? null,
      tokenFile: this.#tokenFile,
    };
  }

  #status(): ReturnType<typeof statusReport> {
    return statusReport(this.#view(), Date.now());
  }

  #sayReady(): void {
    if (this.#pretty) {
      this.#options.writeOut(formatBanner(bannerInput(this.#view(), Date.now())));
      return;
    }
    const listeners = (this.#site.served?.listening ?? []).map(({ protocol, text, port }) => ({
      protocol,
      text,
      port,
    }));
    const admin =
      this.#admin === null ? null : { url: this.#admin.url, port: Number(/:(\d+)$/.exec(this.#admin.url)?.[1] ?? 0) };
    this.#log.info('ready', {
      listeners,
      admin,
      workers: this.#workerCount,
      ready_ms: Date.now() - this.#options.startedMs,
    });
  }
}

/** Kept beside the admin token, so that clients stay where they are over a restart. */
async function stickySecret({ upstreams, tls, cache }: Config, fleetSecret: FleetSecret): Promise<string> {
  const isNeeded = upstreams.some(({ balance }) => balance.policy === 'sticky' && balance.secret === '');
  if (!isNeeded) return '';
  const own = (await keptSecret(join(tls.folder, 'sticky.secret'))).token;
  // A client that another gateway of the fleet bound to an instance stays there.
  return cache.shared === null ? own : ((await fleetSecret(cache.shared, 'sticky', own)) ?? own);
}

/** Open files this process may have, by /proc; a careful guess elsewhere. */
async function openFilesLimit(): Promise<number> {
  try {
    const text = await readFile('/proc/self/limits', 'utf8');
    const soft = /^Max open files\s+(\d+)/m.exec(text)?.[1];
    return soft === undefined ? FILES_WHEN_UNKNOWN : Number(soft);
  } catch {
    return FILES_WHEN_UNKNOWN;
  }
}

/** Worker threads: as many as the config says, by default one per core; one where an address cannot be shared. */
function workersFor(config: Config, log: Logger): number {
  const wanted = config.workers === 'auto' ? availableParallelism() : config.workers;
  const most = Math.min(wanted, VITALS_WORKERS - 1);
  if (most === 1 || platform() === 'linux') return most;
  log.warn('several workers cannot share an address on this system; one serves');
  return 1;
}
