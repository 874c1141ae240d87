// Random requests for ranges and wholes against an origin that changes, names its versions well or badly, and sometimes sends
// less than it says: every byte that a client gets with a clean end is the byte that the origin has at that place in the
// version which the answer names.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { readParts } from '../helpers/byteranges.ts';
import { type Answer, call } from '../helpers/client.ts';
import { type Gateway, startGateway } from '../helpers/gateway.ts';
import { type Origin, type OriginReply, type OriginRequest, startOrigin } from '../helpers/origin.ts';

const SEED = 20261125;
const RUNS = 100;
const BYTES = 97;

let origin: Origin;
let gateway: Gateway;
let runs = 0;

/** Of two versions no byte is the same at any place. */
function bodyOf(version: number): string {
  return String.fromCharCode(...Array.from({ length: BYTES }, (_, i) => 32 + ((i * 5 + version) % 90)));
}

type Tag = 'strong' | 'weak' | 'none';
type Manner = 'right' | 'short' | 'short chunked' | 'whole' | 'ignores If-Range' | 'chunked' | 'stale';

interface State {
  version: number;
  tag: Tag;
  manner: Manner;
}

const states = new Map<string, State>();

async function answer(request: OriginRequest, reply: OriginReply): Promise<void> {
  const state = states.get(request.target) as State;
  const { version, tag, manner } = state;
  const body = bodyOf(version);
  const etag = tag === 'none' ? '' : `${tag === 'weak' ? 'W/' : ''}"${version}"`;
  const headers: Record<string, string> = {
    'cache-control': manner === 'stale' ? 'max-age=0' : 'max-age=60',
    'x-version': String(version),
  };
  if (etag !== '') headers.etag = etag;
  const ifRange = request.header('if-range');
  const holds = ifRange === null || manner === 'ignores If-Range' || (ifRange === etag && tag === 'strong');
  const [, first = '', last = ''] = /^bytes=(\d*)-(\d*)$/.exec(request.header('range') ?? '') ?? [];
  const none = request.header('if-none-match');
  if (none !== null && none === etag) {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return reply.write(`HTTP/1.1 304 Not Modified\r\n${lines.join('')}\r\n`);
  }
  if (request.method === 'HEAD') {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return reply.write(`HTTP/1.1 200 OK\r\n${lines.join('')}content-length: ${BYTES}\r\n\r\n`);
  }
  if (!holds || manner === 'whole' || `${first}${last}` === '') return reply.send(200, headers, body);
  const start = first === '' ? Math.max(0, BYTES - Number(last)) : Number(first);
  const end = first === '' || last === '' ? BYTES - 1 : Math.min(Number(last), BYTES - 1);
  if (start > end) return reply.send(416, { ...headers, 'content-range': `bytes */${BYTES}` });
  headers['content-range'] = `bytes ${start}-${end}/${BYTES}`;
  const content = body.slice(start, manner.startsWith('short') ? Math.max(start, end - 2) : end + 1);
  if (!manner.endsWith('chunked')) return reply.send(206, headers, content);
  await reply.sendHead(206, headers);
  if (content !== '') await reply.chunk(content);
  return reply.lastChunk();
}

before(async () => {
  origin = await startOrigin(answer);
  gateway = await startGateway({
    config: `workers: 2\ncache: { memory: 16MiB }\nupstreams: { api: "${origin.url}" }\nroutes: [{ match: "/*", upstream: api }]`,
  });
});

after(async () => {
  await gateway.stop();
  await origin.close();
});

interface Step {
  readonly change: boolean;
  readonly tag: Tag;
  readonly manner: Manner;
  readonly method: 'GET' | 'HEAD';
  /** '' = the whole. */
  readonly range: string;
  readonly control: string;
  readonly ifRange: boolean;
}

