// The request as it leaves for an upstream: the client's end-to-end fields, the route's changes, and who we say sent it.

import type { HeaderChanges } from '../config/config.ts';
import type { Fields } from '../http/fields.ts';
import type { RequestHead } from '../http/request.ts';
import { applyChanges } from '../route/changes.ts';
import type { Instance, Upstream } from '../upstream/upstream.ts';

/** Final outgoing fields but Host, which is the instance's matter, and framing, which is the attempt's. */
export function outgoingFields(fields: Fields, changes: HeaderChanges, identity: Fields): Fields {
  const outgoing = [...fields, ...identity];
  applyChanges(outgoing, changes);
  return outgoing;
}

/** Host as an upstream wants it: the client's own, the instance's, or a name. */
export function hostField(upstream: Upstream, instance: Instance, request: RequestHead): string {
  if (upstream.host === 'keep') return request.authority;
  return upstream.host === 'upstream' ? instance.authority : upstream.host;
}
