// A stream of events (text/event-stream without a length) on its way to one client. It can be ended from our side, and then
// ends cleanly behind a whole event, so that an EventSource connects anew without having lost or halved one. The one place
// where a body that the upstream did not end gets a clean end; never used for anything else.

import type { Sink } from '../fetch/body.ts';
import { EventScanner } from '../http/event-stream.ts';
import type { Fields } from '../http/fields.ts';
import type { OpenStream } from '../upstream/open-streams.ts';
import type { Downstream } from './downstream.ts';

export class EventsToClient implements Sink, OpenStream {
  readonly instance: string;
  readonly #downstream: Downstream;
  readonly #leave: () => void;
  readonly #scanner = new EventScanner();
  /** open: all passes. ending: until an event ends. over: nothing passes any more. */
  #state: 'open' | 'ending' | 'over' = 'open';

  /** `leave` is called, later and once, when it was ended from our side: the upstream is not needed any more. */
  constructor(downstream: Downstream, instance: string, leave: () => void) {
    this.#downstream = downstream;
    this.instance = instance;
    this.#leave = leave;
  }

  write(chunk: Buffer): boolean {
    if (this.#state === 'over') return true;
    if (this.#state === 'open') {
      this.#scanner.push(chunk);
      return this.#downstream.write(chunk);
    }
    const upTo = this.#scanner.pushEvent(chunk);
    const goesOn = this.#downstream.write(chunk.subarray(0, upTo));
    if (this.#scanner.atBoundary) this.#end();
    return goesOn;
  }

  end(trailers: Fields): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#downstream.end(trailers);
  }

  abort(): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#downstream.abort();
  }

  // As an open stream: without the trailers and the end of the upstream's.

  ask(): void {
    if (this.#state !== 'open') return;
    this.#state = 'ending';
    if (this.#scanner.atBoundary) this.#end();
  }

  #end(): void {
    this.#state = 'over';
    this.#downstream.end([]);
    // Later: the body may be in the middle of giving us a chunk.
    queueMicrotask(this.#leave);
  }
}
