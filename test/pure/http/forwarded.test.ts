// Who the client is, and what upstreams are told: faults.md 25 and 26.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileAddressList } from '../../../gateway/http/address.ts';
import { clientAddress, forwardedScheme, type IdentityInput, identityFields } from '../../../gateway/http/forwarded.ts';

const trusted = compileAddressList(['10.0.0.0/8', '2001:db8:1::/48', 'unix']);

const clients: readonly (readonly [
  what: string,
  peer: string,
  fields: readonly string[],
  client: string,
  trusted: boolean,
])[] = [
  [
    '26: an untrusted peer is the client',
    '203.0.113.9',
    ['x-forwarded-for', '127.0.0.1, 10.0.0.1'],
    '203.0.113.9',
    false,
  ],
  ['no field', '10.0.0.1', [], '10.0.0.1', true],
  ['one hop', '10.0.0.1', ['x-forwarded-for', '198.51.100.7'], '198.51.100.7', true],
  [
    '26: the rightmost untrusted one',
    '10.0.0.1',
    ['x-forwarded-for', '127.0.0.1, 198.51.100.7, 10.0.0.2'],
    '198.51.100.7',
    true,
  ],
  [
    'several lines are one list',
    '10.0.0.1',
    ['x-forwarded-for', '1.1.1.1', 'x-forwarded-for', '10.0.0.3'],
    '1.1.1.1',
    true,
  ],
  ['all trusted: the first', '10.0.0.1', ['x-forwarded-for', '10.0.0.9, 10.0.0.3'], '10.0.0.9', true],
  ['nonsense ends the walk', '10.0.0.1', ['x-forwarded-for', '1.1.1.1, evil, 10.0.0.3'], '10.0.0.3', true],
  ['an empty element ends it, too', '10.0.0.1', ['x-forwarded-for', '1.1.1.1, , 10.0.0.3'], '10.0.0.3', true],
  ['unknown', '10.0.0.1', ['x-forwarded-for', 'unknown'], '10.0.0.1', true],
  ['ports are dropped', '10.0.0.1', ['x-forwarded-for', '1.1.1.1:4711'], '1.1.1.1', true],
  ['IPv6 bare', '10.0.0.1', ['x-forwarded-for', '2001:DB8::7'], '2001:db8::7', true],
  ['IPv6 in brackets with a port', '10.0.0.1', ['x-forwarded-for', '[2001:db8::7]:80'], '2001:db8::7', true],
  ['v4-mapped is v4', '10.0.0.1', ['x-forwarded-for', '1.1.1.1, ::ffff:10.0.0.2'], '1.1.1.1', true],
  ['an IPv6 peer', '2001:db8:1::5', ['x-forwarded-for', '1.1.1.1'], '1.1.1.1', true],
  ['a unix peer', '', ['x-forwarded-for', '1.1.1.1'], '1.1.1.1', true],
  ['a bad port ends it', '10.0.0.1', ['x-forwarded-for', '1.1.1.1:x'], '10.0.0.1', true],
  ['Forwarded', '10.0.0.1', ['forwarded', 'for=1.1.1.1;proto=https, for="[2001:db8:1::7]:80"'], '1.1.1.1', true],
  ['Forwarded, obfuscated', '10.0.0.1', ['forwarded', 'for=_hidden, for=10.0.0.2'], '10.0.0.2', true],
  ['Forwarded, malformed', '10.0.0.1', ['forwarded', 'for="1.1.1.1'], '10.0.0.1', true],
  ['Forwarded, twice in one element', '10.0.0.1', ['forwarded', 'for=1.1.1.1;for=2.2.2.2'], '10.0.0.1', true],
  ['X-Forwarded-For wins', '10.0.0.1', ['forwarded', 'for=6.6.6.6', 'x-forwarded-for', '1.1.1.1'], '1.1.1.1', true],
];

for (const [what, peer, fields, client, isTrusted] of clients) {
  test(`client address: ${what}`, () => {
    assert.deepEqual(clientAddress(peer, fields, trusted), { client, trusted: isTrusted });
  });
}

test('a unix peer without "unix" in the list is nobody to believe', () => {
  const none = compileAddressList(['10.0.0.0/8']);
  assert.deepEqual(clientAddress('', ['x-forwarded-for', '1.1.1.1'], none), { client: '', trusted: false });
});

test('fault 26: 200 forged hops cannot move the client past an untrusted peer, nor past the first untrusted hop', () => {
  const forged = Array.from({ length: 200 }, () => ['x-forwarded-for', '127.0.0.1, 10.0.0.1']).flat();
  assert.equal(clientAddress('8.8.8.8', forged, trusted).client, '8.8.8.8');
  assert.equal(clientAddress('10.0.0.1', [...forged, 'x-forwarded-for', '8.8.8.8'], trusted).client, '8.8.8.8');
});

