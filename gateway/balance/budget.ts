// How many retries an upstream may cost: a token account, so that retries cannot multiply an outage. Pure: time is an
// argument.

/** Part of a retry that each request earns: at most one in five requests is made twice for long. */
export const EARN_PER_REQUEST = 0.2;
/** Earned by time alone, so that a quiet service regains its reserve. */
export const EARN_PER_SECOND = 1;
/** The reserve: enough for every request in flight on an instance that is killed. */
export const RESERVE = 128;

/** Changed in place by `earn` and `spend`. */
export interface Budget {
  tokens: number;
  atMs: number;
}

/** A full account. */
export function newBudget(nowMs: number): Budget {
  return { tokens: RESERVE, atMs: nowMs };
}

/** One request began. */
export function earn(budget: Budget): void {
  budget.tokens = Math.min(RESERVE, budget.tokens + EARN_PER_REQUEST);
}

/** Takes one retry out; false when the account is empty. */
export function spend(budget: Budget, nowMs: number): boolean {
  const idleMs = Math.max(0, nowMs - budget.atMs);
  budget.atMs = nowMs;
  budget.tokens = Math.min(RESERVE, budget.tokens + (idleMs / 1000) * EARN_PER_SECOND);
  if (budget.tokens < 1) return false;
  budget.tokens -= 1;
  return true;
}
