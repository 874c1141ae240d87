// RFC 9111 as a naive reader writes it down: everything read anew from the fields, nothing decided early, nothing shared with
// gateway/policy. Where the standard leaves freedom these rules allow the widest of its readings: they say what must not
// be, not what is best.

import { type Fields, fieldOf, fieldsOf } from '../../gateway/http/fields.ts';
import { type RouteRules, rulesOf } from './routes.ts';

/** A stored response as it is remembered: the fields after every 304, and the request and times of the last exchange. */
export interface Kept {
  readonly status: number;
  readonly fields: Fields;
  readonly requestFields: Fields;
  /** The request was sent between these two. */
  readonly askedFromMs: number;
  readonly askedToMs: number;
  readonly headMs: number;
}

export type Directives = ReadonlyMap<string, readonly (string | null)[]>;

/** Directives of all Cache-Control lines by lower-case name, each with its values in order; null = without one. */
export function directives(fields: Fields): Directives {
  const found = new Map<string, (string | null)[]>();
  for (const member of members(fieldsOf(fields, 'cache-control').join(','))) {
    const equals = member.indexOf('=');
    const name = (equals < 0 ? member : member.slice(0, equals)).trim().toLowerCase();
    const value = equals < 0 ? null : unquoted(member.slice(equals + 1).trim());
    found.set(name, [...(found.get(name) ?? []), value]);
  }
  return found;
}

/** A client's directives, on a route that heeds them. */
export function wishesOf(fields: Fields, rules: RouteRules): Directives {
  return rules.deaf ? new Map() : directives(fields);
}

/** For caches of our kind, before what is for all; ours first (the README, RFC 9213 2.2). */
const TARGETED = ['sluice-cache-control', 'cdn-cache-control'];

/**
 * A targeted field that can be read and says something: its directives are those that count, in place of Cache-Control and
 * Expires (RFC 9213 2.1). Null: there is none.
 */
function targeted(fields: Fields): Directives | null {
  for (const name of TARGETED) {
    const parts = fieldsOf(fields, name)
      .join(', ')
      .split(',')
      .map((part) => part.trim());
    const read = parts.map((part) => /^([a-z*][a-z0-9_.*-]*)(?:=(\d+))?(?:;\s*[a-z]+=\d+)*$/.exec(part));
    if (parts[0] === '' || read.some((part) => part === null)) continue;
    return new Map((read as RegExpExecArray[]).map(([, directive = '', value]) => [directive, [value ?? null]]));
  }
  return null;
}

/** What a response says about caching to us. */
export function controlOf(fields: Fields): Directives {
  return targeted(fields) ?? directives(fields);
}

/** Members of a list; commas in quotes part nothing. */
export function members(list: string): string[] {
  const parts = list.match(/(?:"(?:[^"\\]|\\.)*"|[^",])+/g) ?? [];
  return parts.map((part) => part.trim()).filter((part) => part !== '');
}

function unquoted(value: string): string {
  return /^".*"$/.test(value) ? value.slice(1, -1).replace(/\\(.)/g, '$1') : value;
}

/** Seconds of the first of a directive's values: not there = null, not a number = NaN. */
function seconds(control: Directives, name: string): number | null {
  const values = control.get(name);
  if (values === undefined) return null;
  const value = values[0] ?? '';
  return /^\d+$/.test(value) ? Math.min(Number(value), 2 ** 31) : Number.NaN;
}

/** Field names that `private` or `no-cache` name; empty = the directive is not there or means everything. */
function named(control: Directives, name: string): string[] {
  return (control.get(name) ?? []).flatMap((value) =>
    value === null ? [] : value.split(',').map((part) => part.trim().toLowerCase()),
  );
}

/** The directive without field names. */
function whole(control: Directives, name: string): boolean {
  return (control.get(name) ?? []).some((value) => value === null || value.trim() === '');
}

/** Fields that must not be given to others (RFC 9111 5.2.2.4, 5.2.2.7). */
export function withheldFields(kept: Kept): string[] {
  const control = controlOf(kept.fields);
  return [...named(control, 'private'), ...named(control, 'no-cache')];
}