test('the scheme is the one the trusted peer itself wrote', () => {
  assert.equal(forwardedScheme(['x-forwarded-proto', 'https']), 'https');
  assert.equal(forwardedScheme(['x-forwarded-proto', 'https, HTTP']), 'http');
  assert.equal(forwardedScheme(['x-forwarded-proto', 'javascript']), null);
  assert.equal(forwardedScheme(['forwarded', 'for=1.1.1.1;proto=https']), 'https');
  assert.equal(forwardedScheme([]), null);
});

const input: IdentityInput = {
  client: '203.0.113.9',
  peer: '203.0.113.9',
  scheme: 'https',
  authority: 'api.example.com:8443',
  localPort: 8443,
  prefix: null,
  trusted: false,
  receivedFields: [],
};

test('fault 25: of an untrusted peer nothing is kept', () => {
  const receivedFields = [
    ['x-forwarded-for', '127.0.0.1'],
    ['x-forwarded-host', 'evil'],
    ['x-forwarded-proto', 'http'],
    ['x-forwarded-port', '1'],
    ['x-forwarded-prefix', '/evil'],
    ['x-forwarded-user', 'root'],
    ['forwarded', 'for=127.0.0.1;host=evil'],
    ['x-real-ip', '127.0.0.1'],
  ].flat();
  assert.deepEqual(identityFields({ ...input, receivedFields, prefix: '/v1' }), [
    'x-forwarded-for',
    '203.0.113.9',
    'x-forwarded-proto',
    'https',
    'x-forwarded-host',
    'api.example.com:8443',
    'x-forwarded-port',
    '8443',
    'x-forwarded-prefix',
    '/v1',
    'x-real-ip',
    '203.0.113.9',
  ]);
});

test('the chain of a trusted peer is continued', () => {
  const receivedFields = [
    ['x-forwarded-for', '198.51.100.7'],
    ['x-forwarded-host', 'www.example.com'],
    ['x-forwarded-port', '443'],
    ['x-forwarded-prefix', '/api/'],
    ['forwarded', 'for=198.51.100.7'],
    ['x-forwarded-user', 'alice'],
    ['x-real-ip', '6.6.6.6'],
  ].flat();
  const fields = identityFields({
    ...input,
    client: '198.51.100.7',
    peer: '10.0.0.1',
    trusted: true,
    prefix: '/v1',
    receivedFields,
  });
  assert.deepEqual(fields, [
    'x-forwarded-for',
    '198.51.100.7, 10.0.0.1',
    'x-forwarded-proto',
    'https',
    'x-forwarded-host',
    'www.example.com',
    'x-forwarded-port',
    '443',
    'x-forwarded-prefix',
    '/api/v1',
    'x-real-ip',
    '198.51.100.7',
    'forwarded',
    'for=198.51.100.7, for=10.0.0.1',
    'x-forwarded-user',
    'alice',
  ]);
});

test('a trusted peer that tells only Forwarded, an IPv6 one, and a unix socket', () => {
  const fields = identityFields({
    ...input,
    client: '1.1.1.1',
    peer: '2001:db8::1',
    trusted: true,
    receivedFields: ['forwarded', 'for=1.1.1.1'],
  });
  assert.equal(fields[1], '1.1.1.1, 2001:db8::1');
  assert.equal(fields[fields.indexOf('forwarded') + 1], 'for=1.1.1.1, for="[2001:db8::1]"');
  const unix = identityFields({ ...input, client: '', peer: '', localPort: 0 });
  assert.deepEqual(unix, ['x-forwarded-proto', 'https', 'x-forwarded-host', 'api.example.com:8443']);
});

test('nothing a client sends makes it throw or be believed', () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 30 }),
    fc
      .array(
        fc.constantFrom('for=', '"', '[', ']', ':', ',', ';', '\\', '1.1.1.1', '10.0.0.1', ' ', 'proto=https', '::1'),
        { maxLength: 12 },
      )
      .map((parts) => parts.join('')),
  );
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(fc.constantFrom('x-forwarded-for', 'forwarded', 'x-forwarded-proto', 'x-forwarded-host'), value),
        { maxLength: 5 },
      ),
      (lines) => {
        const fields = lines.flat();
        assert.equal(clientAddress('8.8.8.8', fields, trusted).client, '8.8.8.8');
        assert.match(clientAddress('10.0.0.1', fields, trusted).client, /^[0-9a-f.:]+$/);
        forwardedScheme(fields);
        assert.deepEqual(identityFields({ ...input, receivedFields: fields }), identityFields(input));
        identityFields({ ...input, trusted: true, receivedFields: fields });
      },
    ),
  );
});
