// Managed upstreams with real processes: started, waited for, their output in the log, restarted when they die, ended
// as whole groups, and ended even when the gateway itself was killed.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { ManagedConfig, ServerAddress } from '../../gateway/config/config.ts';
import { accepts } from '../../gateway/control/child.ts';
import { createManaged, type ManagedInstance, type ManagedUpstream } from '../../gateway/control/managed.ts';
import { createNewsLog, eventually, type NewsLog, testFolder, upstreamConfig } from '../helpers/control.ts';

/** Answers every request with its pid and an environment variable. `behaviour` is more of the program. */
function serverProgram(behaviour = ''): string {
  return `
    const { createServer } = require('node:http');
    const where = process.argv[2];
    ${behaviour}
    createServer((_, response) => response.end(JSON.stringify({ pid: process.pid, greeting: process.env.GREETING, node: process.execPath })))
      .listen(/^[0-9]+$/.test(where) ? { host: '127.0.0.1', port: Number(where) } : { path: where });
  `;
}

interface Managed {
  readonly managed: ManagedUpstream;
  readonly log: NewsLog;
  readonly folder: string;
  readonly changes: ManagedInstance[];
}

async function manage(t: TestContext, program: string, changes: Partial<ManagedConfig> = {}): Promise<Managed> {
  const folder = testFolder(t);
  const script = join(folder, 'server.cjs');
  writeFileSync(script, program);
  const log = createNewsLog();
  const states: ManagedInstance[] = [];
  const managed = await createManaged({
    upstream: upstreamConfig({
      managed: {
        argv: [process.execPath, script, '{socket}'],
        via: 'socket',
        instances: 1,
        env: {},
        cwd: folder,
        stopGraceMs: 5000,
        ...changes,
      },
    }),
    folder,
    nodeFolder: dirname(process.execPath),
    env: process.env,
    log,
    now: () => performance.now(),
    rnd: () => 0,
    kill: process.kill,
    onState: (instance) => states.push(instance),
  });
  t.after(() => managed.stop());
  return { managed, log, folder, changes: states };
}

function ask(address: ServerAddress | undefined): Promise<{ pid: number; greeting: string; node: string }> {
  assert.ok(address !== undefined);
  return new Promise((resolve, reject) => {
    const where = address.kind === 'unix' ? { socketPath: address.path } : { host: address.host, port: address.port };
    const asked = request({ ...where, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve(JSON.parse(text)));
    });
    asked.on('error', reject).end();
  });
}

