// A finished request as the log and the histograms see it.

import type { AccessRecord } from '../../gateway/observe/record.ts';

/** A hit of five bytes on the route "all", but for `changes`. */
export function accessRecord(changes: Partial<AccessRecord> = {}): AccessRecord {
  return {
    startedMs: Date.UTC(2026, 10, 23),
    id: 'r',
    client: '127.0.0.1',
    protocol: 'HTTP/1.1',
    method: 'GET',
    host: 'localhost',
    target: '/',
    route: 'all',
    status: 200,
    cache: 'hit',
    reason: '',
    upstream: '',
    instance: '',
    tries: 0,
    durationMs: 1,
    upstreamMs: -1,
    queueMs: 0,
    bytesIn: 0,
    bytesOut: 5,
    complete: true,
    ...changes,
  };
}
