// Ends a stored response because the origin now says something else: here and in Redis, which would bring it back.

import type { WorkerState } from '../runtime.ts';
import type { Filling } from './filling.ts';

/** Removes what is stored at `key`, a primary key or a variant's. */
export function forget({ store, remote }: Pick<WorkerState<Filling>, 'store' | 'remote'>, key: string): void {
  store.delete(key);
  remote?.remove(key);
}
