// The undici client that our pools are made of. It exists because of one fault of undici 8.12.4: when a request is
// refused inside dispatch (a field or path it will not send), dispatch returns false, the pool takes that for "busy" and
// waits for a drain that never comes. As many such requests as the pool has connections block it for good.

import { Client, type Dispatcher } from 'undici';
import type { Line } from './dial.ts';

/** What SafeClient needs of a handler. */
export interface LineHandler extends Dispatcher.DispatchHandler {
  /** undici refused the request before it got a place in the queue. */
  readonly rejected: boolean;
  /** Told which client the request goes to, before it does. */
  assign(line: Line): void;
}

export class SafeClient extends Client {
  readonly #line: Line;

  constructor(origin: URL, options: Client.Options, line: Line) {
    super(origin, options);
    this.#line = line;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: LineHandler): boolean {
    handler.assign(this.#line);
    const free = super.dispatch(options, handler);
    // A refused request took no place: the client is as free as it was, or the pool would not have chosen it.
    return free || (handler.rejected && !this.closed && !this.destroyed);
  }
}