function dateOf(fields: Fields): number | null {
  const lines = fieldsOf(fields, 'date');
  const ms = lines.length === 1 ? Date.parse(lines[0] as string) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

/** Current age in ms (RFC 9111 4.2.3), the least and the most that it can be called: Date has whole seconds. */
export function ageMs(kept: Kept, nowMs: number): { readonly least: number; readonly most: number } {
  const dateMs = dateOf(kept.fields);
  const behindMs = dateMs === null ? 0 : kept.headMs - dateMs;
  const told = /^\s*(\d+)\s*(,|$)/.exec(fieldOf(kept.fields, 'age') ?? '');
  const toldMs = told === null ? 0 : Math.min(Number(told[1]), 2 ** 31) * 1000;
  const restMs = nowMs - kept.headMs;
  const apparent = (ms: number): number => Math.max(0, ms);
  return {
    least: Math.max(apparent(behindMs - (kept.headMs % 1000)), toldMs + kept.headMs - kept.askedToMs) + restMs,
    most: Math.max(apparent(behindMs), toldMs + kept.headMs - kept.askedFromMs) + restMs,
  };
}

/** Statuses that freshness from gateway.yaml applies to (the README: success and permanent place). */
const CONFIGURED = [200, 203, 204, 300, 301, 308];
/** RFC 9110 15.1. */
const HEURISTIC = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501];

export interface Lifetime {
  readonly source: 'origin' | 'config' | 'heuristic' | 'none';
  /** What is left of it, ms; negative = stale since. At most and at least. */
  readonly most: number;
  readonly least: number;
}

/** How fresh it is (RFC 9111 4.2.1). Something may have made it stale before its time. */
export function lifetime(
  kept: Kept,
  rules: RouteRules,
  nowMs: number,
  staleSinceMs: number = Number.POSITIVE_INFINITY,
): Lifetime {
  const { source, most, least } = ownLifetime(kept, rules, nowMs);
  return { source, most: Math.min(most, staleSinceMs - nowMs), least: Math.min(least, staleSinceMs - nowMs) };
}

function ownLifetime(kept: Kept, rules: RouteRules, nowMs: number): Lifetime {
  const age = ageMs(kept, nowMs);
  const byOrigin = (ms: number): Lifetime => ({ source: 'origin', most: ms - age.least, least: ms - age.most });
  const byConfig = (ms: number): Lifetime => {
    const left = kept.headMs + ms - nowMs;
    return { source: 'config', most: left, least: left };
  };
  const configured = CONFIGURED.includes(kept.status);
  if (rules.ttlMs !== null && configured) return byConfig(rules.ttlMs);
  const control = controlOf(kept.fields);
  const wanted = seconds(control, 's-maxage') ?? seconds(control, 'max-age');
  if (wanted !== null) return byOrigin(Number.isNaN(wanted) ? 0 : wanted * 1000);
  const expires = fieldOf(kept.fields, 'expires');
  if (expires !== undefined && targeted(kept.fields) === null) {
    const ms = Date.parse(expires);
    const isDate = /GMT$/.test(expires) && !Number.isNaN(ms);
    return byOrigin(isDate ? Math.max(0, ms - (dateOf(kept.fields) ?? kept.headMs)) : 0);
  }
  const silent = !control.has('no-cache') && !control.has('no-store') && !whole(control, 'private');
  const negativeMs = rules.negativeMs[kept.status];
  if (silent && negativeMs !== undefined) return byConfig(negativeMs);
  if (silent && rules.defaultTtlMs !== null && configured) return byConfig(rules.defaultTtlMs);
  if (silent && rules.heuristic > 0 && (HEURISTIC.includes(kept.status) || control.has('public'))) {
    const modifiedMs = Date.parse(fieldOf(kept.fields, 'last-modified') ?? '');
    const ms = Math.min(86_400_000, ((dateOf(kept.fields) ?? kept.headMs) - modifiedMs) * rules.heuristic);
    if (ms > 0) return { ...byOrigin(ms), source: 'heuristic' };
  }
  return { ...byOrigin(0), source: 'none' };
}

