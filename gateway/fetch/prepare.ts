// The request as it leaves for an upstream: the client's end-to-end fields, the route's changes, and who we say sent it.

import type { HeaderChanges } from '../config/config.ts';
import type { Fields } from '../http/fields.ts';
import { applyChanges } from '../route/changes.ts';

/** Final outgoing fields but Host, which is the instance's matter, and framing, which is the attempt's. */
export function outgoingFields(fields: Fields, changes: HeaderChanges, identity: Fields): Fields {
  const outgoing = [...fields, ...identity];
  applyChanges(outgoing, changes);
  return outgoing;
}
