// The ways in which files change under a running gateway, on a real file system: saved in place, replaced by rename,
// saved many times, swapped by a Kubernetes volume, deleted and written again, not changed at all.

import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { type ConfigWatch, type WatchOptions, watchConfig } from '../../gateway/control/watch.ts';
import { eventually, testFolder } from '../helpers/control.ts';

interface Watched {
  readonly watch: ConfigWatch;
  /** One entry per call of onChange. */
  readonly calls: (readonly string[])[];
}

/** Events only, unless the options say otherwise: the look without an event is hours away. */
async function watching(t: TestContext, files: readonly string[], options: WatchOptions = {}): Promise<Watched> {
  const calls: string[][] = [];
  const watch = await watchConfig(files, (changed) => calls.push(changed.map((file) => basename(file))), {
    debounceMs: 30,
    pollMs: 3_600_000,
    ...options,
  });
  t.after(() => watch.close());
  return { watch, calls };
}

function fileWith(t: TestContext, text: string): string {
  const file = join(testFolder(t), 'gateway.yaml');
  writeFileSync(file, text);
  return file;
}

test('saved in place, and replaced by rename, again and again', async (t) => {
  const file = fileWith(t, 'one');
  const { calls } = await watching(t, [file]);
  writeFileSync(file, 'two');
  await eventually('the first change', () => calls.length === 1);
  for (let count = 2; count < 5; count++) {
    writeFileSync(`${file}.tmp`, `text ${count}`);
    renameSync(`${file}.tmp`, file);
    await eventually(`change ${count}`, () => calls.length === count);
  }
  assert.deepEqual(calls[0], ['gateway.yaml']);
});

test('twenty saves in a row are one change', async (t) => {
  const file = fileWith(t, 'one');
  const { calls } = await watching(t, [file], { debounceMs: 150 });
  for (let count = 0; count < 20; count++) writeFileSync(file, `text ${count}`);
  await eventually('the change', () => calls.length > 0);
  // A change made after it is the next one, so nothing stood between.
  writeFileSync(file, 'last');
  await eventually('the next change', () => calls.length > 1);
  assert.equal(calls.length, 2);
});

test('the same content, a new time, another file beside it: no change', async (t) => {
  const file = fileWith(t, 'one');
  const { calls } = await watching(t, [file]);
  writeFileSync(file, 'one');
  utimesSync(file, 1, 1);
  writeFileSync(join(file, '../other.txt'), 'x');
  writeFileSync(`${file}.tmp`, 'one');
  renameSync(`${file}.tmp`, file);
  const marker = `${file}.marker`;
  const { calls: seen } = await watching(t, [marker]);
  writeFileSync(marker, 'x');
  await eventually('the other watch saw its file', () => seen.length === 1);
  assert.deepEqual(calls, []);
});

test('a Kubernetes volume: the ..data link is swapped, the file itself never changes', async (t) => {
  const folder = testFolder(t);
  for (const [name, text] of [
    ['..2026_01', 'one'],
    ['..2026_02', 'two'],
  ] as const) {
    mkdirSync(join(folder, name));
    writeFileSync(join(folder, name, 'gateway.yaml'), text);
  }
  symlinkSync('..2026_01', join(folder, '..data'));
  symlinkSync('..data/gateway.yaml', join(folder, 'gateway.yaml'));
  const { calls } = await watching(t, [join(folder, 'gateway.yaml')]);
  symlinkSync('..2026_02', join(folder, '..data_tmp'));
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
  rmSync(join(folder, '..2026_01'), { recursive: true });
  await eventually('the change', () => calls.length === 1);
});

test('deleted is a change, and so is written again', async (t) => {
  const file = fileWith(t, 'one');
  const { calls } = await watching(t, [file]);
  rmSync(file);
  await eventually('gone', () => calls.length === 1);
  writeFileSync(file, 'one');
  await eventually('back', () => calls.length === 2);
});

test('without events the look finds it: a link into a folder that nobody watches', async (t) => {
  const elsewhere = fileWith(t, 'one');
  const file = join(testFolder(t), 'gateway.yaml');
  symlinkSync(elsewhere, file);
  const { calls } = await watching(t, [file], { pollMs: 25 });
  writeFileSync(elsewhere, 'two');
  await eventually('the change', () => calls.length === 1);
});

test('a folder that is replaced, or comes later, is watched again', async (t) => {
  const folder = join(testFolder(t), 'conf');
  const file = join(folder, 'gateway.yaml');
  const { calls } = await watching(t, [file], { pollMs: 25 });
  mkdirSync(folder);
  writeFileSync(file, 'one');
  await eventually('it came', () => calls.length === 1);
  renameSync(folder, `${folder}.old`);
  mkdirSync(folder);
  writeFileSync(file, 'two');
  await eventually('the new one', () => calls.flat().length >= 2);
  const before = calls.length;
  writeFileSync(file, 'three');
  await eventually('and its changes', () => calls.length > before);
});

test('several files in several folders; which ones can be changed while it runs', async (t) => {
  const yaml = fileWith(t, 'one');
  const cert = join(testFolder(t), 'a.pem');
  writeFileSync(cert, 'cert');
  const { watch, calls } = await watching(t, [yaml]);
  await watch.follow([yaml, cert]);
  writeFileSync(cert, 'new cert');
  writeFileSync(yaml, 'two');
  await eventually('both', () => calls.flat().length === 2);
  assert.deepEqual(calls.flat().sort(), ['a.pem', 'gateway.yaml']);
  await watch.follow([cert]);
  writeFileSync(yaml, 'three');
  writeFileSync(cert, 'third cert');
  await eventually('the one that is followed', () => calls.flat().length === 3);
  assert.equal(calls.flat().at(-1), 'a.pem');
});

test('a file that is written all the time is reported all the same', async (t) => {
  const file = fileWith(t, 'one');
  const { calls } = await watching(t, [file], { debounceMs: 60 });
  let count = 0;
  const writer = setInterval(() => writeFileSync(file, `text ${count++}`), 10);
  t.after(() => clearInterval(writer));
  await eventually('a change', () => calls.length > 0);
});

test('after close() nothing is said', async (t) => {
  const file = fileWith(t, 'one');
  const { watch, calls } = await watching(t, [file]);
  const { calls: seen } = await watching(t, [file]);
  writeFileSync(file, 'two');
  watch.close();
  await eventually('the other watch saw it', () => seen.length === 1);
  assert.deepEqual(calls, []);
});
