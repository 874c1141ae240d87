// How much an upstream may be asked twice at any moment, so that retries cannot multiply an outage: a part of the requests
// that are under way, over all workers. A retry that finds it used up waits a little and asks again: an instance that is killed
// with a hundred requests on it costs no client an error, and yet its peers never get more than the part at once. Pure.

/** So many retries may always run at once. */
export const LEAST_RETRIES = 3;
/** How long a retry waits for the budget at most. */
export const RETRY_WAIT_MS = 1000;
const BASE_MS = 25;
const MOST_MS = 250;

/** Whether one more may run: `retrying` of `active` requests are second tries now, `share` (0 to 1) of them may be. */
export function mayRetryNow(retrying: number, active: number, share: number): boolean {
  return retrying < Math.max(LEAST_RETRIES, Math.floor(active * share));
}

/** How long to wait before asking again the `time`-th time (from 1): full jitter, so that those who failed together do not come back together. `rnd` in [0, 1). */
export function backoffMs(time: number, rnd: number): number {
  return rnd * Math.min(MOST_MS, BASE_MS * 2 ** Math.min(20, Math.max(0, time - 1)));
}
