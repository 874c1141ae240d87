// What stays open for as long as its two ends like: WebSocket tunnels and event streams of one worker. When the worker
// drains, or an instance does, each is asked to end at a moment of its own within a window, so that their clients do not
// all come back at once. It ends nothing itself and cuts nothing: that is the matter of the streams and of the drain.

/** One open stream. */
export interface OpenStream {
  /** Id of the instance it runs on; '' = not known. */
  readonly instance: string;
  /** Asks it to end as soon as it can without harm. Called at most once. */
  ask(): void;
}

/** Where a stream stands: not asked (null), to be asked, or asked. */
type Asking = ReturnType<typeof setTimeout> | 'asked' | null;

export class OpenStreams {
  readonly #streams = new Map<OpenStream, Asking>();
  /** Instances that drain, and until when their streams are to be asked, ms of performance.now. */
  readonly #drains = new Map<string, number>();
  /** Those of them that drain because the config has them no more. */
  readonly #gone = new Set<string>();
  /** The same for the whole worker; null = it does not drain. */
  #untilMs: number | null = null;
  readonly #rnd: () => number;

  constructor(rnd: () => number) {
    this.#rnd = rnd;
  }

  get size(): number {
    return this.#streams.size;
  }

  /** Open streams on one instance. */
  on(instance: string): number {
    let count = 0;
    for (const stream of this.#streams.keys()) if (stream.instance === instance) count++;
    return count;
  }

  /** From now on it may be asked to end, also by a drain that has begun. The caller removes it when it is over. */
  add(stream: OpenStream): void {
    this.#streams.set(stream, null);
    const untilMs = this.#untilMs ?? this.#drains.get(stream.instance);
    if (untilMs !== undefined) this.#ask(stream, untilMs - performance.now());
  }

  remove(stream: OpenStream): void {
    this.#recall(stream);
    this.#streams.delete(stream);
  }

  /** Asks all, each by chance within `windowMs`, and whoever still comes. There is no way back: the worker ends. */
  drain(windowMs: number): void {
    this.#untilMs = performance.now() + windowMs;
    for (const stream of this.#streams.keys()) {
      // Its instance may have had more time than the worker has now.
      this.#recall(stream);
      this.#ask(stream, windowMs);
    }
  }

  /** The same for the streams of one instance, until `resume`: a request that was under way to it may still open one. */
  drainInstance(instance: string, windowMs: number): void {
    if (this.#drains.has(instance)) return;
    this.#drains.set(instance, performance.now() + windowMs);
    for (const stream of this.#streams.keys()) if (stream.instance === instance) this.#ask(stream, windowMs);
  }

  /** The instance is used again: whoever was not asked yet stays. */
  resume(instance: string): void {
    this.#gone.delete(instance);
    if (!this.#drains.delete(instance) || this.#untilMs !== null) return;
    for (const stream of this.#streams.keys()) if (stream.instance === instance) this.#recall(stream);
  }

  /** What a new config has: streams on any other instance drain, and those on one that came back stay. */
  keepOnly(there: ReadonlySet<string>, windowMs: number): void {
    const used = new Set<string>();
    for (const { instance } of this.#streams.keys()) if (instance !== '') used.add(instance);
    for (const instance of this.#gone) if (there.has(instance) || !used.has(instance)) this.resume(instance);
    for (const instance of used) {
      if (there.has(instance)) continue;
      this.#gone.add(instance);
      this.drainInstance(instance, windowMs);
    }
  }

  #ask(stream: OpenStream, windowMs: number): void {
    if (this.#streams.get(stream) !== null) return;
    const asked = (): void => {
      this.#streams.set(stream, 'asked');
      stream.ask();
    };
    this.#streams.set(stream, setTimeout(asked, Math.max(0, windowMs) * this.#rnd()));
  }

  /** Takes back what was not yet said. */
  #recall(stream: OpenStream): void {
    const asking = this.#streams.get(stream);
    if (asking === undefined || asking === null || asking === 'asked') return;
    clearTimeout(asking);
    this.#streams.set(stream, null);
  }
}

/** The window of a drain that has `graceMs` in all: half of it, so that each goodbye has time to be answered. */
export function drainWindowMs(graceMs: number, mostMs: number): number {
  return Math.min(graceMs / 2, mostMs);
}
