// IP addresses and lists of them, against node:net as the second opinion.

import assert from 'node:assert/strict';
import { BlockList, isIP, isIPv6 } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addressProblem,
  compileAddressList,
  contains,
  parseAddress,
  parseIPv6,
  plainAddress,
} from '../../../gateway/http/address.ts';

test('v4-mapped addresses become IPv4, other IPv6 its one text, anything else stays', () => {
  const rows: readonly (readonly [string, string])[] = [
    ['127.0.0.1', '127.0.0.1'],
    ['::ffff:127.0.0.1', '127.0.0.1'],
    ['::FFFF:7f00:1', '127.0.0.1'],
    ['0:0:0:0:0:ffff:10.0.0.1', '10.0.0.1'],
    ['2001:DB8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::', '::'],
    ['1::', '1::'],
    ['1:0:2:0:3:0:4:0', '1:0:2:0:3:0:4:0'],
    ['fe80::1%eth0', 'fe80::1'],
    ['', ''],
    ['unix:/x', 'unix:/x'],
  ];
  for (const [text, plain] of rows) assert.equal(plainAddress(text), plain, text);
});

test('what is no address is refused', () => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1.2.3.',
    '.1.2.3',
    '1..2.3',
    'a',
    '1.2.3.4 ',
    '0x7f.1',
    '2130706433',
  ]) {
    assert.equal(parseAddress(text), null, text);
  }
  for (const text of [
    ':',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '12345::',
    '::1:',
    ':1::',
    '::g',
    '1:2:3:4:5:6:7::8',
    '::1.2.3',
    '1:2:3:4:5:6:7:1.2.3.4',
    'fe80::1%eth0',
  ]) {
    assert.equal(parseAddress(text), null, text);
  }
});

test('node:net agrees on every text', () => {
  const group = fc.oneof(
    fc.constantFrom('', '0', '1', 'ffff', '00ab', '12345', 'g'),
    fc.constantFrom('1.2.3.4', '255.255.255.255', '1.2.3'),
  );
  const v6ish = fc
    .tuple(fc.array(group, { maxLength: 9 }), fc.constantFrom(':', '::'))
    .map(([groups, join]) => groups.join(':').replace(':', join));
  const v4ish = fc
    .array(fc.constantFrom('0', '1', '10', '255', '256', '01', ''), { minLength: 3, maxLength: 5 })
    .map((parts) => parts.join('.'));
  fc.assert(
    fc.property(fc.oneof(v6ish, v4ish, fc.ipV4(), fc.ipV6()), (text) => {
      assert.equal(parseAddress(text) !== null, isIP(text) !== 0, text);
      assert.equal(parseIPv6(text) !== null, isIPv6(text), text);
    }),
    { numRuns: 3000 },
  );
});

test('the plain text of an address is the one that URL writes', () => {
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      const plain = parseIPv6(text);
      assert.equal(`[${plain}]`, new URL(`http://[${text}]/`).hostname);
    }),
  );
});

test('a list holds what its addresses and CIDRs cover, and nothing else', () => {
  const list = compileAddressList([
    '10.0.0.0/8',
    '192.168.1.7',
    '2001:db8::/32',
    '::ffff:172.16.0.0/108',
    '10.1.0.0/16',
  ]);
  for (const ip of [
    '10.0.0.0',
    '10.255.255.255',
    '192.168.1.7',
    '2001:db8:ffff::1',
    '172.16.3.4',
    '::ffff:10.0.0.1',
    '172.31.255.255',
  ]) {
    assert.equal(contains(list, ip), true, ip);
  }
  for (const ip of [
    '9.255.255.255',
    '11.0.0.0',
    '192.168.1.8',
    '2001:db9::',
    '2001:db7::',
    '172.32.0.0',
    '',
    'x',
    '::1',
    '::a00:1',
  ]) {
    assert.equal(contains(list, ip), false, ip);
  }
});

test('all of IPv4 is not all of IPv6, nor the other way', () => {
  assert.equal(contains(compileAddressList(['0.0.0.0/0']), '::1'), false);
  assert.equal(contains(compileAddressList(['::/0']), '1.2.3.4'), false);
  assert.equal(contains(compileAddressList(['::/0']), '::1'), true);
  assert.equal(contains(compileAddressList(['0.0.0.0/0']), '255.255.255.255'), true);
});

test('a peer on a unix socket is in the list only under its own word', () => {
  assert.equal(contains(compileAddressList(['unix']), ''), true);
  assert.equal(contains(compileAddressList(['unix']), '127.0.0.1'), false);
  assert.equal(contains(compileAddressList(['0.0.0.0/0', '::/0']), ''), false);
});

test('entries that are no addresses have a problem', () => {
  for (const entry of [
    '',
    'localhost',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '::/129',
    '::/1e1',
    '::ffff:10.0.0.0/95',
    'fe80::1%eth0',
    '*',
    'UNIX',
  ]) {
    assert.notEqual(addressProblem(entry), null, entry);
    assert.throws(() => compileAddressList([entry]), /not an address/);
  }
  assert.equal(addressProblem('10.0.0.0/8'), null);
});

// BlockList takes ::/0 to hold IPv4, too (as v4-mapped); ours does not, so each family has a list of its own here.
test('BlockList agrees on every list and address', () => {
  const v4 = fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 }));
  const v6 = fc
    .tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 }))
    .filter(([ip]) => parseAddress(ip)?.includes(':') === true);
  const near = fc.constantFrom(
    '10.0.0.0',
    '10.0.0.1',
    '10.0.1.0',
    '11.0.0.0',
    '2001:db8::',
    '2001:db8::1',
    '2001:db9::',
  );
  fc.assert(
    fc.property(
      fc.array(fc.oneof(v4, v6), { maxLength: 6 }),
      fc.array(fc.oneof(near, fc.ipV4(), fc.ipV6()), { maxLength: 6 }),
      (nets, ips) => {
        const list = compileAddressList(nets.map(([ip, bits]) => `${ip}/${bits}`));
        const others = { ipv4: new BlockList(), ipv6: new BlockList() };
        for (const [ip, bits] of nets) others[familyOf(ip)].addSubnet(ip, bits, familyOf(ip));
        for (const ip of [...ips, ...nets.map(([net]) => net)]) {
          const plain = plainAddress(ip);
          assert.equal(
            contains(list, ip),
            others[familyOf(plain)].check(plain, familyOf(plain)),
            `${ip} in ${nets.join(' ')}`,
          );
        }
      },
    ),
  );
});

function familyOf(ip: string): 'ipv4' | 'ipv6' {
  return isIPv6(ip) ? 'ipv6' : 'ipv4';
}
