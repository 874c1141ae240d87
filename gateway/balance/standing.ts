// What an instance's state is when several have a say: the operator, its process, its health check and how it did under
// real traffic. Pure.

/** What the health check says, or the process: starting = it does not serve yet. */
export type HealthSay = 'unknown' | 'up' | 'down' | 'unreachable' | 'starting';

/** What the operator says. drain: no new clients. disable: nothing at all. */
export type OperatorSay = 'enabled' | 'draining' | 'disabled';

export interface Says {
  readonly operator: OperatorSay;
  readonly health: HealthSay;
  readonly isEjected: boolean;
}

export type StandingWord = HealthSay | 'ejected' | 'draining' | 'disabled';

/** The state: the operator's word first, then what is known for certain, then what traffic says. */
export function standingOf({ operator, health, isEjected }: Says): StandingWord {
  if (operator !== 'enabled') return operator;
  if (health === 'up' || health === 'unknown') return isEjected ? 'ejected' : health;
  return health;
}

/** It takes requests like any other. */
export function isUsable(word: StandingWord): boolean {
  return word === 'up' || word === 'unknown';
}

/** It takes requests when most of its pool is no better (balance/pick.ts, panic). */
export function isDoubtful(word: StandingWord): boolean {
  return word === 'down' || word === 'ejected';
}
