// 100 MB through the gateway in both directions, streamed: the bytes arrive whole and the gateway's memory stays flat.

import assert from 'node:assert/strict';
import { createHash, type Hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { type Client, jsonOf, textOf } from '../helpers/clients.ts';
import { missingPeer } from '../helpers/peers.ts';
import { type Fleet, startFleet } from './fleet.ts';

const TOTAL_BYTES = 100 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
/** Resident memory may rise by this much over what it was with smaller bodies. */
const RISE_BYTES = 64 * 1024 * 1024;
const SAMPLE_MS = 50;

/** Bytes that differ from chunk to chunk, and their digest as they are read. */
function createBody(bytes: number): { stream: Readable; digest(): string } {
  const hash: Hash = createHash('sha256');
  function* chunks(): Generator<Buffer> {
    for (let at = 0; at < bytes; at += CHUNK_BYTES) {
      const chunk = Buffer.alloc(Math.min(CHUNK_BYTES, bytes - at), String(at));
      hash.update(chunk);
      yield chunk;
    }
  }
  return { stream: Readable.from(chunks(), { objectMode: false }), digest: () => hash.digest('hex') };
}

/** The highest resident memory of the gateway while `work` runs. */
async function peakWhile(fleet: Fleet, work: () => Promise<void>): Promise<number> {
  let peak = fleet.gateway.rssBytes();
  const sampler = setInterval(() => {
    peak = Math.max(peak, fleet.gateway.rssBytes());
  }, SAMPLE_MS);
  try {
    await work();
  } finally {
    clearInterval(sampler);
  }
  return Math.max(peak, fleet.gateway.rssBytes());
}

async function upload(client: Client, bytes: number): Promise<void> {
  const { stream, digest } = createBody(bytes);
  const answer = await client.send('/upload', { method: 'POST', body: stream });
  assert.equal(answer.status, 200);
  assert.deepEqual(await jsonOf(answer), { bytes, sha256: digest() });
}

async function download(client: Client, bytes: number): Promise<void> {
  const answer = await client.send(`/download?bytes=${bytes}`);
  assert.equal(answer.status, 200);
  const hash = createHash('sha256');
  let received = 0;
  for await (const chunk of answer.body) {
    hash.update(chunk as Buffer);
    received += (chunk as Buffer).length;
  }
  assert.equal(received, bytes);
  // The digest of what the app says it sends for this size.
  assert.equal(hash.digest('hex'), await textOf(await client.send(`/download/sha256?bytes=${bytes}`)));
}

describe('100 MB', { skip: missingPeer('fastapi', 'uvicorn', 'hypercorn') }, () => {
  let fleet: Fleet;
  before(async () => {
    fleet = await startFleet();
  });
  after(() => fleet?.close());

  for (const [index, protocol] of ['HTTP/1.1', 'HTTP/2'].entries()) {
    for (const [what, transfer] of Object.entries({ upload, download })) {
      test(`${what} over ${protocol}`, async (t) => {
        const client = fleet.clients[index] as Client;
        // Once with a small body, so that what loads lazily is not counted.
        await transfer(client, 1024 * 1024);
        const before = fleet.gateway.rssBytes();
        const rise = (await peakWhile(fleet, () => transfer(client, TOTAL_BYTES))) - before;
        t.diagnostic(`resident memory rose by ${(rise / 1024 / 1024).toFixed(1)} MB`);
        assert.ok(rise < RISE_BYTES, `resident memory rose by ${rise} bytes`);
      });
    }
  }
});
