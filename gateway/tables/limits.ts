// Bounds that are not in gateway.yaml, with the reason each has its size. Everything that can grow has one (DESIGN 5.9).

export const LIMITS = {
  /** Bytes of a cache key; longer means bypass. */
  cacheKeyBytes: 4096,
  /** Bytes of a request body that is part of a cache key (POST, QUERY); a longer one goes past the cache as a stream. */
  keyedContentBytes: 65_536,
  /** Bytes of all such bodies that one worker holds at once; beyond that they go past the cache as streams. */
  keyedContentsBytes: 33_554_432,
  /** Field names in one Vary; more counts as "*", which matches no later request. */
  varyNames: 32,
  /** Variants of one URL, whatever cache.variants says. */
  variants: 1000,
  /** Bytes of a response head from an upstream; more is a 502. */
  responseHeaderBytes: 32_768,
  /** Header lines of a response from an upstream; more is a 502. */
  responseHeaders: 200,
  /** Interim (1xx) responses in front of one final response; more is a 502. */
  interimResponses: 10,
  /** Bytes that a body may run ahead of its slowest reader before the upstream is paused. */
  bodyWindowBytes: 262_144,
  /** Bytes of all bodies that are being kept for the store at once, as a part of cache.memory. */
  fillShare: 0.25,
  /** A body nobody wants is read up to here, so that its connection can be used again; a longer one is cut. */
  discardBytes: 65_536,
  /** Fetches in the background that one worker runs at once; beyond that a stale answer is served and not fetched anew. */
  backgroundFetches: 256,
  /** Keys whose upstream failed a moment ago that one worker remembers. */
  failedKeys: 4_096,
  /** How long after a failure the upstream is not asked again for a key that a stale answer is there for. */
  failedKeyMs: 1_000,
  /** After a wrong admin token in a client's request no other one is looked at for this long, per worker. */
  tokenGuessMs: 1_000,
  /** Bytes of whole answers that one worker keeps ready to be given again (request/repeats.ts). */
  repeatBytes: 8_388_608,
  /** What one of them costs beside its bytes and those of its request. */
  repeatOverheadBytes: 512,
  /** Bytes of a request that is looked for among them. */
  repeatRequestBytes: 4096,
  /** Names and ports by which clients come, for each of which they are kept apart. */
  repeatDoors: 64,
  /** Requests that wait for one fill; more go to the upstream alone. */
  waitersPerFill: 10_000,
  /** How often this gateway may stand in a request's Via before it is a loop. */
  viaHops: 8,
  /** Bytes of gateway.yaml. */
  configBytes: 1_048_576,
  /** Ranges in one request; more are ignored and the whole is served (RFC 9110 14.2). */
  rangeParts: 8,
  /** Bodies on their way that one worker codes at once; more go out as they are. Each costs up to 1.2 MB. */
  coders: 64,
  /** Stored bodies that one worker codes at once, for later requests; more wait for another request. */
  codedAtOnce: 2,
  /** Bytes of a stored body that is coded for later requests; larger ones only while they are fetched. */
  codedBytes: 16_777_216,
  /** Values of Accept-Encoding that a worker remembers the meaning of, per route; longer ones than this many characters it never does. */
  acceptEncodings: 256,
  /** Bytes of the access log that wait for a slow reader before lines are dropped and counted. */
  logBytes: 8_388_608,
  /** Requests that wait for a connection of one instance, per worker; more are refused with 'busy'. */
  pendingPerInstance: 256,
  /** How long a pool that a reload retired may finish its running requests before it is cut. */
  retiredPoolMs: 3_600_000,
  /** Over how long the goodbyes of a drain (WebSockets, event streams) are spread at most; at most half of shutdown.grace. */
  drainWindowMs: 10_000,
  /** How long a WebSocket that is to be closed may be inside one frame before it is cut. */
  tunnelCloseMs: 30_000,
  /** Mirrored requests that one worker has under way at once; more are not mirrored. */
  mirrored: 64,
  /** Bytes of a request body that is mirrored; a request with a longer one is not. */
  mirrorBodyBytes: 65_536,
  /** Bytes of the answer to a mirrored request that are read and thrown away; a longer one is cut. */
  mirrorAnswerBytes: 1_048_576,
  /** How long a mirrored request may take in all, from the first byte of its body to the last of its answer. */
  mirrorMs: 60_000,
  /** Bytes of a request body that are kept while they are sent, so that another try can have them. */
  replayBytes: 65_536,
  /** Bytes of all such bodies that one worker keeps at once; beyond that they are sent once. */
  replaysBytes: 33_554_432,
  /** Tags of one stored response; with more it is not stored, because it could not be purged by each of them. */
  tags: 256,
  /** Bytes of one tag, as at Fastly; the same then. */
  tagBytes: 1024,
  /** Bytes of all tags of one stored response, as at Fastly and Cloudflare. */
  tagsBytes: 16_384,
  /** URLs or tags in one order to purge. */
  purgeMembers: 256,
} as const;