const place = fc.nat({ max: BYTES + 5 });
const spec = fc.oneof(
  fc.tuple(place, place).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`),
  place.map((first) => `${first}-`),
  place.map((suffix) => `-${suffix}`),
  fc.constant('0-'),
);
const step: fc.Arbitrary<Step> = fc.record({
  change: fc.constantFrom(false, false, false, false, true),
  tag: fc.constantFrom<Tag>('strong', 'strong', 'strong', 'strong', 'weak', 'none'),
  manner: fc.constantFrom<Manner>(
    'right',
    'right',
    'right',
    'right',
    'short',
    'short chunked',
    'whole',
    'ignores If-Range',
    'chunked',
    'stale',
  ),
  method: fc.constantFrom('GET', 'GET', 'GET', 'GET', 'GET', 'HEAD'),
  range: fc.oneof(
    { weight: 5, arbitrary: spec },
    { weight: 1, arbitrary: fc.array(spec, { minLength: 2, maxLength: 4 }).map((specs) => specs.join()) },
    { weight: 2, arbitrary: fc.constant('') },
  ),
  control: fc.constantFrom('', '', '', '', 'no-cache', 'min-fresh=1000', 'max-age=0'),
  ifRange: fc.constantFrom(false, false, false, true),
});

const counts = { hits: 0, parts: 0, completed: 0, wholes: 0, cut: 0 };

function check(got: Answer, { range, method }: Step): void {
  const status = String(got.headers['cache-status']);
  if (/hit/.test(status)) counts.hits++;
  if (/fwd=partial; fwd-status=206/.test(status)) counts.completed++;
  if (got.status === 416) return assert.ok(range !== '');
  const body = bodyOf(Number(got.headers['x-version']));
  if (got.status === 200) {
    counts.wholes++;
    assert.equal(got.headers['content-range'], undefined);
    assert.equal(got.headers['content-length'], String(BYTES));
    assert.equal(got.body, method === 'HEAD' ? '' : body);
    return;
  }
  counts.parts++;
  assert.equal(got.status, 206);
  const type = String(got.headers['content-type']);
  const parts = type.startsWith('multipart')
    ? readParts(type, got.body).map(({ fields, body: bytes }) => ({ range: fields.at(-1) ?? '', bytes }))
    : [{ range: `content-range: ${got.headers['content-range']}`, bytes: got.body }];
  for (const part of parts) {
    const [, start, end] = new RegExp(`^content-range: bytes (\\d+)-(\\d+)/${BYTES}$`).exec(part.range) ?? [];
    assert.ok(start !== undefined && end !== undefined, part.range);
    const wanted = body.slice(Number(start), Number(end) + 1);
    // The origin itself may have sent less than it said, and that is passed on.
    if (/hit/.test(status)) assert.equal(part.bytes, wanted);
    else assert.ok(wanted.startsWith(part.bytes), `${JSON.stringify(part.bytes)} in ${JSON.stringify(wanted)}`);
  }
}

test('every byte is what the origin has there, in the version that the answer names', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 25 }), async (steps) => {
      const path = `/run-${++runs}`;
      const state: State = { version: 1, tag: 'strong', manner: 'right' };
      states.set(path, state);
      for (const one of steps) {
        if (one.change) {
          state.version++;
          state.tag = one.tag;
        }
        state.manner = one.manner;
        const headers: Record<string, string> = {};
        if (one.range !== '') headers.range = `bytes=${one.range}`;
        if (one.control !== '') headers['cache-control'] = one.control;
        if (one.range !== '' && one.ifRange) headers['if-range'] = `"${state.version}"`;
        // Without validators no HEAD can tell two versions of one length apart (RFC 9111 4.3.5).
        const method = state.tag === 'none' ? 'GET' : one.method;
        let got: Answer;
        try {
          got = await call({ port: gateway.http, path, method, headers });
        } catch {
          // Only an origin that does not keep its word makes us break ours.
          assert.equal(one.manner, 'short chunked');
          counts.cut++;
          continue;
        }
        check(got, { ...one, method });
      }
    }),
    { seed: SEED, numRuns: RUNS },
  );
  for (const [what, count] of Object.entries(counts)) assert.ok(count > 0, `${count} ${what}`);
});
