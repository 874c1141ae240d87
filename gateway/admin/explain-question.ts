// The body of POST /api/explain: a request that is not made. Reads it or says what is wrong; decides nothing.

export interface ExplainQuestion {
  readonly method: string;
  /** "https://api.example.com/v1/items?page=2" */
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** The question in a JSON text, or what is wrong with it. */
export function parseExplainQuestion(body: string): ExplainQuestion | string {
  let written: unknown;
  try {
    written = JSON.parse(body);
  } catch {
    return 'The body must be a JSON object';
  }
  if (typeof written !== 'object' || written === null || Array.isArray(written))
    return 'The body must be a JSON object';
  const { method = 'GET', url, headers = [] } = written as Readonly<Record<string, unknown>>;
  if (typeof method !== 'string' || typeof url !== 'string') return 'method and url must be texts';
  if (!Array.isArray(headers) || !headers.every(isPair)) return 'headers must be a list of pairs of a name and a value';
  return { method, url, headers };
}

function isPair(pair: unknown): pair is readonly [string, string] {
  return Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string');
}