/** Whether freshness is ours, so that it must not be shared with a request that names somebody (DESIGN 5.6). */
export function isOurs(kept: Kept, rules: RouteRules): boolean {
  return lifetime(kept, rules, kept.headMs).source !== 'origin';
}

export function namesSomebody(fields: Fields, rules: RouteRules): boolean {
  return rules.identity.some((name) => !rules.keyFields.includes(name) && fieldOf(fields, name) !== undefined);
}

/** Why this response must not be given to another request than the one it came for, or null (RFC 9111 3, DESIGN 5.6). */
export function mustNotStore(kept: Kept, method: string, rules: RouteRules): string | null {
  const control = controlOf(kept.fields);
  const has = (name: string): boolean => control.has(name);
  if (rules.off) return 'the route says cache: off';
  if (method === 'POST' && !rules.asking.includes(method)) {
    const byOrigin = lifetime(kept, { ...rules, ttlMs: null }, kept.headMs);
    const isOrigins = byOrigin.source === 'origin' && byOrigin.most > 0 && kept.status === 200;
    if (!isOrigins) return 'it answered a POST, without a lifetime of its own (RFC 9110 9.3.3)';
  } else if (method !== 'GET' && !rules.asking.includes(method)) return `it answered a ${method}`;
  if (wishesOf(kept.requestFields, rules).has('no-store')) return 'no-store in the request it came for (5.2.1.5)';
  if (kept.status < 200 || kept.status === 206 || kept.status === 304) return `the status ${kept.status}`;
  const understood = has('must-understand') && [...HEURISTIC, 302, 303, 307].includes(kept.status);
  if (has('must-understand') && !understood) return 'must-understand with a status that nobody understands (5.2.2.3)';
  if (has('no-store') && !understood) return 'no-store (5.2.2.5)';
  if (whole(control, 'private')) return 'private (5.2.2.7)';
  const vary = varyNames(kept.fields);
  if (vary.includes('*')) return 'Vary: * (4.1)';
  const personal = vary.find((name) => ['authorization', 'cookie', ...rules.identity].includes(name));
  if (personal !== undefined && !rules.keyFields.includes(personal)) return `it varies on ${personal} (DESIGN 5.6)`;
  const sharing = has('public') || has('must-revalidate') || has('s-maxage');
  if (fieldOf(kept.requestFields, 'authorization') !== undefined && !rules.keyFields.includes('authorization')) {
    if (!sharing) return 'the request it came for carried Authorization (3.5)';
  }
  if (namesSomebody(kept.requestFields, rules) && isOurs(kept, rules))
    return 'freshness is ours and the request it came for named somebody (DESIGN 5.6)';
  if (fieldOf(kept.fields, 'set-cookie') !== undefined && !withheldFields(kept).includes('set-cookie')) {
    const byOrigin = lifetime(kept, { ...rules, ttlMs: null }, kept.headMs);
    const spoken = byOrigin.source === 'origin' && byOrigin.most > 0 && !whole(control, 'no-cache');
    const shared = has('public') || has('s-maxage') || !namesSomebody(kept.requestFields, rules);
    if (!spoken || !shared) return 'it sets a cookie (7.3)';
  }
  return null;
}

/** What it can be purged by beside its URL (config/REFERENCE.md, routes[].cache.tags). */
export function tagsOf(fields: Fields): string[] {
  const keys = fieldsOf(fields, 'surrogate-key').flatMap((line) => line.split(' '));
  return [...keys, ...fieldsOf(fields, 'cache-tag').flatMap((line) => members(line))];
}

export function varyNames(fields: Fields): string[] {
  return fieldsOf(fields, 'vary').flatMap((line) => members(line.toLowerCase()));
}

