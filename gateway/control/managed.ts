// An upstream whose processes the gateway starts itself: how many, where each listens, with which environment. Each
// address is chosen here and stays for the life of the upstream, so that a restarted process is found where the last
// one was. It never passes a command through a shell.

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { ManagedConfig, ServerAddress, UpstreamConfig } from '../config/config.ts';
import { type Child, type ChildView, createChild } from './child.ts';
import type { SendSignal } from './group.ts';
import { createGuardian, type Guardian } from './guardian.ts';
import type { ControlLog } from './log.ts';

/** One process with its identity, for the status report and the prober. */
export interface ManagedInstance extends ChildView {
  /** "api/#1", as in InstanceSpec. */
  readonly id: string;
  readonly address: ServerAddress;
}

export interface ManagedOptions {
  /** With `managed` not null. */
  readonly upstream: UpstreamConfig;
  /** Where a private folder (0700) for the unix sockets is made; default os.tmpdir(). */
  readonly folder?: string;
  /** Folder of the running node binary; stands first on the child's PATH, so that `node` is this one. */
  readonly nodeFolder: string;
  /** The gateway's environment; the upstream's own `env` is laid over it. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: ControlLog;
  /** ms. */
  readonly now: () => number;
  /** In [0, 1). */
  readonly rnd: () => number;
  /** process.kill. */
  readonly kill: SendSignal;
  /** After every change of one instance. */
  readonly onState?: (instance: ManagedInstance) => void;
}

export interface ManagedUpstream {
  readonly name: string;
  /** One per instance, fixed for its life. */
  readonly addresses: readonly ServerAddress[];
  /** Starts all. Resolves when each is running, or failed once, or `withinMs` (default 10,000) went by; never rejects. */
  start(withinMs?: number): Promise<void>;
  /** Ends all: SIGTERM to each process group, SIGKILL after stop_grace. When it resolves, none is left. */
  stop(): Promise<void>;
  /** Restarts one, by its place from 0. Resolves to whether it runs within `withinMs`. */
  restart(at: number, withinMs: number): Promise<boolean>;
  /** SIGKILL at once and without waiting: for a process that exits now. */
  kill(): void;
  states(): readonly ManagedInstance[];
}

/** Bytes of sun_path, the closing zero included: Linux has 108, macOS 104. */
const SOCKET_PATH_BYTES = 104;
const START_WAIT_MS = 10_000;

/** `auto`: one per core, but two at least, so that one can fail, and four at most, since nobody asked for more. */
export function instanceCount(managed: ManagedConfig, cores: number): number {
  return managed.instances ?? Math.min(4, Math.max(2, cores));
}

/** argv with every {socket} and {port} replaced. */
export function fillArgv(argv: readonly string[], address: ServerAddress): readonly string[] {
  return argv.map((word) =>
    address.kind === 'unix'
      ? word.replaceAll('{socket}', () => address.path)
      : word.replaceAll('{port}', String(address.port)),
  );
}

/** The environment of a child: the gateway's, then the upstream's own, then the node folder first on PATH. */
export function childEnv(
  outer: Readonly<Record<string, string | undefined>>,
  own: Readonly<Record<string, string>>,
  nodeFolder: string,
): Record<string, string | undefined> {
  const env = { ...outer, ...own };
  env.PATH = env.PATH === undefined || env.PATH === '' ? nodeFolder : nodeFolder + delimiter + env.PATH;
  return env;
}

/** Chooses the addresses; starts nothing yet. Rejects when the socket folder cannot be made or its path is too long. */
export async function createManaged(options: ManagedOptions): Promise<ManagedUpstream> {
  const { upstream, log } = options;
  const managed = upstream.managed;
  if (managed === null) throw new Error(`upstream ${upstream.name} has no command`);
  const count = instanceCount(managed, availableParallelism());
  const places =
    managed.via === 'socket' ? await chooseSockets(options.folder ?? tmpdir(), count) : await choosePorts(count);
  const env = childEnv(options.env, managed.env, options.nodeFolder);
  let guardian: Guardian | null = null;
  const watcher: Guardian = {
    add: (group) => guardian?.add(group),
    remove: (group) => guardian?.remove(group),
    close: () => guardian?.close(),
  };
  const waiting = new Set<() => void>();
  let stopped: Promise<void> | null = null;

  const children: readonly Child[] = places.addresses.map((address, at) =>
    createChild({
      name: `${upstream.name}#${at + 1}`,
      argv: fillArgv(managed.argv, address),
      cwd: managed.cwd,
      env,
      address,
      stopGraceMs: managed.stopGraceMs,
      guardian: watcher,
      log,
      now: options.now,
      rnd: options.rnd,
      kill: options.kill,
      onState() {
        options.onState?.(instanceAt(at));
        for (const check of waiting) check();
      },
    }),
  );

  function instanceAt(at: number): ManagedInstance {
    const child = children[at] as Child;
    return { id: `${upstream.name}/#${at + 1}`, address: places.addresses[at] as ServerAddress, ...child.view() };
  }

  function settled(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        waiting.delete(check);
        resolve();
      };
      const check = () => {
        if (!children.some((child) => child.view().state === 'starting')) done();
      };
      const timer = setTimeout(done, withinMs);
      waiting.add(check);
      check();
    });
  }

  return {
    name: upstream.name,
    addresses: places.addresses,
    start(withinMs = START_WAIT_MS) {
      if (stopped !== null) return stopped;
      guardian ??= createGuardian({ graceMs: managed.stopGraceMs, log });
      for (const child of children) child.start();
      return settled(withinMs);
    },
    stop() {
      stopped ??= Promise.all(children.map((child) => child.stop())).then(async () => {
        guardian?.close();
        await places.remove();
      });
      return stopped;
    },
    async restart(at, withinMs) {
      return (await children[at]?.restart(withinMs)) ?? false;
    },
    kill() {
      for (const child of children) child.kill();
    },
    states: () => children.map((_, at) => instanceAt(at)),
  };
}

interface Places {
  readonly addresses: readonly ServerAddress[];
  remove(): Promise<void>;
}

async function chooseSockets(parent: string, count: number): Promise<Places> {
  // mkdtemp makes it 0700: nobody else may connect to the processes behind the gateway's back.
  const folder = await mkdtemp(join(parent, 'sluice-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  const addresses = Array.from({ length: count }, (_, at): ServerAddress => {
    const path = join(folder, `${at + 1}.sock`);
    return { kind: 'unix', tls: false, path, text: `unix:${path}` };
  });
  const longest = Math.max(
    ...addresses.map((address) => Buffer.byteLength(address.kind === 'unix' ? address.path : '')),
  );
  if (longest >= SOCKET_PATH_BYTES) {
    await remove();
    throw new Error(`the path of a unix socket in ${parent} would be too long; use {port} or a shorter TMPDIR`);
  }
  return { addresses, remove };
}

/** Free ports of 127.0.0.1, all held at once while they are chosen, so that none comes twice. */
async function choosePorts(count: number): Promise<Places> {
  const addresses: ServerAddress[] = [];
  const held: Server[] = [];
  try {
    while (held.length < count) {
      const { server, port } = await holdPort();
      held.push(server);
      addresses.push({ kind: 'tcp', tls: false, host: '127.0.0.1', port, text: `http://127.0.0.1:${port}` });
    }
  } finally {
    await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  }
  return { addresses, remove: () => Promise.resolve() };
}

function holdPort(): Promise<{ server: Server; port: number }> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host: '127.0.0.1', port: 0 }, () => {
      const address = server.address();
      resolve({ server, port: typeof address === 'object' && address !== null ? address.port : 0 });
    });
  });
}
