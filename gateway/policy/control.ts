// Which field says how a response may be cached: our own targeted one, the one for CDNs, or Cache-Control with Expires and
// Pragma (RFC 9213 2.2). Every decision about a response asks here, and none reads those fields by itself. Pure.

import { parseResponseCacheControl, type ResponseControl } from '../http/cache-control.ts';
import type { Fields } from '../http/fields.ts';
import { parseTargetedControl } from '../http/targeted.ts';

/** This gateway's own targeted field: for it alone, so that clients never see it. */
export const OWN_FIELD = 'sluice-cache-control';

type Target = 'sluice-cache-control' | 'cdn-cache-control';

/** Our target list: the first that is present, not empty and valid decides alone. */
const TARGETS: readonly Target[] = [OWN_FIELD, 'cdn-cache-control'];

/** What a response says about being cached by us. */
export interface CachingControl extends ResponseControl {
  /** The field that said it. Unless it is Cache-Control, Expires and Pragma do not count. */
  readonly from: Target | 'cache-control';
}

/**
 * The directives that count for this response. A targeted field in which one of them has a value of the wrong type is not
 * used (RFC 9213 2.1), but what it forbids stays forbidden: its origin did not mean to allow more.
 */
export function responseControl(fields: Fields): CachingControl {
  const spoiled: ResponseControl[] = [];
  for (const name of TARGETS) {
    const targeted = parseTargetedControl(fields, name);
    if (targeted === null) continue;
    if (!targeted.mistyped) return restricted({ ...targeted.control, from: name }, spoiled);
    spoiled.push(targeted.control);
  }
  return restricted({ ...parseResponseCacheControl(fields), from: 'cache-control' }, spoiled);
}

/** `control` with the restrictions of `others` laid over it. */
function restricted(control: CachingControl, others: readonly ResponseControl[]): CachingControl {
  let all = control;
  for (const other of others) {
    all = {
      ...all,
      noStore: all.noStore || other.noStore,
      // It would lift the no-store that it does not stand beside.
      mustUnderstand: all.mustUnderstand && !other.noStore,
      noCache: all.noCache || other.noCache,
      noCacheFields: [...all.noCacheFields, ...other.noCacheFields],
      private: all.private || other.private,
      privateFields: [...all.privateFields, ...other.privateFields],
      // Not as must-revalidate, which would also permit sharing what Authorization brought (RFC 9111 3.5).
      proxyRevalidate: all.proxyRevalidate || other.proxyRevalidate || other.mustRevalidate,
      noTransform: all.noTransform || other.noTransform,
    };
  }
  return all;
}
