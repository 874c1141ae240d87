// How long a connection to one server may be idle and still be used: what the config says at first, then what the server
// shows. A server that closes an idle connection in the moment in which a request is written to it costs that request; so we
// want to be first, always. Pure: events and time are arguments.

/** The longest that a server's word is believed. */
export const LONGEST_IDLE_MS = 60_000;
/** Shorter than this is no keep-alive at all. */
export const SHORTEST_IDLE_MS = 100;
/** We close so much before the server says it will. */
const MARGIN_MS = 1000;
/** Two closes within this are one event: a process that ends closes all its connections at once. */
const TOGETHER_MS = 250;
/** Two closes at ages no further apart than this part speak of a rule, not of chance. */
const ALIKE = 0.2;
/** What was learned from closes is forgotten after this, in case it was wrong; it is learned again from two closes. */
const FORGET_MS = 600_000;

export interface Idle {
  /** From the config, or from the server's Keep-Alive. */
  readonly baseMs: number;
  /** Learned from closes, until when; null = nothing. */
  readonly learned: { readonly idleMs: number; readonly untilMs: number } | null;
  /** The last close that had not been expected. */
  readonly seen: { readonly idleMs: number; readonly atMs: number } | null;
}

export function newIdle(baseMs: number): Idle {
  return { baseMs, learned: null, seen: null };
}

/** How long a connection may be idle now, ms. */
export function idleMs(idle: Idle, nowMs: number): number {
  const { learned, baseMs } = idle;
  return learned !== null && nowMs < learned.untilMs ? Math.min(learned.idleMs, baseMs) : baseMs;
}

/** The server said `Keep-Alive: timeout=` so many seconds: longer or shorter than the config, it knows best. */
export function hinted(idle: Idle, seconds: number): Idle {
  const saidMs = seconds * 1000;
  const baseMs = clamp(Math.max(saidMs - MARGIN_MS, saidMs / 2));
  return baseMs === idle.baseMs ? idle : { ...idle, baseMs };
}

/** The server closed a connection that had been idle for so long. */
export function closedIdle(idle: Idle, idleForMs: number, nowMs: number): Idle {
  // What we would have closed ourselves by then teaches nothing.
  if (idleForMs >= idleMs(idle, nowMs) + MARGIN_MS) return idle;
  const { seen } = idle;
  const now = { idleMs: idleForMs, atMs: nowMs };
  if (seen === null || nowMs - seen.atMs > FORGET_MS) return { ...idle, seen: now };
  if (Math.abs(nowMs - seen.atMs) < TOGETHER_MS) return idle;
  const isAlike = Math.abs(idleForMs - seen.idleMs) <= ALIKE * Math.max(idleForMs, seen.idleMs) + TOGETHER_MS / 5;
  if (!isAlike) return { ...idle, seen: now };
  const least = Math.min(idleForMs, seen.idleMs);
  const learned = clamp(Math.min(least - MARGIN_MS / 2, least * 0.8));
  return { ...idle, seen: now, learned: { idleMs: learned, untilMs: nowMs + FORGET_MS } };
}

/** The seconds of `timeout` in a Keep-Alive field; null = it says none. */
export function keepAliveSeconds(value: string | undefined): number | null {
  const found = value === undefined ? null : /(?:^|[,;\s])timeout\s*=\s*"?([0-9]{1,6})/i.exec(value);
  return found === null ? null : Number(found[1]);
}

function clamp(ms: number): number {
  return Math.max(SHORTEST_IDLE_MS, Math.min(LONGEST_IDLE_MS, ms));
}
