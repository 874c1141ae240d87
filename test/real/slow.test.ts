// An external API that thinks for a minute and a half before its first byte. A file of its own, so that others run meanwhile.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jsonOf } from '../helpers/clients.ts';
import { missingPeer } from '../helpers/peers.ts';
import { startExternal } from './external.ts';

const ANSWER_MS = 90_000;

test('an answer that takes 90 s arrives over HTTP/1.1 and HTTP/2', {
  skip: missingPeer('fastapi', 'hypercorn'),
  timeout: 2 * ANSWER_MS,
}, async (t) => {
  const external = await startExternal();
  t.after(() => external.close());
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
