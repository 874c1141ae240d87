// A request head after admission: what every later room reads. Nothing in it is as the client sent it unless it was
// checked; framing, hop-by-hop and untrusted identity fields are gone. Types only.

export interface RequestHead {
  /** A token without lower-case letters; extension methods pass. */
  readonly method: string;
  /** What the client used: our own listener's, or a trusted peer's X-Forwarded-Proto. */
  readonly scheme: 'http' | 'https';
  /** Lower-case host[:port]; the default port of the scheme is removed. */
  readonly authority: string;
  /** Lower case, without port and trailing dot; an IPv6 address stands in brackets. */
  readonly host: string;
  /** Normalised (http/target.ts); begins with "/". Route, key and upstream see this string (DESIGN 5.3). */
  readonly path: string;
  /** With its "?", or ''. As it came, but free of control bytes and "#". */
  readonly query: string;
  /**
   * End-to-end fields with lower-case names. Gone are: hop-by-hop fields and those that Connection named; Host,
   * Content-Length, Transfer-Encoding, Expect; names with "_"; fields that override method or target; and what is ours
   * to write anew: identity fields, Via, X-Request-Id (http/forwarded.ts reads a trusted peer's from the received
   * fields). Cookie is one line; TE is "trailers" or absent.
   */
  readonly fields: string[];
  /** The client's address, or '' behind a unix socket that names none. */
  readonly clientAddress: string;
  readonly requestId: string;
  /** What Sluice-Explain held, '' = nothing: with the admin token in it the answer says how it came about. */
  readonly explainToken: string;
  /** The client announced a body and waits for 100 (Continue) before it sends it. */
  readonly accepts100: boolean;
}