/** Whether two requests select the same response by its Vary (RFC 9111 4.1); the name that tells them apart, or null. */
export function variesExactly(fields: Fields, a: Fields, b: Fields, rules: RouteRules): string | null {
  const names = [...varyNames(fields), ...rules.vary];
  return names.find((name) => name === '*' || selecting(name, a) !== selecting(name, b)) ?? null;
}

/**
 * The same, where a response in a language that request `b` likes as well as any may answer it in place of its own (4.1), and
 * so may the language that the origin chose for the same words `earlier`.
 */
export function variesBetween(
  fields: Fields,
  a: Fields,
  b: Fields,
  rules: RouteRules,
  earlier: readonly Fields[],
): string | null {
  const languages = fieldsOf(fields, 'content-language');
  const words = selecting('accept-language', b);
  const isChosen = earlier.some((one) => selecting('accept-language', one) === words);
  const isLiked = languages.length === 1 && (isChosen || likesBest(b, languages[0] as string));
  const names = [...varyNames(fields), ...rules.vary].filter((name) => name !== 'accept-language' || !isLiked);
  return names.find((name) => name === '*' || selecting(name, a) !== selecting(name, b)) ?? null;
}

/** Whether no language that Accept-Language names has more weight than this one (RFC 9110 12.5.4, RFC 4647 3.3.1). */
export function likesBest(requestFields: Fields, language: string): boolean {
  const weighed = fieldsOf(requestFields, 'accept-language')
    .flatMap((line) => members(line.toLowerCase()))
    .map((member) => {
      const [range = '', weight = 'q=1'] = member.split(';').map((part) => part.trim());
      return { range, weight: Number(weight.slice(2)) };
    });
  if (weighed.length === 0) return true;
  const matching = weighed.filter(({ range }) => range === language || language.startsWith(`${range}-`));
  const own = matching.length > 0 ? matching : weighed.filter(({ range }) => range === '*');
  const weight = Math.max(0, ...own.map((one) => one.weight));
  return weight > 0 && weighed.every((other) => other.weight <= weight);
}

/** A field's value; what may be written in several ways reads the same: spaces in lists, order and case of preferences. */
function selecting(name: string, fields: Fields): string {
  const lines = fieldsOf(fields, name);
  if (lines.length === 0) return 'absent';
  const list = lines.flatMap((line) => members(line));
  if (!name.startsWith('accept-')) return `is ${list.join(',')}`;
  const weighed = list.map((member) => {
    const [range = '', ...parameters] = member.toLowerCase().split(';');
    const weight = parameters
      .map((text) => /^\s*q\s*=\s*([\d.]+)\s*$/.exec(text)?.[1])
      .find((text) => text !== undefined);
    return `${range.trim()} ${weight === undefined ? 1 : Number(weight)}`;
  });
  return `is ${weighed.sort().join(',')}`;
}

/** A request, as far as a key knows it. */
export interface Keyed {
  readonly method: string;
  readonly target: string;
  readonly fields: Fields;
  readonly asked: { readonly body: string };
}

/** What makes two requests ask for the same thing, by URL, by what the route adds, and by content where that asks. */
export function keyOf({ method, target, fields, asked }: Keyed): string {
  const rules = rulesOf(target);
  const parts = [urlOf(target, rules)];
  if (rules.asking.includes(method)) parts.push(method, fieldOf(fields, 'content-type') ?? '', asked.body);
  for (const name of rules.keyFields) parts.push(selecting(name, fields));
  const cookies = fieldsOf(fields, 'cookie').flatMap((line) => line.split(';').map((pair) => pair.trim()));
  for (const name of rules.keyCookies) parts.push(cookies.filter((pair) => pair.startsWith(`${name}=`)).join(';'));
  return parts.join('\n');
}

/** The URL as the route's key has it. */
export function urlOf(target: string, rules: RouteRules): string {
  const [path = '', query] = target.split('?');
  if (query === undefined) return path;
  const { ignoredQuery, sortsQuery } = rules;
  const kept = query.split('&').filter((pair) => ignoredQuery === '' || !pair.startsWith(ignoredQuery));
  if (sortsQuery) kept.sort();
  return kept.length === 0 ? path : `${path}?${kept.join('&')}`;
}

