// The value of Server-Timing (W3C Server Timing): how an answer came about and where its time went, for whoever sits in
// front of a browser. It says nothing that its input does not; what of an instance may be told is the caller's choice.

export interface TimingFacts {
  /** How the cache took part; '' = it was not asked. */
  readonly cache: string;
  /** Name of the instance that answered; '' = none did. */
  readonly instance: string;
  /** ms from the first try to the head of the answer; -1 = there was no such answer. */
  readonly upstreamMs: number;
  /** ms that it waited for an instance. */
  readonly queueMs: number;
  /** Tries on instances. */
  readonly tries: number;
  /** ms from the request's head to the answer's. */
  readonly totalMs: number;
}

/** `cache;desc=miss, upstream;dur=12;desc="api#2", tries;desc=2, total;dur=13`. */
export function serverTiming(facts: TimingFacts): string {
  const metrics: string[] = [];
  if (facts.cache !== '') metrics.push(`cache;desc=${facts.cache}`);
  if (facts.queueMs > 0) metrics.push(`queue;dur=${facts.queueMs}`);
  if (facts.instance !== '') {
    const took = facts.upstreamMs < 0 ? '' : `;dur=${facts.upstreamMs}`;
    metrics.push(`upstream${took};desc=${quoted(facts.instance)}`);
  }
  if (facts.tries > 0) metrics.push(`tries;desc=${facts.tries}`);
  metrics.push(`total;dur=${facts.totalMs}`);
  return metrics.join(', ');
}

/** A quoted string (RFC 9110 5.6.4); a path of a unix socket may hold anything. */
function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`;
}
