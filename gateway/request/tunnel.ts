// An upgraded connection: picks an instance, hands both ends over, and learns how it ended. Only an instance that could
// not be reached is replaced by another; after that the tunnel is the two peers' own.

import { describe, errorOf } from '../fetch/outcome.ts';
import { hostField, outgoingFields } from '../fetch/prepare.ts';
import type { Fields } from '../http/fields.ts';
import { CLOSE_CODES } from '../http/websocket-frames.ts';
import { upstreamPath } from '../route/rewrite.ts';
import type { OpenStream } from '../upstream/open-streams.ts';
import type { Instance, Tunnel, TunnelEnd } from '../upstream/upstream.ts';
import type { Exchange } from './exchange.ts';
import { identity } from './identity.ts';

export function tunnel(x: Exchange): null {
  begin(x, new Set());
  return null;
}

function begin(x: Exchange, tried: Set<Instance>): void {
  const { upstream, route, request, upgrade, runtime } = x;
  if (upstream === null || route === null || request === null || upgrade === null)
    throw new Error('tunnel without its parts');
  const timeouts = route.timeouts[upstream.name];
  if (timeouts === undefined) throw new Error(`route ${route.name} has no timeouts for ${upstream.name}`);
  const instance = upstream.pick({
    tried,
    affinity: x.affinity,
    nowMs: runtime.state.now(),
    rnd: runtime.state.rnd,
    isTunnel: true,
  });
  if (typeof instance === 'string') {
    // From within the step: its return value still waits, so the answer comes a turn later.
    queueMicrotask(() => x.resume(x.fail('no-instance', 'no instance is up')));
    return;
  }
  tried.add(instance);
  x.instance = instance;
  runtime.state.count('upstream_tries', 1);
  const target = upstreamPath(route, request);
  const fields: Fields = [
    'host',
    hostField(upstream, instance, request),
    ...outgoingFields(request.fields, route.requestHeaders, identity(x, target.prefix)),
  ];
  const running: Tunnel = instance.tunnel({
    socket: upgrade.socket,
    head: upgrade.head,
    path: target.path,
    fields,
    timeouts,
    idleMs: route.websocketIdleMs ?? timeouts.streamIdleMs,
  });
  const stream: OpenStream = { instance: instance.id, ask: () => running.close(CLOSE_CODES.serviceRestart) };
  runtime.state.streams.add(stream);
  const gone = (): void => running.destroy();
  x.onGone = gone;
  running.closed.then((end) => {
    runtime.state.streams.remove(stream);
    ended(x, tried, end);
  });
}

function ended(x: Exchange, tried: Set<Instance>, end: TunnelEnd): void {
  x.tunnelBytesIn += end.bytesIn;
  x.tunnelBytesOut += end.bytesOut;
  const { failure } = end;
  if (end.status === 0 && failure !== null && !x.gone) {
    const again = !failure.sent && tried.size < (x.upstream?.retry.attempts ?? 1);
    if (again) return begin(x, tried);
    x.resume(x.fail(errorOf(failure), describe(failure)));
    return;
  }
  x.status = end.status;
  if (failure !== null) x.errorDetail = describe(failure);
  x.tunnelEnded(end.established);
}
