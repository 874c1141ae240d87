// What a case asks of a response and of the origin's log. Pure: values in, the first problem out, or null.

import type { ExpectedField, InterimEntry, RequestConfig } from './cases.ts';
import type { Interim, Received } from './client.ts';
import { fieldOf, resolveValue } from './fields.ts';
import type { LogEntry } from './origin.ts';

export interface Problem {
  /** The case could not be played as meant; it says nothing about the behaviour it is about. */
  readonly setup: boolean;
  readonly reason: string;
}

type CheckName = Extract<keyof RequestConfig, `expected_${string}`>;

/** Makes the problem of a named check: setup if the case says so for it or for the whole request. */
function problemOf(config: RequestConfig, check: CheckName, reason: string): Problem {
  return { setup: config.setup === true || (config.setup_tests?.includes(check) ?? false), reason };
}

/** A problem of what no case is about: a plain status or body, a repeated request. */
function setupProblem(reason: string): Problem {
  return { setup: true, reason };
}

function checkRetry(number: number, response: Received): Problem | null {
  const numbers = fieldOf(response.fields, 'request-numbers')?.split(' ') ?? [];
  if (new Set(numbers).size === numbers.length) return null;
  return setupProblem(`response ${number}: the gateway sent a request twice (${numbers.join(' ')})`);
}

function checkType(config: RequestConfig, number: number, response: Received): Problem | null {
  const count = fieldOf(response.fields, 'server-request-count');
  const seen = count === null ? Number.NaN : Number(count);
  if (config.expected_type === 'cached') {
    // A 304 need not carry the stored response's fields.
    if ((response.status === 304 && count === null) || seen < number) return null;
    return problemOf(config, 'expected_type', `response ${number} does not come from the cache (${response.status})`);
  }
  if (config.expected_type === 'not_cached' && seen !== number) {
    const status = count === null ? `no Server-Request-Count, ${response.status}` : `Server-Request-Count ${count}`;
    return problemOf(config, 'expected_type', `response ${number} comes from the cache (${status})`);
  }
  return null;
}

function checkStatus(config: RequestConfig, number: number, response: Received): Problem | null {
  const { status } = response;
  if (config.expected_status !== undefined) {
    if (config.expected_status === null || config.expected_status === status) return null;
    return problemOf(
      config,
      'expected_status',
      `response ${number} has status ${status}, not ${config.expected_status}`,
    );
  }
  if (config.response_status !== undefined) {
    if (config.response_status[0] === status) return null;
    return setupProblem(`response ${number} has status ${status}, not ${config.response_status[0]}`);
  }
  if (status === 200) return null;
  if (status === 999) return problemOf(config, 'expected_type', `request ${number} should have been conditional`);
  // A validation of what the client has may well end in a 304 to it only where the case says so.
  return setupProblem(`response ${number} has status ${status}, not 200`);
}

/** Why one expected field is not there as it should be, or null. */
function missField(expected: ExpectedField, config: RequestConfig, response: Received): string | null {
  const name = typeof expected === 'string' ? expected : expected[0];
  const value = fieldOf(response.fields, name);
  if (typeof expected === 'string') return value === null ? `has no ${name}` : null;
  if (expected.length === 3) {
    const [, operator, other] = expected;
    if (operator === '=') {
      const same = fieldOf(response.fields, String(other));
      return value !== null && value === same ? null : `has ${name}: ${value}, but ${other}: ${same}`;
    }
    return value !== null && Number.parseInt(value, 10) > Number(other)
      ? null
      : `has ${name}: ${value}, not > ${other}`;
  }
  const nowMs = Number(fieldOf(response.fields, 'server-now') ?? Number.NaN);
  const wanted = resolveValue(expected, config, nowMs, fieldOf(response.fields, 'server-base-url') ?? '');
  return value === wanted ? null : `has ${name}: ${value}, not ${wanted}`;
}

/** Why a field is there that should not be, or null. */
function foundField(unwanted: ExpectedField, value: string | null): string | null {
  if (value === null) return null;
  if (typeof unwanted === 'string') return `has ${unwanted}: ${value}`;
  return value.includes(String(unwanted[1])) ? `has ${unwanted[0]}: ${value}` : null;
}

function nameOf(expected: ExpectedField): string {
  return typeof expected === 'string' ? expected : expected[0];
}

function checkFields(config: RequestConfig, number: number, response: Received): Problem | null {
  for (const expected of config.expected_response_headers ?? []) {
    const reason = missField(expected, config, response);
    if (reason !== null) return problemOf(config, 'expected_response_headers', `response ${number} ${reason}`);
  }
  for (const unwanted of config.expected_response_headers_missing ?? []) {
    const reason = foundField(unwanted, fieldOf(response.fields, nameOf(unwanted)));
    if (reason !== null) return problemOf(config, 'expected_response_headers_missing', `response ${number} ${reason}`);
  }
  return null;
}

function sortedLines(fields: readonly (readonly [string, string])[]): string {
  const lines = fields.map(([name, value]) => `${name.toLowerCase()}: ${value}`);
  return lines.sort().join('; ');
}

