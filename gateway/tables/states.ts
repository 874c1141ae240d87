// The two machines as tables: what each state means and what may follow. The drivers check every step against them and
// `--trace states` prints the walk.

export interface StateRow {
  readonly holds: string;
  readonly next: readonly string[];
}

/** The client request, from its head to the one place where it is logged, counted and released. */
const requestStates = {
  receive: { holds: 'a head came in; nothing of it is trusted', next: ['route', 'answer'] },
  route: { holds: 'target, host and fields are normalised; identity fields are ours', next: ['guard', 'answer'] },
  guard: { holds: 'a route matched', next: ['rate', 'look', 'fetch', 'file', 'tunnel', 'answer'] },
  rate: {
    holds: 'Redis counts for the fleet how often this one came',
    next: ['look', 'fetch', 'file', 'tunnel', 'answer', 'finished'],
  },
  look: { holds: 'the route caches this method', next: ['read', 'remote', 'deliver', 'fetch', 'wait', 'answer'] },
  remote: { holds: 'nothing usable is in memory; Redis is asked', next: ['look', 'answer', 'finished'] },
  read: { holds: 'the request body is part of the key and is being read', next: ['look', 'answer', 'finished'] },
  wait: {
    holds: 'another request fetches the same key; its head is not there yet',
    next: ['wait', 'fetch', 'deliver', 'look', 'answer', 'finished'],
  },
  fetch: { holds: 'an upstream fetch runs for this request', next: ['deliver', 'look', 'answer', 'finished'] },
  file: { holds: 'the route serves files; the disk is asked', next: ['deliver', 'answer', 'finished'] },
  deliver: { holds: 'the head is final; the body flows to the client', next: ['finished'] },
  answer: { holds: 'we answer ourselves: error, redirect, fixed response', next: ['finished'] },
  tunnel: { holds: 'the connection is handed over to an instance', next: ['answer', 'finished'] },
  finished: { holds: 'logged, counted, released; nothing follows', next: [] },
} as const;

/** The upstream fetch, which may outlive its client. */
const fetchStates = {
  prepare: { holds: 'the outgoing request is built', next: ['lease', 'pick', 'failed'] },
  lease: {
    holds: 'the gateways of the fleet settle who fetches; another one may do it for us',
    next: ['pick', 'sealed', 'failed'],
  },
  pick: { holds: 'no instance is bound', next: ['send', 'failed'] },
  send: { holds: 'an attempt runs on one instance; nothing of the answer came', next: ['head', 'pick', 'failed'] },
  head: {
    holds: 'status and fields are final; it is decided whether it is stored',
    next: ['body', 'sealed', 'failed', 'pick'],
  },
  body: { holds: 'the body grows; late readers may join', next: ['sealed', 'failed'] },
  sealed: { holds: 'complete and immutable', next: [] },
  failed: { holds: 'it ended early; no reader gets a clean end', next: [] },
} as const;

export type RequestState = keyof typeof requestStates;
export type FetchState = keyof typeof fetchStates;

export const REQUEST_STATES: Readonly<Record<RequestState, StateRow>> = requestStates;
export const FETCH_STATES: Readonly<Record<FetchState, StateRow>> = fetchStates;
