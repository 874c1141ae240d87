// The cases of the public suite for HTTP caches as data: finds them, checks that this runner understands every key they
// use, and leaves out those for browsers. Runs nothing. The cases themselves are not part of this repository.

import { existsSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = join(import.meta.dirname, '../..');

/** A field of a case: a number in a date field is seconds from Server-Now; `false` keeps it out of the origin's log. */
export type FieldEntry = readonly [name: string, value: string | number, logged?: boolean];
export type InterimEntry = readonly [status: number, fields?: readonly (readonly [name: string, value: string])[]];
export type ExpectedField =
  | string
  | readonly [name: string, value: string | number]
  | readonly [name: string, operator: '=' | '>', other: string | number];

/** One request of a case and what should become of it, in the suite's own words. */
export interface RequestConfig {
  readonly request_method?: string;
  readonly request_headers?: readonly FieldEntry[];
  readonly request_body?: string;
  readonly filename?: string;
  readonly query_arg?: string;
  readonly redirect?: 'manual';
  readonly magic_ims?: boolean;
  readonly rfc850date?: readonly string[];
  readonly pause_after?: boolean;
  readonly response_status?: readonly [status: number, reason: string];
  readonly response_headers?: readonly FieldEntry[];
  readonly response_body?: string | null;
  readonly response_pause?: number;
  readonly interim_responses?: readonly InterimEntry[];
  readonly magic_locations?: boolean;
  readonly disconnect?: boolean;
  readonly setup?: boolean;
  readonly setup_tests?: readonly string[];
  readonly check_body?: boolean;
  readonly expected_type?: 'cached' | 'not_cached' | 'etag_validated' | 'lm_validated';
  readonly expected_status?: number | null;
  readonly expected_method?: string;
  readonly expected_response_headers?: readonly ExpectedField[];
  readonly expected_response_headers_missing?: readonly ExpectedField[];
  readonly expected_response_text?: string | null;
  readonly expected_interim_responses?: readonly InterimEntry[];
  readonly expected_request_headers?: readonly ExpectedField[];
  readonly expected_request_headers_missing?: readonly ExpectedField[];
}

// A Record, so that a key of RequestConfig cannot be forgotten here.
const REQUEST_KEYS: Readonly<Record<keyof RequestConfig, true>> = {
  request_method: true,
  request_headers: true,
  request_body: true,
  filename: true,
  query_arg: true,
  redirect: true,
  magic_ims: true,
  rfc850date: true,
  pause_after: true,
  response_status: true,
  response_headers: true,
  response_body: true,
  response_pause: true,
  interim_responses: true,
  magic_locations: true,
  disconnect: true,
  setup: true,
  setup_tests: true,
  check_body: true,
  expected_type: true,
  expected_status: true,
  expected_method: true,
  expected_response_headers: true,
  expected_response_headers_missing: true,
  expected_response_text: true,
  expected_interim_responses: true,
  expected_request_headers: true,
  expected_request_headers_missing: true,
};

/** `check` cases only inform; the others are scored. */
export type Kind = 'required' | 'optimal' | 'check';

export interface Case {
  readonly id: string;
  readonly name: string;
  readonly kind: Kind;
  readonly dependsOn: readonly string[];
  readonly requests: readonly RequestConfig[];
}

/** Other proxies' results: name → id of a case → passed, a failed dependency counted as not passed. */
export type Published = Readonly<Record<string, Readonly<Record<string, boolean>>>>;

export interface CaseSet {
  /** The key of its floor. */
  readonly name: string;
  /** Where it was found, for people. */
  readonly source: string;
  readonly cases: readonly Case[];
  readonly published: Published | null;
}

type Json = Readonly<Record<string, unknown>>;

function record(value: unknown, what: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${what} is not an object`);
  return value as Json;
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw new Error(`${what} is not a list`);
  return value;
}

function readRequest(value: unknown, id: string): RequestConfig {
  const config = record(value, `a request of ${id}`);
  const odd = Object.keys(config).filter((key) => !Object.hasOwn(REQUEST_KEYS, key));
  // A key that nobody reads would turn a case into a weaker one without a word.
  if (odd.length > 0) throw new Error(`case ${id}: this runner does not know ${odd.join(', ')}`);
  return config;
}

function readCase(test: Json): Case {
  const id = String(test.id);
  const kind = test.kind ?? 'required';
  if (kind !== 'required' && kind !== 'optimal' && kind !== 'check') throw new Error(`case ${id}: kind ${kind}`);
  return {
    id,
    name: String(test.name),
    kind,
    dependsOn: list(test.depends_on ?? [], `depends_on of ${id}`).map(String),
    requests: list(test.requests, `requests of ${id}`).map((request) => readRequest(request, id)),
  };
}

/** The cases that apply to a proxy. Throws when the data is not what this runner understands. */
export function readCases(suites: unknown): readonly Case[] {
  const tests = list(suites, 'the file').flatMap((suite) => list(record(suite, 'a suite').tests, 'tests of a suite'));
  const cases = tests
    .map((test) => record(test, 'a case'))
    .filter((test) => test.browser_only !== true)
    .map(readCase);
  const ids = new Set(cases.map((one) => one.id));
  if (ids.size !== cases.length) throw new Error('two cases have the same id');
  for (const one of cases) {
    const missing = one.dependsOn.find((id) => !ids.has(id));
    if (missing !== undefined) throw new Error(`case ${one.id} depends on ${missing}, which is not there`);
  }
  return cases;
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function readFileSet(file: string, name: string): CaseSet {
  const published = join(file, '../published.json');
  return {
    name,
    source: relative(process.cwd(), file),
    cases: readCases(readJson(file)),
    published: existsSync(published) ? (readJson(published) as Published) : null,
  };
}

/** From the file that is given, else ../shared beside the repository, else the npm package, an older state of the suite. */
export async function loadCases(file: string | undefined): Promise<CaseSet> {
  if (file !== undefined && file !== '') return readFileSet(resolve(file), 'file');
  const shared = resolve(root, '../shared/conformance/cache-tests.json');
  if (existsSync(shared)) return readFileSet(shared, 'shared');
  const folder = join(root, 'node_modules/http-cache-tests');
  const version = String(record(readJson(join(folder, 'package.json')), 'package.json').version);
  const module: unknown = await import(pathToFileURL(join(folder, 'tests/index.mjs')).href);
  const cases = readCases(record({ ...(module as object) }, 'the module').default);
  return { name: 'package', source: `npm http-cache-tests ${version}`, cases, published: null };
}