function formatInterim(status: number, fields: readonly (readonly [string, string])[]): string {
  return fields.length === 0 ? String(status) : `${status} with ${sortedLines(fields)}`;
}

function checkInterim(config: RequestConfig, number: number, interim: readonly Interim[]): Problem | null {
  const expected: readonly InterimEntry[] | undefined = config.expected_interim_responses;
  if (expected === undefined) return null;
  const wanted = expected.map(([status, fields = []]) => formatInterim(status, fields));
  const got = interim.map((one) => formatInterim(one.status, one.fields));
  if (wanted.join('\n') === got.join('\n')) return null;
  const reason = `response ${number} has interim ${got.join(', ') || 'none'}; not ${wanted.join(', ') || 'none'}`;
  return problemOf(config, 'expected_interim_responses', reason);
}

function checkBody(config: RequestConfig, number: number, response: Received, token: string): Problem | null {
  if (config.check_body === false) return null;
  const { body, status } = response;
  if (config.expected_response_text !== undefined) {
    const wanted = config.expected_response_text;
    if (wanted === null || wanted === body) return null;
    return problemOf(config, 'expected_response_text', `response ${number} has body "${body}", not "${wanted}"`);
  }
  const hasBody = status !== 204 && status !== 304 && config.request_method !== 'HEAD';
  const wanted = config.response_body ?? (hasBody ? token : null);
  return wanted === null || wanted === body
    ? null
    : setupProblem(`response ${number} has body "${body}", not "${wanted}"`);
}

/** The first thing that is wrong with a response to the request of this number (from 1). */
export function checkResponse(
  config: RequestConfig,
  number: number,
  response: Received,
  token: string,
): Problem | null {
  return (
    checkRetry(number, response) ??
    checkType(config, number, response) ??
    checkStatus(config, number, response) ??
    checkFields(config, number, response) ??
    checkInterim(config, number, response.interim) ??
    checkBody(config, number, response, token)
  );
}

const VALIDATORS: Readonly<Record<string, string>> = {
  etag_validated: 'If-None-Match',
  lm_validated: 'If-Modified-Since',
};

function checkSeen(config: RequestConfig, number: number, entry: LogEntry): Problem | null {
  if (config.expected_type === 'not_cached' && entry.number !== number) {
    return problemOf(
      config,
      'expected_type',
      `request ${number} did not reach the origin, request ${entry.number} did`,
    );
  }
  const validator = VALIDATORS[config.expected_type ?? ''];
  if (validator !== undefined && fieldOf(entry.requestFields, validator) === null) {
    return problemOf(config, 'expected_type', `request ${number} reached the origin without ${validator}`);
  }
  for (const expected of config.expected_request_headers ?? []) {
    const value = fieldOf(entry.requestFields, nameOf(expected));
    const isThere = typeof expected === 'string' ? value !== null : value === String(expected[1]);
    if (isThere) continue;
    const reason = `request ${number} reached the origin with ${nameOf(expected)}: ${value}, not ${expected}`;
    return problemOf(config, 'expected_request_headers', reason);
  }
  for (const unwanted of config.expected_request_headers_missing ?? []) {
    const reason = foundField(unwanted, fieldOf(entry.requestFields, nameOf(unwanted)));
    if (reason === null) continue;
    return problemOf(config, 'expected_request_headers_missing', `request ${number} reached the origin and ${reason}`);
  }
  if (config.expected_method !== undefined && config.expected_method !== entry.method) {
    const reason = `request ${number} reached the origin as ${entry.method}, not ${config.expected_method}`;
    return problemOf(config, 'expected_method', reason);
  }
  return null;
}

function checkPassedOn(number: number, entry: LogEntry, response: Received): Problem | null {
  for (const [name] of entry.responseFields) {
    if (name.toLowerCase() === 'date') continue;
    const sent = fieldOf(entry.responseFields, name);
    const received = fieldOf(response.fields, name);
    if (sent !== received) return setupProblem(`response ${number} has ${name}: ${received}, the origin sent ${sent}`);
  }
  return null;
}

/** Whether the case says anything about how its request reaches the origin. */
function asksOfOrigin(config: RequestConfig): boolean {
  return (
    config.expected_type !== undefined ||
    config.expected_method !== undefined ||
    config.expected_request_headers !== undefined ||
    config.expected_request_headers_missing !== undefined
  );
}

/** The first thing that is wrong with what reached the origin. `responses` has one for each request. */
export function checkLog(
  configs: readonly RequestConfig[],
  responses: readonly Received[],
  log: readonly LogEntry[],
): Problem | null {
  let next = 0;
  for (const [index, config] of configs.entries()) {
    if (config.expected_type === 'cached') continue;
    const number = index + 1;
    const entry = log[next++];
    const response = responses[index];
    if (entry === undefined) {
      if (asksOfOrigin(config)) return problemOf(config, 'expected_type', `request ${number} did not reach the origin`);
      continue;
    }
    const problem =
      checkSeen(config, number, entry) ?? (response === undefined ? null : checkPassedOn(number, entry, response));
    if (problem !== null) return problem;
  }
  return null;
}
