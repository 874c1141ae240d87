// The cache as a file: what was live comes back, what was purged or is of no use does not, and a file that is damaged,
// foreign or cut is never more than ignored.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { StoredHead } from '../../../gateway/policy/facts.ts';
import { type Arena, openArena } from '../../../gateway/store/arena.ts';
import { createArenaMemory } from '../../../gateway/store/arena-memory.ts';
import { decodeFrame, encodeFrame, encodeVariants } from '../../../gateway/store/frame.ts';
import { createPurgeMemory, Purges } from '../../../gateway/store/purges.ts';
import { readWarm, writeWarm } from '../../../gateway/store/warm.ts';
import { storedHead } from '../../helpers/stored-head.ts';

const folder = mkdtempSync(join(tmpdir(), 'sluice-warm-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const NOW_MS = 1_000_000;

function head(changes: Partial<StoredHead> = {}): StoredHead {
  return storedHead({ storedMs: NOW_MS, freshUntilMs: NOW_MS + 60_000, ...changes });
}

const arena = (): Arena => openArena(createArenaMemory(16 * 2 ** 20), { row: 63 });
const never = (): boolean => false;
const noPurges = (): Purges => new Purges(createPurgeMemory());

function filled(): Arena {
  const full = arena();
  full.put('https://a/small', encodeFrame('https://a/small', head(), [Buffer.from('small')]));
  full.put('https://a/large', encodeFrame('https://a/large', head(), [Buffer.alloc(3_000_000, 'l')]));
  full.put('https://a/ümlaut', encodeFrame('https://a/ümlaut', head(), [Buffer.from('wide')]));
  full.put('https://a/old', encodeFrame('https://a/old', head({ freshUntilMs: NOW_MS - 1 }), [Buffer.from('old')]));
  full.put('https://a/tag', encodeFrame('https://a/tag', head({ freshUntilMs: 0, etag: '"1"' }), [Buffer.from('tag')]));
  full.put(
    'https://a/v',
    encodeVariants(
      'https://a/v',
      { rows: [{ names: ['accept'], key: 'https://a/v\nvary accept=x', language: '', coding: 'identity' }] },
      NOW_MS,
    ),
  );
  return full;
}

test('what was live comes back whole; what is stale without a validator stays away', async () => {
  const file = join(folder, 'whole');
  const written = await writeWarm(filled(), noPurges(), file, NOW_MS);
  assert.equal(written.entries, 5);
  assert.equal(written.bytes, statSync(file).size);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const fresh = arena();
  const read = await readWarm(fresh, noPurges(), file, NOW_MS, never);
  assert.deepEqual(read, { entries: 5, skipped: 0, problem: '' });
  const large = fresh.get('https://a/large');
  assert.ok(
    large !== null && decodeFrame(large, 'https://a/large')?.body.equals(Buffer.alloc(3_000_000, 'l')) === true,
  );
  assert.ok(fresh.get('https://a/ümlaut') !== null);
  assert.equal(fresh.get('https://a/old'), null);
});

test('what was purged before the end is not written, and what was stored since the start is not replaced', async () => {
  const file = join(folder, 'purged');
  const purges = noPurges();
  purges.add('https://a/small', NOW_MS + 5);
  assert.equal((await writeWarm(filled(), purges, file, NOW_MS)).entries, 4);
  const fresh = arena();
  const newer = encodeFrame('https://a/tag', head(), [Buffer.from('newer')]);
  fresh.put('https://a/tag', newer);
  await readWarm(fresh, noPurges(), file, NOW_MS, never);
  assert.deepEqual(fresh.get('https://a/tag'), newer);
  assert.equal(fresh.get('https://a/small'), null);
});

test('what a prefix, a tag or a host names stays away, on the way out and on the way in', async () => {
  for (const [subject, left] of [
    [{ kind: 'prefix', text: 'https://a/sm' }, 3],
    [{ kind: 'tag', text: 'red', host: '' }, 2],
    [{ kind: 'path', text: '/', host: 'a' }, 0],
    [{ kind: 'all', host: 'b' }, 4],
  ] as const) {
    const full = filled();
    for (const path of ['x', 'tag'])
      full.put(`https://a/${path}`, encodeFrame(`https://a/${path}`, head({ tags: ['red'] }), [Buffer.from('red')]));
    const purges = noPurges();
    purges.purge(subject, false, NOW_MS + 5);
    const responses = async (writing: Purges, reading: Purges): Promise<number> => {
      const file = join(folder, `${subject.kind}`);
      await writeWarm(full, writing, file, NOW_MS);
      const fresh = arena();
      await readWarm(fresh, reading, file, NOW_MS, never);
      return ['small', 'large', 'x', 'tag'].filter((path) => fresh.get(`https://a/${path}`) !== null).length;
    };
    assert.equal(await responses(purges, noPurges()), left, `${subject.kind} out`);
    assert.equal(await responses(noPurges(), purges), left, `${subject.kind} in`);
  }
});

test('what a soft purge made stale is stale in the next process, which has another log', async () => {
  const full = filled();
  const known = head({ etag: '"1"', whileRevalidateUntilMs: NOW_MS + 90_000, ifErrorUntilMs: NOW_MS + 90_000 });
  full.put('https://a/soft', encodeFrame('https://a/soft', known, [Buffer.from('soft')]));
  const purges = noPurges();
  purges.purge({ kind: 'url', text: 'https://a/soft' }, true, NOW_MS + 5);
  purges.purge({ kind: 'url', text: 'https://a/small' }, true, NOW_MS + 5);
  const file = join(folder, 'soft');
  await writeWarm(full, purges, file, NOW_MS + 10);
  const fresh = arena();
  await readWarm(fresh, noPurges(), file, NOW_MS + 10, never);
  const frame = fresh.get('https://a/soft');
  const read = frame === null ? null : decodeFrame(frame, 'https://a/soft');
  assert.deepEqual(read?.head, { ...known, freshUntilMs: NOW_MS + 5, whileRevalidateUntilMs: 0, bodyBytes: 4 });
  // Stale and with nothing to ask by: of no use.
  assert.equal(fresh.get('https://a/small'), null);
});

test('writing the file counts as nobody’s read and keeps nothing in the arena', async () => {
  const full = filled();
  const before = full.stats();
  await writeWarm(full, noPurges(), join(folder, 'unread'), NOW_MS);
  const { hits, misses } = full.stats();
  assert.deepEqual({ hits, misses }, { hits: before.hits, misses: before.misses });
  assert.equal(full.locate('https://a/small')?.wasRead, false);
  full.get('https://a/small');
  assert.equal(full.locate('https://a/small')?.wasRead, true);
});

test('a missing file is no problem, a foreign one is ignored with a reason', async () => {
  assert.deepEqual(await readWarm(arena(), noPurges(), join(folder, 'none'), NOW_MS, never), {
    entries: 0,
    skipped: 0,
    problem: '',
  });
  const foreign = join(folder, 'foreign');
  writeFileSync(foreign, 'SLUICEW2 of the future');
  assert.match(
    (await readWarm(arena(), noPurges(), foreign, NOW_MS, never)).problem,
    /not a cache file of this version/,
  );
});

test('every cut and many a flipped byte: read as far as it is whole, never more, never a throw', async () => {
  const file = join(folder, 'damaged');
  const small = arena();
  for (let i = 0; i < 5; i++)
    small.put(`https://a/${i}`, encodeFrame(`https://a/${i}`, head(), [Buffer.from(`body ${i}`)]));
  await writeWarm(small, noPurges(), file, NOW_MS);
  const whole = readFileSync(file);
  const broken = join(folder, 'broken');
  for (let i = 0; i < whole.length; i += 3) {
    const damaged = i % 2 === 0 ? whole.subarray(0, i) : Buffer.from(whole);
    if (i % 2 === 1) damaged[i] = (damaged[i] as number) ^ 0x41;
    writeFileSync(broken, damaged);
    const target = arena();
    const read = await readWarm(target, noPurges(), broken, NOW_MS, never);
    assert.ok(read.entries + read.skipped <= 5);
    for (let k = 0; k < 5; k++) {
      const frame = target.get(`https://a/${k}`);
      if (frame !== null) assert.equal(decodeFrame(frame, `https://a/${k}`)?.body.toString(), `body ${k}`);
    }
  }
});
