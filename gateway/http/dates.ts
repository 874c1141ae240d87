// HTTP-date in its three forms (RFC 9110 5.6.7). Strict in shape, indifferent to case; it never guesses a zone, never
// reads the clock and never throws.

const MONTHS = 'janfebmaraprmayjunjulaugsepoctnovdec';
const SHORT_DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const LONG_DAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];

/** 9999-12-31T23:59:59Z, the last HTTP-date there is. */
const LAST_MS = 253_402_300_799_000;

/**
 * An HTTP-date as ms since the epoch, or null when it is none. `nowMs` decides the century of RFC 850's two-digit years:
 * what would be more than 50 years ahead lies in the past. The day's name is not compared with the date.
 */
export function parseDate(text: string, nowMs: number): number | null {
  if (text.length < 24 || text.length > 33) return null;
  const t = text.toLowerCase();
  const comma = t.indexOf(',');
  if (comma === 3) return imfFixdate(t);
  if (comma > 3) return rfc850(t, comma, nowMs);
  return asctime(t);
}

/** `Sun, 06 Nov 1994 08:49:37 GMT` */
function imfFixdate(t: string): number | null {
  if (t.length !== 29 || !SHORT_DAYS.includes(t.slice(0, 3))) return null;
  if (t.slice(3, 5) !== ', ' || t[7] !== ' ' || t[11] !== ' ' || t[16] !== ' ' || t.slice(25) !== ' gmt') return null;
  return assemble(digits(t, 12, 4), month(t, 8), digits(t, 5, 2), t, 17);
}

/** `Sunday, 06-Nov-94 08:49:37 GMT` */
function rfc850(t: string, comma: number, nowMs: number): number | null {
  if (t.length !== comma + 24 || !LONG_DAYS.includes(t.slice(0, comma))) return null;
  const at = comma + 2;
  if (t[comma + 1] !== ' ' || t[at + 2] !== '-' || t[at + 6] !== '-' || t[at + 9] !== ' ') return null;
  if (t.slice(at + 18) !== ' gmt') return null;
  const short = digits(t, at + 7, 2);
  if (short < 0) return null;
  const latest = new Date(Number.isFinite(nowMs) ? Math.min(Math.max(nowMs, 0), LAST_MS) : 0);
  const nowYear = latest.getUTCFullYear();
  latest.setUTCFullYear(nowYear + 50);
  // The latest reading that is not more than 50 years ahead (RFC 9110 5.6.7). A 29 February is none in every century.
  for (let year = nowYear - (nowYear % 100) + 100 + short; year >= 0 && year > nowYear - 200; year -= 100) {
    const ms = assemble(year, month(t, at + 3), digits(t, at, 2), t, at + 10);
    if (ms !== null && ms <= latest.getTime()) return ms;
  }
  return null;
}

/** `Sun Nov  6 08:49:37 1994` */
function asctime(t: string): number | null {
  if (t.length !== 24 || !SHORT_DAYS.includes(t.slice(0, 3))) return null;
  if (t[3] !== ' ' || t[7] !== ' ' || t[10] !== ' ' || t[19] !== ' ') return null;
  const day = t[8] === ' ' ? digits(t, 9, 1) : digits(t, 8, 2);
  return assemble(digits(t, 20, 4), month(t, 4), day, t, 11);
}

/** 0 to 11, -1 when it is none. */
function month(t: string, at: number): number {
  const place = MONTHS.indexOf(t.slice(at, at + 3));
  return place >= 0 && place % 3 === 0 ? place / 3 : -1;
}

/** A number of exactly `count` digits, -1 when there is anything else. */
function digits(t: string, at: number, count: number): number {
  let number = 0;
  for (let i = at; i < at + count; i++) {
    const digit = t.charCodeAt(i) - 0x30;
    if (!(digit >= 0 && digit <= 9)) return -1;
    number = number * 10 + digit;
  }
  return number;
}

function assemble(year: number, monthIndex: number, day: number, t: string, timeAt: number): number | null {
  const hour = digits(t, timeAt, 2);
  const minute = digits(t, timeAt + 3, 2);
  const second = digits(t, timeAt + 6, 2);
  if (t[timeAt + 2] !== ':' || t[timeAt + 5] !== ':') return null;
  if (year < 0 || monthIndex < 0 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59) return null;
  if (second < 0 || second > 60) return null;
  const date = new Date(0);
  // Not Date.UTC, which takes years below 100 for 19xx.
  date.setUTCFullYear(year, monthIndex, day);
  if (date.getUTCDate() !== day || date.getUTCMonth() !== monthIndex) return null;
  // A leap second is the second before it: ms since the epoch know none.
  return date.getTime() + hour * 3_600_000 + minute * 60_000 + Math.min(second, 59) * 1000;
}

/** IMF-fixdate of a time in ms since the epoch; what lies outside the years 1970 to 9999 becomes the nearest that is inside. */
export function formatDate(ms: number): string {
  const inside = Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, 0), LAST_MS);
  return new Date(inside).toUTCString();
}
