// The undici client that our pools are made of. It exists because of one fault of undici 8.12.4: when a request is
// refused inside dispatch (a field or path it will not send), dispatch returns false, the pool takes that for "busy" and
// waits for a drain that never comes. As many such requests as the pool has connections block it for good.

import { Client, type Dispatcher } from 'undici';
import type { Line } from './dial.ts';

/** What SafeClient needs of a handler. */
export interface LineHandler extends Dispatcher.DispatchHandler {
  /** undici refused the request before it got a place in the queue. */
  readonly rejected: boolean;
  /** It must not go to a connection that was used before. */
  readonly wantsFresh: boolean;
  /** Told which client the request goes to, before it does. */
  assign(line: Line): void;
  /** Some of its body was given to the connection; all of the request was. */
  onBodySent(): void;
  onRequestSent(): void;
}

export class SafeClient extends Client {
  readonly #line: Line;
  readonly #isStale: (line: Line) => boolean;

  /** `isStale`: an idle connection that the server may be about to close. It is replaced rather than used. */
  constructor(origin: URL, options: Client.Options, line: Line, isStale: (line: Line) => boolean) {
    super(origin, options);
    this.#line = line;
    this.#isStale = isStale;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: LineHandler): boolean {
    const line = this.#line;
    // Destroyed and not yet closed, undici lets the request wait for the close and dials anew.
    if (line.idleSinceMs > 0 && line.socket?.destroyed === false && (handler.wantsFresh || this.#isStale(line))) {
      line.idleSinceMs = 0;
      line.socket.destroy();
    }
    handler.assign(line);
    const free = super.dispatch(options, handler);
    // A refused request took no place: the client is as free as it was, or the pool would not have chosen it.
    return free || (handler.rejected && !this.closed && !this.destroyed);
  }
}