/** A zombie that nobody has collected yet is gone for us. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

test('two instances on unix sockets of their own, in a folder nobody else can enter', async (t) => {
  const { managed, folder } = await manage(t, serverProgram(), { instances: 2, env: { GREETING: 'hello' } });
  assert.equal(managed.addresses.length, 2);
  await managed.start();
  const states = managed.states();
  assert.deepEqual(
    states.map((one) => [one.id, one.state, one.restarts, one.lastExit]),
    [
      ['api/#1', 'running', 0, ''],
      ['api/#2', 'running', 0, ''],
    ],
  );
  const answers = await Promise.all(managed.addresses.map(ask));
  assert.deepEqual(
    answers.map((answer) => answer.pid),
    states.map((one) => one.pid),
  );
  assert.equal(answers[0]?.greeting, 'hello');
  const [first] = managed.addresses;
  assert.ok(first?.kind === 'unix' && first.path.startsWith(folder));
  assert.equal(statSync(dirname(first.path)).mode & 0o777, 0o700);

  await managed.stop();
  assert.ok(states.every((one) => one.pid !== null && !isAlive(one.pid)));
  assert.ok(!existsSync(dirname(first.path)), 'the socket folder is gone');
  assert.deepEqual(
    managed.states().map((one) => one.state),
    ['stopped', 'stopped'],
  );
});

test('ports of our choice, and `node` on the PATH of the child is the running one', async (t) => {
  const { managed, folder } = await manage(t, serverProgram(), {
    via: 'port',
    instances: 2,
    argv: ['node', 'server.cjs', '{port}'],
  });
  assert.ok(existsSync(join(folder, 'server.cjs')), 'cwd is where the relative path starts');
  await managed.start();
  const ports = managed.addresses.map((address) => (address.kind === 'tcp' ? address.port : 0));
  assert.equal(new Set(ports).size, 2);
  for (const address of managed.addresses) assert.equal((await ask(address)).node, process.execPath);
});

test('its output stands line by line in the log, with its name', async (t) => {
  const { managed, log } = await manage(
    t,
    serverProgram(`console.log('out one\\nout two'); console.error('\\x1b[31mbad\\x1b[0m');`),
  );
  await managed.start();
  assert.equal(await log.until(/out two/), 'info [api#1] out two');
  assert.ok(log.lines.includes('info [api#1] out one'));
  assert.equal(await log.until(/bad/), 'info [api#1] bad');
});

test('one that is killed comes back at the same address, and the news says so', async (t) => {
  const { managed, log, changes } = await manage(t, serverProgram());
  await managed.start();
  const before = managed.states()[0];
  assert.ok(before?.pid);
  process.kill(before.pid, 'SIGKILL');
  await eventually(
    'running again',
    () => managed.states()[0]?.restarts === 1 && managed.states()[0]?.state === 'running',
  );
  const after = managed.states()[0];
  assert.notEqual(after?.pid, before.pid);
  assert.equal(after?.lastExit, 'SIGKILL');
  assert.equal((await ask(managed.addresses[0])).pid, after?.pid);
  assert.deepEqual(
    changes.map((one) => one.state),
    ['starting', 'running', 'backing-off', 'starting', 'running'],
  );
  await log.until(/warn api#1 ended \(SIGKILL\); next start in 160 ms/);
});

test('one that cannot live is tried again with growing pauses; start() does not wait for ever', async (t) => {
  const { managed, log } = await manage(t, `console.error('no database'); process.exit(3);`);
  await managed.start();
  assert.equal(managed.states()[0]?.state, 'backing-off');
  await log.until(/ended \(exit code 3\); next start in 160 ms/);
  await log.until(/ended \(exit code 3\); next start in 320 ms/);
  await log.until(/\[api#1\] no database/);
  assert.equal(managed.states()[0]?.lastExit, 'exit code 3');
});

test('a program that does not exist is said to be so, and tried again', async (t) => {
  const { managed, log } = await manage(t, '', { argv: ['/no/such/program', '{socket}'] });
  await managed.start();
  await log.until(/api#1 ended \(could not start: .*ENOENT.*\); next start in 160 ms/);
  await log.until(/next start in 320 ms/);
  await managed.stop();
  assert.equal(managed.states()[0]?.state, 'stopped');
});

test('a socket file left behind does not keep the next process from starting', async (t) => {
  const { managed, changes } = await manage(t, serverProgram());
  const [address] = managed.addresses;
  assert.ok(address?.kind === 'unix');
  writeFileSync(address.path, 'left behind');
  await managed.start();
  assert.ok(changes.some((one) => one.state === 'running'));
});

test('a slow starter is "starting" until its socket accepts', async (t) => {
  const { managed, folder, log } = await manage(
    t,
    serverProgram(`const { existsSync } = require('node:fs'); console.log('loading');
      while (!existsSync('go')) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);`),
  );
  const started = managed.start();
  await log.until(/loading/);
  assert.equal(managed.states()[0]?.state, 'starting');
  writeFileSync(join(folder, 'go'), '');
  await started;
  assert.equal(managed.states()[0]?.state, 'running');
});

test('stop() ends children of the child too, and those that ignore SIGTERM after stop_grace', async (t) => {
  const { managed, log } = await manage(
    t,
    serverProgram(`
      process.on('SIGTERM', () => console.log('I stay'));
      const helper = require('node:child_process').spawn(process.execPath, ['-e', 'process.on("SIGTERM", () => {}); console.log("helper", process.pid); setInterval(() => {}, 1000)'], { stdio: 'inherit' });
    `),
    { stopGraceMs: 300 },
  );
  await managed.start();
  const helper = Number(/helper (\d+)/.exec(await log.until(/helper \d+/))?.[1]);
  const pid = managed.states()[0]?.pid ?? 0;
  assert.ok(isAlive(helper) && isAlive(pid));
  await managed.stop();
  assert.ok(
    log.lines.some((line) => /I stay/.test(line)),
    'it was asked first',
  );
  await log.until(/did not end within 300 ms and is killed/);
  assert.ok(!isAlive(pid) && !isAlive(helper));
});

test('stop() gives a child the time to finish its work', async (t) => {
  const { managed, log } = await manage(
    t,
    serverProgram(`process.on('SIGTERM', () => setTimeout(() => { console.log('finished'); process.exit(0); }, 150));`),
  );
  await managed.start();
  await managed.stop();
  await log.until(/\[api#1\] finished/);
  assert.ok(!log.lines.some((line) => /killed/.test(line)));
});

test('stop() while it waits for the next start leaves nothing to come', async (t) => {
  const { managed } = await manage(t, 'process.exit(1)');
  await managed.start();
  await managed.stop();
  assert.equal(managed.states()[0]?.state, 'stopped');
  assert.equal(managed.stop(), managed.stop(), 'a second stop is the same stop');
});

test('when the leader of a group dies, the rest of the group is ended before the next start', async (t) => {
  const { managed, log } = await manage(
    t,
    serverProgram(
      `require('node:child_process').spawn(process.execPath, ['-e', 'console.log("helper", process.pid); setInterval(() => {}, 1000)'], { stdio: 'inherit' });`,
    ),
  );
  await managed.start();
  const helper = Number(/helper (\d+)/.exec(await log.until(/helper \d+/))?.[1]);
  process.kill(managed.states()[0]?.pid ?? 0, 'SIGKILL');
  await eventually('the helper is gone', () => !isAlive(helper));
  await eventually('running again', () => managed.states()[0]?.state === 'running');
});

test('a gateway that is killed takes its managed processes with it', async (t) => {
  const folder = testFolder(t);
  writeFileSync(join(folder, 'server.cjs'), serverProgram());
  const script = join(folder, 'gateway.ts');
  const room = join(import.meta.dirname, '../../gateway/control/managed.ts');
  writeFileSync(
    script,
    `import { createManaged } from ${JSON.stringify(room)};
    const log = { info() {}, warn: console.error, error: console.error };
    const managed = await createManaged({
      upstream: { name: 'api', managed: { argv: [process.execPath, 'server.cjs', '{socket}'], via: 'socket', instances: 2, env: {}, cwd: ${JSON.stringify(folder)}, stopGraceMs: 1000 } } as never,
      folder: ${JSON.stringify(folder)}, nodeFolder: '/', env: process.env, log, now: () => performance.now(), rnd: () => 0, kill: process.kill,
    });
    await managed.start();
    console.log(JSON.stringify(managed.states().map((one) => one.pid)));
    setInterval(() => {}, 1000);`,
  );
  const gateway = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => gateway.kill('SIGKILL'));
  const [line] = await once(gateway.stdout, 'data');
  const pids = JSON.parse(String(line)) as number[];
  assert.equal(pids.length, 2);
  assert.ok(pids.every(isAlive));
  gateway.kill('SIGKILL');
  await eventually('no process is left', () => !pids.some(isAlive));
});

test('an address answers the poll only when somebody listens there', async (t) => {
  const { managed } = await manage(t, serverProgram(), {
    via: 'port',
    argv: [process.execPath, 'server.cjs', '{port}'],
  });
  const [address] = managed.addresses;
  assert.ok(address !== undefined);
  assert.equal(await accepts(address, 500), false);
  await managed.start();
  assert.equal(await accepts(address, 500), true);
});
