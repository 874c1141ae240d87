// Purges beside the cache file: an older file does not bring back what was purged since, whatever happened to the process.

import assert from 'node:assert/strict';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { PurgeJournal } from '../../../gateway/store/purge-journal.ts';
import { createPurgeMemory, GONE, type PurgeSubject, Purges, UNTOUCHED } from '../../../gateway/store/purges.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-journal-'));
after(() => rmSync(folder, { recursive: true, force: true }));

let files = 0;
function warmFile(): string {
  const file = join(folder, `cache-${++files}`);
  writeFileSync(file, 'a cache');
  return file;
}

const log = (): Purges => new Purges(createPurgeMemory());
const tag = (text: string): PurgeSubject => ({ kind: 'tag', text, host: '' });

test('the next process has what was purged, at its time, hard and soft', async () => {
  const file = warmFile();
  const journal = new PurgeJournal(file);
  await journal.add([tag('t'), { kind: 'prefix', text: 'https://a/' }], false, 100);
  await journal.add([{ kind: 'path', text: '/p', host: 'b' }], true, 200);
  assert.equal(statSync(`${file}.purges`).mode & 0o777, 0o600);
  const purges = log();
  assert.equal(await new PurgeJournal(file).replay(purges), true);
  assert.equal(purges.goodUntil('https://x/', ['t'], 100), GONE);
  assert.equal(purges.goodUntil('https://x/', ['t'], 101), UNTOUCHED);
  assert.equal(purges.goodUntil('https://a/1', [], 50), GONE);
  assert.equal(purges.goodUntil('https://b/p/q', [], 50), 200);
});

test('what holds in the cache file is forgotten, what came while it was written is not', async () => {
  const file = warmFile();
  const journal = new PurgeJournal(file);
  await journal.add([tag('before')], false, 100);
  const kept = journal.length;
  await journal.add([tag('meanwhile')], false, 200);
  await journal.forget(kept);
  const purges = log();
  assert.equal(await new PurgeJournal(file).replay(purges), true);
  assert.equal(purges.isPurged('https://x/', ['before'], 50), false);
  assert.equal(purges.isPurged('https://x/', ['meanwhile'], 50), true);
  await journal.forget(journal.length);
  assert.ok(!existsSync(`${file}.purges`));
});

test('a process that takes over what an earlier one left goes on with it', async () => {
  const file = warmFile();
  await new PurgeJournal(file).add([tag('first')], false, 100);
  const second = new PurgeJournal(file);
  await second.replay(log());
  await second.add([tag('second')], false, 200);
  const purges = log();
  await new PurgeJournal(file).replay(purges);
  for (const text of ['first', 'second']) assert.equal(purges.isPurged('https://x/', [text], 50), true);
  await second.forget(second.length);
  assert.ok(!existsSync(`${file}.purges`));
});

test('without a journal nothing was purged; a line that was cut was never answered', async () => {
  assert.equal(await new PurgeJournal(warmFile()).replay(log()), true);
  const file = warmFile();
  await new PurgeJournal(file).add([tag('whole')], false, 100);
  appendFileSync(`${file}.purges`, '{"subject":{"kind":"tag","text":"cu');
  const purges = log();
  const next = new PurgeJournal(file);
  assert.equal(await next.replay(purges), true);
  assert.equal(purges.isPurged('https://x/', ['whole'], 50), true);
  await next.add([tag('more')], false, 200);
  const later = log();
  assert.equal(await new PurgeJournal(file).replay(later), true);
  for (const text of ['whole', 'more']) assert.equal(later.isPurged('https://x/', [text], 50), true);
});

test('one that cannot be read means that the cache file cannot be believed', async () => {
  for (const line of [
    'nonsense',
    '[]',
    'null',
    '{}',
    '{"subject":{"kind":"tag","text":"t"},"soft":false,"atMs":1}',
    '{"subject":{"kind":"tag","text":1,"host":""},"soft":false,"atMs":1}',
    '{"subject":{"kind":"constructor","text":"t","host":""},"soft":false,"atMs":1}',
    '{"subject":{"kind":"all","host":""},"soft":0,"atMs":1}',
    '{"subject":{"kind":"all","host":""},"soft":false,"atMs":-1}',
    '{"subject":{"kind":"all","host":""},"soft":false}',
  ]) {
    const file = warmFile();
    writeFileSync(`${file}.purges`, `${line}\n`);
    assert.equal(await new PurgeJournal(file).replay(log()), false, line);
  }
});

test('when it grows too long, the cache file goes', async () => {
  const file = warmFile();
  const journal = new PurgeJournal(file);
  const many = Array.from({ length: 256 }, (_, i) => tag(`t${i}`));
  for (let i = 0; i < 39; i++) await journal.add(many, false, 100);
  assert.ok(existsSync(file));
  await journal.add(many, false, 100);
  assert.ok(!existsSync(file) && !existsSync(`${file}.purges`));
  await journal.add([tag('after')], false, 100);
  assert.equal(readFileSync(`${file}.purges`, 'utf8').split('\n').length, 2);
});

test('when it cannot be written, the cache file goes', async () => {
  const file = warmFile();
  const journal = new PurgeJournal(file);
  // A folder in its place.
  mkdirSync(`${file}.purges`);
  await assert.rejects(journal.add([tag('t')], false, 100));
  assert.ok(!existsSync(file));
});
