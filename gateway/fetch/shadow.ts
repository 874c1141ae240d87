// A copy of a request for the route's mirror: sent after the original is on its way, its answer read and thrown away. It
// has nothing of the original's but its fields and a copy of a small body, so whatever becomes of it the client's request
// and answer are as they would be without it. No retries; failures are only counted. (`Mirror` in mirror.ts is something
// else: the follower of another worker's fetch.)

import type { RouteConfig } from '../config/config.ts';
import type { Fields } from '../http/fields.ts';
import type { Runtime, WorkerState } from '../runtime.ts';
import { LIMITS } from '../tables/limits.ts';
import type { Attempt, AttemptHandlers, Failure, Instance } from '../upstream/upstream.ts';
import type { Filling } from './filling.ts';
import type { FetchPlan, Shadow } from './plan.ts';
import { hostField } from './prepare.ts';
import { fromBytes } from './upload.ts';

const none: ReadonlySet<Instance> = new Set();

/** Whether this request is copied, by chance, and where to; null = it is not. */
export function chooseShadow({ mirror, name }: RouteConfig, runtime: Runtime<Filling>): Shadow | null {
  if (mirror === null || (mirror.share < 1 && runtime.state.rnd() >= mirror.share)) return null;
  const upstream = runtime.upstreams.get(mirror.upstream);
  if (upstream === undefined) throw new Error(`route ${name} mirrors to ${mirror.upstream}, which is not there`);
  return { upstream, timeouts: mirror.timeouts };
}

/** Copies a request whose first attempt has just been sent; `fields` as that attempt got them, without Host. */
export function castShadow(plan: FetchPlan, shadow: Shadow, fields: Fields): void {
  const { state, uploadBytes } = plan;
  if (state.mirrored >= LIMITS.mirrored || (uploadBytes ?? 0) > LIMITS.mirrorBodyBytes)
    state.count('mirror_skipped', 1);
  else new RunningShadow(plan, shadow, fields);
}

class RunningShadow implements AttemptHandlers {
  readonly #state: WorkerState<Filling>;
  readonly #plan: Pick<FetchPlan, 'request' | 'path' | 'affinity'>;
  readonly #shadow: Shadow;
  readonly #fields: Fields;
  readonly #timer: ReturnType<typeof setTimeout>;
  #attempt: Attempt | null = null;
  #over = false;
  /** Bytes of the answer. */
  #bytes = 0;
  /** Enough of the answer was read. */
  #enough = false;

  constructor({ state, request, path, affinity, upload }: FetchPlan, shadow: Shadow, fields: Fields) {
    this.#state = state;
    this.#plan = { request, path, affinity };
    this.#shadow = shadow;
    this.#fields = fields;
    state.mirrored++;
    // Keeps no worker alive.
    this.#timer = setTimeout(() => this.#expire(), LIMITS.mirrorMs).unref();
    if (upload === null) setImmediate(() => this.#send(null));
    else
      upload.copy(LIMITS.mirrorBodyBytes, (body) =>
        setImmediate(() => (body === null ? this.#skip() : this.#send(body))),
      );
  }

  onInterim(): void {}

  onHead(): void {}

  onData(chunk: Buffer): void {
    this.#bytes += chunk.length;
    if (this.#bytes <= LIMITS.mirrorAnswerBytes || this.#enough) return;
    this.#enough = true;
    this.#attempt?.abort();
  }

  onEnd(): void {
    this.#end();
  }

  onFailure(_failure: Failure): void {
    if (!this.#enough) this.#state.count('mirror_failures', 1);
    this.#end();
  }

  #send(body: Buffer | null): void {
    if (this.#over) return;
    const { request, path } = this.#plan;
    const { upstream, timeouts } = this.#shadow;
    const { now, rnd } = this.#state;
    // What binds the original to an instance binds its copy, too: one client's copies stay together.
    const instance = upstream.pick({ tried: none, affinity: this.#plan.affinity, nowMs: now(), rnd });
    if (typeof instance === 'string') return this.#skip();
    this.#state.count('mirrored', 1);
    this.#attempt = instance.send(
      {
        method: request.method,
        path,
        fields: ['host', hostField(upstream, instance, request), ...this.#fields],
        body: body === null ? null : fromBytes(body),
        bodyBytes: body?.length ?? null,
        timeouts,
      },
      this,
    );
  }

  /** Its time is over: the attempt reports its failure itself. */
  #expire(): void {
    if (this.#attempt === null) this.#skip();
    else this.#attempt.abort();
  }

  #skip(): void {
    if (this.#over) return;
    this.#state.count('mirror_skipped', 1);
    this.#end();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#state.mirrored--;
    clearTimeout(this.#timer);
  }
}