export type Reuse =
  | { readonly may: 'fresh' }
  /** Stale, and somebody must fetch it anew meanwhile (RFC 5861 3). */
  | { readonly may: 'while-revalidate' }
  /** Stale, and only because the upstream failed (RFC 5861 4). */
  | { readonly may: 'if-error' }
  | { readonly may: 'never'; readonly why: string };

const never = (why: string): Reuse => ({ may: 'never', why });

/** How a stored response may answer a request without the origin's word (RFC 9111 4, 4.2.4, 5.2.1). */
export function reuse(
  kept: Kept,
  requestFields: Fields,
  rules: RouteRules,
  nowMs: number,
  staleSinceMs: number = Number.POSITIVE_INFINITY,
): Reuse {
  const control = controlOf(kept.fields);
  if (isOurs(kept, rules) && namesSomebody(requestFields, rules))
    return never('its freshness is ours and the request names somebody (DESIGN 5.6)');
  if (whole(control, 'no-cache')) return never('no-cache in the response (5.2.2.4)');
  const wishes = wishesOf(requestFields, rules);
  if (wishes.has('no-cache')) return never('no-cache in the request (5.2.1.4)');
  if (!rules.deaf && wishes.size === 0 && members(fieldsOf(requestFields, 'pragma').join(',')).includes('no-cache'))
    return never('Pragma: no-cache in the request (5.4)');
  const age = ageMs(kept, nowMs);
  const maxAge = seconds(wishes, 'max-age');
  if (maxAge !== null && !(age.least <= maxAge * 1000)) return never('older than max-age of the request (5.2.1.1)');
  const left = lifetime(kept, rules, nowMs, staleSinceMs);
  const minFresh = seconds(wishes, 'min-fresh');
  if (minFresh !== null && !(left.most >= minFresh * 1000)) return never('min-fresh of the request (5.2.1.3)');
  if (left.most > 0) return { may: 'fresh' };
  const strict = control.has('must-revalidate') || control.has('proxy-revalidate');
  const shared = control.has('s-maxage');
  const staleFor = -left.most;
  if (wishes.has('max-stale') && !strict && !shared) {
    const value = wishes.get('max-stale')?.[0] ?? null;
    if (value === null || staleFor <= Number(value) * 1000) return { may: 'fresh' };
  }
  if (maxAge !== null || minFresh !== null) return never('stale, and the request asks for what is fresh (5.2.1.1)');
  if (strict) return never('stale, and must-revalidate or proxy-revalidate (5.2.2.2, 5.2.2.8)');
  // The windows are those of its own lifetime, whatever ended that early.
  const overdue = -lifetime(kept, rules, nowMs).most;
  const windows = staleWindows(kept, rules, left.source);
  if (overdue < windows.whileRevalidateMs) return { may: 'while-revalidate' };
  if (overdue < windows.ifErrorMs) return { may: 'if-error' };
  return never('stale (4.2.4)');
}

/** How long after its freshness it may still be used: the origin's own time, else the config's, which s-maxage rules out. */
export function staleWindows(
  kept: Kept,
  rules: RouteRules,
  source: Lifetime['source'],
): { readonly whileRevalidateMs: number; readonly ifErrorMs: number } {
  const control = controlOf(kept.fields);
  const shared = control.has('s-maxage');
  const ownMs = rules.whileRevalidateMs ?? (source === 'config' ? 10_000 : 0);
  const whileRevalidate = seconds(control, 'stale-while-revalidate');
  const ifError = seconds(control, 'stale-if-error');
  return {
    whileRevalidateMs: whileRevalidate === null ? (shared || source === 'none' ? 0 : ownMs) : whileRevalidate * 1000,
    ifErrorMs: ifError === null ? (shared ? 0 : rules.ifErrorMs) : ifError * 1000,
  };
}
