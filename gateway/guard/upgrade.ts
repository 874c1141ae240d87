// Whether a request asks for a WebSocket, and asks rightly (RFC 6455 4.2.1). Every other Upgrade is a plain request.
// Pure.

import { type Fields, fieldOf, fieldsOf, hasField } from '../http/fields.ts';
import { connectionNames } from '../http/hop.ts';

/**
 * 'plain': answered as if there were no Upgrade (RFC 9110 7.8 lets a server ignore it): none, another protocol such as
 * h2c, not named in Connection, HTTP/1.0. 'websocket': may be tunnelled. Else the error: 'upgrade-required' for another
 * WebSocket version, 'bad-request' for a method but GET, a body, or a key that is not 16 bytes in base64.
 */
export type UpgradeVerdict = 'plain' | 'websocket' | 'bad-request' | 'upgrade-required';

/** Judges the Upgrade of an HTTP/1 request. Names in lower case; the fields as received, hop-by-hop ones included. */
export function upgradeVerdict(protocol: string, method: string, fields: Fields): UpgradeVerdict {
  const upgrade = fieldOf(fields, 'upgrade');
  if (upgrade === undefined || protocol !== 'HTTP/1.1' || upgrade.toLowerCase() !== 'websocket') return 'plain';
  if (!connectionNames(fields).includes('upgrade')) return 'plain';
  // A body would become the tunnel's first bytes (faults 76).
  if (method !== 'GET' || hasField(fields, 'transfer-encoding')) return 'bad-request';
  const length = fieldOf(fields, 'content-length');
  if (length !== undefined && length !== '0') return 'bad-request';
  const keys = fieldsOf(fields, 'sec-websocket-key');
  if (keys.length !== 1 || !/^[A-Za-z0-9+/]{21}[AQgw]==$/.test(keys[0] as string)) return 'bad-request';
  return fieldOf(fields, 'sec-websocket-version') === '13' ? 'websocket' : 'upgrade-required';
}
