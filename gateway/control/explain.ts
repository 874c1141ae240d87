// Answers /api/explain: puts the question into the shape of a request head and lets request/explain.ts judge it over the
// config that is served. Reads the cache of all workers without a trace.

import type { ExplainQuestion } from '../admin/explain-question.ts';
import { compileAddressList } from '../http/address.ts';
import { type Explanation, explainRequest } from '../request/explain.ts';
import { compileRoutes } from '../route/compile.ts';
import { HitForMiss } from '../store/hit-for-miss.ts';
import type { Cache } from './cache.ts';
import type { Site } from './site.ts';

/** scheme, authority, and the rest as it would stand on the wire. */
const ADDRESS = /^(https?):\/\/([^/?#\s]+)([^#\s]*)$/i;

/** The explanation of a request that is not made, or what is wrong with the question. */
export function explainQuestion(
  question: ExplainQuestion,
  site: Site,
  cache: Cache,
  nowMs: number,
): Explanation | string {
  const config = site.served?.published.config;
  if (config === undefined) return 'no configuration is served yet';
  const found = ADDRESS.exec(question.url);
  if (found === null) return 'url must be an address such as https://api.example.com/v1/items';
  const [, scheme = '', authority = '', rest = ''] = found;
  const fields = ['host', authority];
  for (const [name, value] of question.headers) {
    if (/[\0\r\n]/.test(value)) return `the value of ${name} holds a line end`;
    // Whoever names a Host means it.
    if (name.toLowerCase() === 'host') fields[1] = value;
    else fields.push(name.toLowerCase(), value);
  }
  return explainRequest(
    {
      config,
      routes: compileRoutes(config.routes),
      trusted: compileAddressList(config.trustedProxies),
      arena: cache.arena,
      purges: cache.purges,
      hitForMiss: new HitForMiss(cache.memory.hitForMiss),
    },
    {
      protocol: 'HTTP/1.1',
      method: question.method,
      target: rest.startsWith('/') ? rest : `/${rest}`,
      authority: null,
      fields,
      secure: scheme.toLowerCase() === 'https',
      peer: '127.0.0.1',
      localPort: 0,
    },
    nowMs,
  );
}
