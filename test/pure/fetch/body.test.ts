// A body with several readers of different pace: everyone gets every byte, in order, once, or an abort; never a clean end
// after a failure; and what is held stays bounded unless it is kept.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Body, type Reader, type Sink } from '../../../gateway/fetch/body.ts';
import { LIMITS } from '../../../gateway/tables/limits.ts';

class Tap {
  paused = false;
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
}

/** A reader that takes `room` bytes and then holds until it is given more. */
class Client implements Sink {
  got = '';
  room: number;
  ended = false;
  aborted = false;
  reader: Reader | null = null;
  constructor(room: number) {
    this.room = room;
  }
  write(chunk: Buffer): boolean {
    assert.equal(this.ended || this.aborted, false, 'a byte after the end');
    this.got += chunk.toString('latin1');
    this.room -= chunk.length;
    return this.room > 0;
  }
  end(): void {
    this.ended = true;
  }
  abort(): void {
    this.aborted = true;
  }
  more(bytes: number): void {
    this.room += bytes;
    if (this.room > 0) this.reader?.resume();
  }
}

function join(body: Body, client: Client): boolean {
  client.reader = body.read(client);
  return client.reader !== null;
}

test('a late reader of a kept body starts at the first byte', () => {
  const body = new Body(new Tap(), true);
  body.push(Buffer.from('ab'));
  const late = new Client(Infinity);
  assert.equal(join(body, late), true);
  body.push(Buffer.from('cd'));
  body.seal([]);
  assert.equal(late.got, 'abcd');
  assert.equal(late.ended, true);
});

test('a body that is not kept drops what all have read, and a late reader is refused', () => {
  const body = new Body(new Tap(), false);
  const first = new Client(Infinity);
  join(body, first);
  body.push(Buffer.from('ab'));
  assert.equal(body.heldBytes, 0);
  assert.equal(join(body, new Client(Infinity)), false);
});

test('the upstream is paused while the only reader holds, and goes on when it drains', () => {
  const tap = new Tap();
  const body = new Body(tap, false);
  const slow = new Client(1);
  join(body, slow);
  body.push(Buffer.from('ab'));
  assert.equal(tap.paused, true);
  body.push(Buffer.from('cd'));
  assert.equal(slow.got, 'ab');
  slow.more(100);
  assert.equal(slow.got, 'abcd');
  assert.equal(tap.paused, false);
});

test('with a fast and a slow reader the window is what is held, no more', () => {
  const tap = new Tap();
  const body = new Body(tap, false);
  const fast = new Client(Infinity);
  const slow = new Client(1);
  join(body, fast);
  join(body, slow);
  const chunk = Buffer.alloc(65_536, 'x');
  let pushed = 0;
  while (!tap.paused) {
    body.push(chunk);
    pushed += chunk.length;
  }
  assert.ok(body.heldBytes <= LIMITS.bodyWindowBytes + chunk.length);
  assert.equal(fast.got.length, pushed);
  slow.reader?.leave();
  assert.equal(tap.paused, false);
  assert.equal(body.heldBytes, 0);
});

test('giving up keeping releases what everybody has read', () => {
  const body = new Body(new Tap(), true);
  const client = new Client(Infinity);
  join(body, client);
  body.push(Buffer.alloc(1000));
  assert.equal(body.heldBytes, 1000);
  body.release();
  assert.equal(body.heldBytes, 0);
});

test('a failure aborts every reader and ends none cleanly', () => {
  const body = new Body(new Tap(), true);
  const clients = [new Client(Infinity), new Client(1)];
  for (const client of clients) join(body, client);
  body.push(Buffer.from('abc'));
  body.fail();
  body.seal([]);
  for (const client of clients) {
    assert.equal(client.aborted, true);
    assert.equal(client.ended, false);
  }
});

test('whatever the order of events, readers get a prefix of the body, and all of it when they end', () => {
  const step = fc.oneof(
    fc.record({
      do: fc.constant('push' as const),
      text: fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme-ascii' }),
    }),
    fc.record({ do: fc.constant('join' as const), room: fc.integer({ min: 1, max: 30 }) }),
    fc.record({ do: fc.constant('more' as const), who: fc.nat(5), bytes: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ do: fc.constant('leave' as const), who: fc.nat(5) }),
    fc.record({ do: fc.constant('release' as const) }),
  );
  fc.assert(
    fc.property(fc.boolean(), fc.array(step, { maxLength: 60 }), fc.boolean(), (keep, steps, fails) => {
      const body = new Body(new Tap(), keep);
      const clients: Client[] = [];
      const left = new Set<Client>();
      let whole = '';
      for (const one of steps) {
        if (one.do === 'push') {
          whole += one.text;
          body.push(Buffer.from(one.text, 'latin1'));
        } else if (one.do === 'join') {
          const client = new Client(one.room);
          if (join(body, client)) clients.push(client);
        } else if (one.do === 'more') clients[one.who]?.more(one.bytes);
        else if (one.do === 'release') body.release();
        else {
          const client = clients[one.who];
          if (client !== undefined) {
            client.reader?.leave();
            left.add(client);
          }
        }
        for (const client of clients) assert.ok(whole.startsWith(client.got));
      }
      if (fails) body.fail();
      else body.seal([]);
      for (const client of clients) if (!left.has(client)) client.more(1_000_000);
      for (const client of clients) {
        if (left.has(client)) continue;
        assert.equal(client.ended, !fails);
        assert.equal(client.aborted, fails);
        if (!fails) assert.equal(client.got, whole);
      }
      if (!fails && !keep) assert.equal(body.heldBytes, 0);
    }),
    { numRuns: 500 },
  );
});
