// How often a request may be made a second time although the first may still answer: an account that every request pays
// into. Pure; changed in place.

/** What may be saved up. */
const MOST = 10;

export interface HedgeAccount {
  tokens: number;
}

export function newHedgeAccount(): HedgeAccount {
  // The first hedge is earned, too: at the start everything is slow.
  return { tokens: 0 };
}

/** One request began; `share`: the part of them that may be hedged. */
export function payIn(account: HedgeAccount, share: number): void {
  account.tokens = Math.min(MOST, account.tokens + share);
}

/** Takes one hedge out; false when there is none. */
export function takeOut(account: HedgeAccount): boolean {
  // 20 times a twentieth is a little less than one.
  if (account.tokens < 1 - 1e-9) return false;
  account.tokens = Math.max(0, account.tokens - 1);
  return true;
}
