import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, fstatSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { type TestContext, test } from 'node:test';
import type { LogConfig } from '../../../gateway/config/config.ts';
import { type AccessLog, createAccessLog } from '../../../gateway/observe/access-log.ts';
import { createLogger } from '../../../gateway/observe/log.ts';
import type { AccessRecord } from '../../../gateway/observe/record.ts';
import { LIMITS } from '../../../gateway/tables/limits.ts';
import { accessRecord } from '../../helpers/record.ts';

const RECORD = accessRecord();

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sluice-log-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function logTo(
  fd: number,
  change: Partial<LogConfig['access']> = {},
  format: LogConfig['format'] = 'json',
  rnd = () => 0.5,
): AccessLog {
  const access = { sample: 1, slowMs: 1000, redact: [], ...change };
  return createAccessLog({ config: { level: 'info', format, access }, fd, terminal: false, colour: false, rnd });
}

function linesOf(file: string): AccessRecord[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

test('every record becomes a line of the file, in order, and the descriptor stays open', async (t) => {
  const file = join(folderOf(t), 'log');
  const fd = openSync(file, 'a');
  const log = logTo(fd);
  for (let i = 0; i < 1000; i++) log.write({ ...RECORD, id: String(i) });
  await log.end();
  assert.deepEqual(
    linesOf(file).map(({ id }) => id),
    Array.from({ length: 1000 }, (_, i) => String(i)),
  );
  assert.equal(log.dropped, 0);
  assert.ok(fstatSync(fd).isFile());
  closeSync(fd);
});

test('flushSync leaves nothing behind', (t) => {
  const file = join(folderOf(t), 'log');
  const fd = openSync(file, 'a');
  const log = logTo(fd);
  for (let i = 0; i < 100; i++) log.write(RECORD);
  log.flushSync();
  // The first line may still be on its way in another thread.
  assert.ok(readFileSync(file, 'utf8').split('\n').length >= 100);
});

test('a sample is drawn, but slow ones and 5xx are always logged', async (t) => {
  const file = join(folderOf(t), 'log');
  const fd = openSync(file, 'a');
  let draw = 0;
  const log = logTo(fd, { sample: 0.25, slowMs: 50 }, 'json', () => (draw++ % 4) / 4);
  for (let i = 0; i < 400; i++) log.write({ ...RECORD, id: 'drawn' });
  log.write({ ...RECORD, id: 'slow', durationMs: 50 });
  log.write({ ...RECORD, id: 'error', status: 503 });
  await log.end();
  const ids = linesOf(file).map(({ id }) => id);
  assert.equal(ids.filter((id) => id === 'drawn').length, 100);
  assert.deepEqual(ids.slice(-2), ['slow', 'error']);
  closeSync(fd);
});

test('auto is JSON where there is no terminal and pretty where there is', async (t) => {
  const file = join(folderOf(t), 'log');
  const fd = openSync(file, 'a');
  for (const terminal of [false, true]) {
    const access = { sample: 1, slowMs: 1000, redact: [] };
    const log = createAccessLog({
      config: { level: 'info', format: 'auto', access },
      fd,
      terminal,
      colour: true,
      rnd: () => 0,
    });
    log.write(RECORD);
    await log.end();
  }
  const [json, pretty] = readFileSync(file, 'utf8').split('\n');
  assert.equal(JSON.parse(json as string).status, 200);
  assert.ok(pretty?.includes('\x1b[32m200\x1b[0m  GET   localhost/'));
  closeSync(fd);
});

test('a log that was replaced still writes what its requests end with', async (t) => {
  const file = join(folderOf(t), 'log');
  const fd = openSync(file, 'a');
  const before = logTo(fd);
  const after = logTo(fd);
  await before.end();
  before.write({ ...RECORD, id: 'late' });
  await after.end();
  assert.deepEqual(
    linesOf(file).map(({ id }) => id),
    ['late'],
  );
  closeSync(fd);
});

/** A pipe whose reader is ours to stop: the read end is held open and not read. */
function pipeOf(t: TestContext): { readonly writeFd: number; readonly readFd: number } {
  const path = join(folderOf(t), 'pipe');
  execFileSync('mkfifo', [path]);
  const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { readFd, writeFd: openSync(path, constants.O_WRONLY | constants.O_NONBLOCK) };
}

test('a reader that does not read costs lines, counted, and bounded memory; nothing waits', async (t) => {
  const { readFd, writeFd } = pipeOf(t);
  const log = logTo(writeFd);
  const long = { ...RECORD, target: `/${'x'.repeat(3000)}` };
  const lines = Math.ceil((2 * LIMITS.logBytes) / 3000);
  const began = performance.now();
  for (let i = 0; i < lines; i++) log.write(long);
  assert.ok(log.dropped > lines / 3 && log.dropped < lines, `${log.dropped} of ${lines}`);
  log.flushSync();
  await log.end();
  assert.ok(performance.now() - began < 5000, 'the end did not wait for the reader');
  log.write(RECORD);
  closeSync(readFd);
  closeSync(writeFd);
});

test('a reader that left costs lines, not the program', async (t) => {
  const { readFd, writeFd } = pipeOf(t);
  const log = logTo(writeFd);
  closeSync(readFd);
  log.write(RECORD);
  await log.end();
  log.write(RECORD);
  assert.ok(log.dropped >= 1);
  closeSync(writeFd);
});

test('a program whose log reader is stuck still exits', async () => {
  // As main does: asking whether stdout is a terminal puts it into non-blocking mode.
  const source = `
    process.stdout.isTTY;
    const { createAccessLog } = await import(${JSON.stringify(new URL('../../../gateway/observe/access-log.ts', import.meta.url).href)});
    const log = createAccessLog({ config: { level: 'info', format: 'json', access: { sample: 1, slowMs: 1000, redact: [] } },
      fd: 1, terminal: false, colour: false, rnd: Math.random });
    for (let i = 0; i < 1000; i++) log.write({ ...${JSON.stringify(RECORD)}, id: String(i) });
    setTimeout(() => process.exit(7), 100);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.stdout.pause();
  const guard = setTimeout(() => child.kill('SIGKILL'), 10_000);
  const code = await new Promise((resolve) => child.once('exit', resolve));
  clearTimeout(guard);
  child.stdout.destroy();
  assert.equal(code, 7);
});

test('lines of several threads in one pipe stay whole', async () => {
  const source = `
    import { isMainThread, Worker, workerData } from 'node:worker_threads';
    const { createAccessLog } = await import(${JSON.stringify(new URL('../../../gateway/observe/access-log.ts', import.meta.url).href)});
    const log = createAccessLog({ config: { level: 'info', format: 'json', access: { sample: 1, slowMs: 1000, redact: [] } },
      fd: 1, terminal: false, colour: false, rnd: Math.random });
    const record = ${JSON.stringify(RECORD)};
    for (let i = 0; i < 4000; i++) {
      log.write({ ...record, id: workerData + '-' + i, target: '/' + 'x'.repeat((i * 37) % 2000) });
      if (i % 50 === 0) await new Promise(setImmediate);
    }
    await log.end();`;
  const main = `
    import { Worker } from 'node:worker_threads';
    const url = new URL('data:text/javascript,' + encodeURIComponent(${JSON.stringify(source)}));
    for (const name of ['a', 'b', 'c']) new Worker(url, { workerData: name });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', main], { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = (await text(child.stdout)).split('\n').slice(0, -1);
  // A thread that ends waits 2 s for the reader, which on a busy machine may not be enough for all 12,000.
  const ids: string[] = lines.map((line) => JSON.parse(line).id);
  assert.equal(new Set(ids).size, ids.length);
  for (const name of ['a', 'b', 'c'])
    assert.ok(ids.filter((id) => id.startsWith(name)).length > 100, `${ids.length} lines, few of ${name}`);
});

test("the program's own log: JSON or pretty, above its level, without secrets or control characters", async (t) => {
  const file = join(folderOf(t), 'log');
  const fd = openSync(file, 'a');
  const options = { level: 'info', fd, terminal: false, colour: false } as const;
  const json = await createLogger({ ...options, format: 'auto' });
  json.debug('not at this level');
  json.info('listening', { port: 8443, token: 'x1' });
  json.error('failed \x1b[31m', { error: new Error('boom'), headers: { cookie: 'x2' } });
  const pretty = await createLogger({ ...options, format: 'pretty' });
  pretty.warn('careful', { file: 'gateway.yaml', authorization: 'x3' });
  pretty.flushSync();
  const [first, second, ...rest] = readFileSync(file, 'utf8').split('\n');
  const { time, ...listening } = JSON.parse(first as string);
  assert.ok(!Number.isNaN(Date.parse(time)));
  assert.deepEqual(listening, { level: 'info', kind: 'gateway', port: 8443, token: '***', msg: 'listening' });
  assert.match(second as string, /"level":"error".*"message":"boom".*"cookie":"\*\*\*".*"msg":"failed \\\\u001b\[31m"/);
  assert.match(rest.join('\n'), /WARN: careful .*gateway\.yaml/);
  assert.ok(!/x[123]/.test(readFileSync(file, 'utf8')));
  closeSync(fd);
});

test("the program's own log does not wait for a full pipe either: what did not fit comes with the next reading", async (t) => {
  const { readFd, writeFd } = pipeOf(t);
  const log = await createLogger({ level: 'info', format: 'json', fd: writeFd, terminal: false, colour: false });
  const began = performance.now();
  for (let i = 0; i < 200; i++) log.info(`line ${i} ${'x'.repeat(1000)}`);
  assert.ok(performance.now() - began < 2000);
  const chunks: Buffer[] = [];
  const buffer = Buffer.alloc(1_048_576);
  // The pipe holds 64 KiB: read, let the rest flow in, read again.
  for (let round = 0; round < 10; round++) {
    chunks.push(Buffer.from(buffer.subarray(0, readSync(readFd, buffer))));
    if (round === 9 || chunks.join('').includes('line 199')) break;
    log.flushSync();
  }
  const lines = chunks.join('').trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line).msg.split(' ')[1]),
    Array.from({ length: 200 }, (_, i) => String(i)),
  );
  closeSync(readFd);
  closeSync(writeFd);
});
