// What a sticky cookie holds: a name for an instance that only this gateway's secret can make, so that a client can neither
// choose an instance nor learn its address. Pure.

import { createHmac } from 'node:crypto';

/** 22 characters of base64url. `secret`: any length. */
export function stickyToken(secret: string | Uint8Array, instance: string): string {
  return createHmac('sha256', secret).update(instance).digest().subarray(0, 16).toString('base64url');
}
