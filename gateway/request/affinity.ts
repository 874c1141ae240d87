// What binds a request to one instance of its upstream: a value that is hashed, or the gateway's own sticky cookie, which it
// gives and takes. Nobody else sees that cookie: neither the upstream nor the cache.

import { cookieOf, withoutCookie } from '../http/cookies.ts';
import { fieldOf } from '../http/fields.ts';
import type { Exchange } from './exchange.ts';

/** Notes what the choice of an instance depends on, and takes the sticky cookie off the request. */
export function noteAffinity(x: Exchange): void {
  const { request, upstream } = x;
  if (request === null || upstream === null) throw new Error('affinity without a request and an upstream');
  const { balance } = upstream;
  if (balance.policy === 'hash') {
    const { by, name } = balance.source;
    if (by === 'ip') x.affinity = request.clientAddress;
    else if (by === 'path') x.affinity = request.path;
    else if (by === 'header') x.affinity = fieldOf(request.fields, name) ?? '';
    else x.affinity = cookieOf(request.fields, name) ?? '';
  } else if (balance.policy === 'sticky') {
    const token = cookieOf(request.fields, balance.cookie);
    if (token === null) return;
    x.affinity = token;
    x.request = { ...request, fields: withoutCookie(request.fields, balance.cookie) };
  }
}

/** Gives the client of a sticky upstream its cookie, unless it has it. Only for an answer that is for this client alone. */
export function addStickyCookie(x: Exchange, fields: string[]): void {
  const balance = x.upstream?.balance;
  if (balance?.policy !== 'sticky') return;
  const token = x.fetch?.instance?.token ?? '';
  if (token === '' || token === x.affinity) return;
  const secure = x.request?.scheme === 'https' ? '; Secure' : '';
  fields.push('set-cookie', `${balance.cookie}=${token}; Path=/; HttpOnly; SameSite=Lax${secure}`);
}
