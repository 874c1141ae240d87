// The steps of the client machine up to the cache: receive, route, guard, and the answers we make ourselves.

import type { RouteConfig } from '../config/config.ts';
import type { Filling } from '../fetch/filling.ts';
import { Upload } from '../fetch/upload.ts';
import { admit } from '../guard/admit.ts';
import { fieldOf } from '../http/fields.ts';
import type { RequestHead } from '../http/request.ts';
import { matchRoute } from '../route/match.ts';
import { redirectLocation } from '../route/rewrite.ts';
import { chooseSplit } from '../route/split.ts';
import type { Runtime } from '../runtime.ts';
import type { RequestState } from '../tables/states.ts';
import { refusedAtTheDoor, refusedByFleet } from './admission.ts';
import { noteAffinity } from './affinity.ts';
import { takeWish } from './coding.ts';
import { read } from './content.ts';
import { deliver } from './deliver.ts';
import type { Downstream, UpgradeRequest } from './downstream.ts';
import { Exchange, type Steps } from './exchange.ts';
import { file } from './file.ts';
import { askRemote, fetchAlone, look, wait } from './look.ts';
import { respondError, respondOwn } from './respond.ts';
import { tunnel } from './tunnel.ts';

const steps: Steps = {
  receive,
  route,
  guard,
  rate,
  look,
  read,
  remote: askRemote,
  wait,
  fetch: fetchAlone,
  file,
  deliver,
  answer,
  tunnel,
};

/** Takes a request from the edge and sees it through. Never throws: a bug in a step becomes a 500 and a line in the log. */
export function acceptExchange(
  runtime: Runtime<Filling>,
  downstream: Downstream,
  upgrade: UpgradeRequest | null,
): Exchange {
  const x = new Exchange(runtime, downstream, upgrade, steps);
  x.drive();
  return x;
}

function receive(x: Exchange): RequestState {
  const { runtime, downstream } = x;
  const admitted = admit(downstream, {
    limits: runtime.config.limits,
    trusted: runtime.trusted,
    newRequestId: runtime.state.newRequestId,
  });
  if (!admitted.ok) return x.fail(admitted.error);
  x.request = admitted.request;
  x.peerTrusted = admitted.peerTrusted;
  const { explainToken } = admitted.request;
  x.explains = explainToken !== '' && runtime.state.isAdminToken(explainToken);
  if (admitted.wantsOptionsStar) return own(x, 204, [], '');
  const { scheme, host, path, query } = admitted.request;
  if (downstream.secure && runtime.misdirected(downstream.servername, host)) return x.fail('misdirected');
  if (scheme === 'http' && runtime.httpsPort !== null) {
    const port = runtime.httpsPort === 443 ? '' : `:${runtime.httpsPort}`;
    return own(x, 308, ['location', `https://${host}${port}${path}${query}`], '');
  }
  return 'route';
}

function route(x: Exchange): RequestState {
  const { request } = x;
  if (request === null) throw new Error('route without a request');
  const matched = matchRoute(x.runtime.routes, request);
  if (matched.found !== null) {
    x.route = matched.found;
    return 'guard';
  }
  if (matched.allow === null) return x.fail('no-route');
  x.answer = { status: 405, fields: ['allow', matched.allow.join(', ')], body: '' };
  return x.fail('method-not-allowed');
}

function guard(x: Exchange): RequestState {
  const { route, request } = x;
  if (route === null || request === null) throw new Error('guard without a route');
  const refused = refusedAtTheDoor(x);
  if (refused === 'ask') return 'rate';
  return refused !== null ? x.fail(refused) : enter(x, route, request);
}

/** Asks Redis how often this one came to all gateways together. */
function rate(x: Exchange): null {
  const { route, request } = x;
  if (route === null || request === null) throw new Error('rate without a route');
  const asked = refusedByFleet(x).then((refused) => {
    if (!x.gone) x.resume(refused !== null ? x.fail(refused) : enter(x, route, request));
  });
  asked.catch((error: unknown) => x.broke(error));
  return null;
}

/** It may come in: what its route does with it. */
function enter(x: Exchange, route: RouteConfig, request: RequestHead): RequestState {
  const { downstream, runtime } = x;
  const declared = fieldOf(downstream.fields, 'content-length');
  if (declared !== undefined && Number(declared) > route.limits.bodyBytes) return x.fail('body-too-large');
  const { action } = route;
  if (action.kind === 'static') return 'file';
  if (action.kind === 'respond') return own(x, action.status, contentType(action.body), action.body);
  if (action.kind === 'redirect') {
    const location = redirectLocation(action.to, request);
    return location === null ? x.fail('bad-target') : own(x, action.status, ['location', location], '');
  }
  const single = action.split.length === 1 ? action.split[0] : undefined;
  const name = single !== undefined ? single.upstream : chooseSplit(action.split, runtime.state.rnd());
  x.upstream = runtime.upstreams.get(name) ?? null;
  if (x.upstream === null) throw new Error(`route ${route.name} names the upstream ${name}, which is not there`);
  if (x.upstream.balance.policy === 'hash' || x.upstream.balance.policy === 'sticky') noteAffinity(x);
  if (x.upgrade !== null) return 'tunnel';
  if (downstream.body !== null) {
    x.upload = new Upload(downstream.body, route.limits.bodyBytes, () => downstream.allowBody());
  }
  takeWish(x, x.request ?? request);
  return 'look';
}

function answer(x: Exchange): null {
  if (x.error !== null) respondError(x, x.error);
  else if (x.answer !== null) respondOwn(x, x.answer.status, x.answer.fields, x.answer.body);
  else throw new Error('answer without an answer');
  return null;
}

function own(x: Exchange, status: number, fields: readonly string[], body: string): RequestState {
  x.answer = { status, fields, body };
  return 'answer';
}

function contentType(body: string): readonly string[] {
  return body === '' ? [] : ['content-type', /^\s*[[{]/.test(body) ? 'application/json' : 'text/plain; charset=utf-8'];
}
