// An external API that thinks for a minute and a half before its first byte. A file of its own, so that others run meanwhile.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { jsonOf } from '../helpers/clients.ts';
import { missingPeer } from '../helpers/peers.ts';
import { type External, startExternal } from './external.ts';

const ANSWER_MS = 90_000;

describe('an answer that takes 90 s', { skip: missingPeer('fastapi', 'hypercorn') }, () => {
  let external: External;
  before(async () => {
    external = await startExternal();
  });
  after(() => external?.close());

  test('arrives over HTTP/1.1 and HTTP/2', async () => {
    const beganMs = Date.now();
    const answers = await Promise.all(
      external.clients.map(async (client) => {
        const answer = await client.send(`/video/slow?ms=${ANSWER_MS}`);
        return [answer.status, await jsonOf<{ ms: number }>(answer)] as const;
      }),
    );
    assert.deepEqual(answers, [
      [200, { ms: ANSWER_MS }],
      [200, { ms: ANSWER_MS }],
    ]);
    assert.ok(Date.now() - beganMs >= ANSWER_MS - 1000, 'it really took that long');
  });
});
