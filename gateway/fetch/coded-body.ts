// The body of a running fetch in a content coding: one reader of the fetch's own body, one coder, and a body that any number
// of clients read, so that however many want br of one fetch, it is made once. While the fetch keeps its body for the
// store this one is kept, too, and goes there beside it when both are whole. Breaks off where the fetch does.

import type { Coding } from '../http/accept-encoding.ts';
import type { Fields } from '../http/fields.ts';
import { codedTrailers } from '../policy/compressing.ts';
import type { WorkerState } from '../runtime.ts';
import { Coder } from '../store/coder.ts';
import { Body, type Reader, type Source } from './body.ts';
import type { Filling } from './filling.ts';

/** What is being coded now. */
const running = new WeakMap<Filling, Map<Coding, CodedBody>>();

/**
 * The filling's body in this coding, from its first byte. Null when that is gone, or when the worker codes as much as it
 * may. Who reads it says `readerLeft` when it leaves early.
 */
export function codedBody(state: WorkerState<Filling>, filling: Filling, coding: Coding): CodedBody | null {
  const found = running.get(filling)?.get(coding);
  if (found?.body.fromStart === true) return found;
  const { body } = filling;
  if (body === null || !body.fromStart || !state.codings.coderBegins()) return null;
  const coded = begin(state, filling, body, coding);
  if (coded === null) return null;
  const shared = running.get(filling) ?? new Map<Coding, CodedBody>();
  running.set(filling, shared.set(coding, coded));
  coded.start();
  return coded;
}

/** Null when zlib finds no memory for a coder. */
function begin(state: WorkerState<Filling>, filling: Filling, body: Body, coding: Coding): CodedBody | null {
  try {
    return new CodedBody(state, filling, body, coding);
  } catch (error) {
    state.codings.coderEnded();
    state.problem(`${coding} of a body on its way: ${String(error)}`);
    return null;
  }
}

export class CodedBody implements Source {
  readonly body: Body;
  readonly #state: WorkerState<Filling>;
  readonly #filling: Filling;
  readonly #identity: Body;
  readonly #coding: Coding;
  readonly #coder: Coder;
  #reader: Reader | null = null;
  #trailers: Fields = [];
  #keptBytes = 0;
  #over = false;

  constructor(state: WorkerState<Filling>, filling: Filling, identity: Body, coding: Coding) {
    this.#state = state;
    this.#filling = filling;
    this.#identity = identity;
    this.#coding = coding;
    this.body = new Body(this, identity.kept);
    this.#coder = new Coder(coding, {
      onData: (chunk) => this.#onData(chunk),
      onEnd: () => this.#onEnd(),
      onDrain: () => this.#reader?.resume(),
      onFault: (error) => this.#onFault(error),
    });
  }

  /** Begins to read what is to be coded; nothing comes out before the caller is done. */
  start(): void {
    this.#reader = this.#identity.read({
      write: (chunk) => {
        // The body outgrew the store, and what was made of it with it.
        if (this.body.kept && !this.#identity.kept) this.#release();
        return this.#coder.write(chunk);
      },
      end: (trailers) => {
        this.#trailers = codedTrailers(trailers);
        this.#coder.end();
      },
      abort: () => {
        this.#close();
        this.body.fail();
      },
    });
  }

  /** A reader left early. With nobody left the fetch is let go, unless the store wants the body. */
  readerLeft(): void {
    if (this.#over || this.body.readers > 0 || this.body.kept) return;
    this.#reader?.leave();
    this.#close();
    this.#filling.readerLeft();
  }

  pause(): void {
    this.#coder.pause();
  }

  resume(): void {
    this.#coder.resume();
  }

  #onData(chunk: Buffer): void {
    const state = this.#state;
    if (this.body.kept) {
      this.#keptBytes += chunk.length;
      state.keptBytes += chunk.length;
      if (state.keptBytes > state.keepBytes) this.#release();
    }
    this.body.push(chunk);
  }

  #onEnd(): void {
    const { outcome, storedKey } = this.#filling;
    if (this.body.kept && outcome.kind === 'head' && outcome.storing !== null) {
      const { store, codings } = this.#state;
      // It was purged, or the store had no room: nobody would ask for what was made of it.
      if (store.locate(storedKey) !== null)
        codings.put(store, storedKey, outcome.storing.head, this.#coding, this.body.chunks(), this.#identity.bytes);
    }
    this.#close();
    this.body.seal(this.#trailers);
  }

  /** zlib failed: those who read it are cut, never ended. */
  #onFault(error: Error): void {
    this.#state.problem(`${this.#coding} of a body on its way: ${error.message}`);
    this.#reader?.leave();
    this.#close();
    this.body.fail();
    this.#filling.readerLeft();
  }

  /** It is not kept for the store any more: those who read it go on, nobody new joins. */
  #release(): void {
    this.#giveBack();
    this.body.release();
    if (this.body.readers === 0) queueMicrotask(() => this.readerLeft());
  }

  #giveBack(): void {
    this.#state.keptBytes -= this.#keptBytes;
    this.#keptBytes = 0;
  }

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#coder.destroy();
    this.#state.codings.coderEnded();
    this.#giveBack();
    const shared = running.get(this.#filling);
    if (shared?.get(this.#coding) === this) shared.delete(this.#coding);
  }
}
