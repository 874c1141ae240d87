// What the edge is told by the composition root, and the one object through which all connections see the settings that
// hold now. Types only, apart from that object; nothing here opens a socket.

import type { SecureContext } from 'node:tls';
import type { LimitsConfig, ListenAddress } from '../config/config.ts';
import type { Downstream, UpgradeRequest } from '../request/downstream.ts';
import type { Exchange } from '../request/exchange.ts';
import type { Repeats } from '../request/repeats.ts';

export interface EdgeTls {
  /** The context for a server name in lower case; '' and unknown names give the default one. */
  choose(servername: string): SecureContext;
  /** Holds in the default context; here for the log only. */
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3';
  /** 48 bytes, the same on all workers, so that sessions resume on any of them. */
  readonly ticketKeys: Buffer;
}

export interface EdgeSettings {
  readonly http: readonly ListenAddress[];
  readonly https: readonly ListenAddress[];
  readonly limits: LimitsConfig;
  readonly http2: boolean;
  readonly tls: EdgeTls | null;
  /** Open connections of this worker; one more is accepted and closed at once. */
  readonly connections: number;
}

export interface EdgeOptions {
  readonly onExchange: (downstream: Downstream) => Exchange | undefined;
  readonly onUpgrade: (upgrade: UpgradeRequest) => void;
  /** Answers of the moment under the config of the moment; null = none are kept. */
  readonly repeats: () => Repeats | null;
  /** Something a peer did wrong, for the log; at most a few dozen per second, the rest is summed up. */
  readonly onProblem: (word: string, detail: string) => void;
  /** Called with the number of open connections whenever it changes. */
  readonly onConnections: (open: number) => void;
  readonly reusePort: boolean;
  /** HTTP/1.1 requests that allow it are answered without Node's parser and response objects (the express lane). */
  readonly lane: boolean;
}

/** A listening address as it really is. */
export interface EdgeAddress {
  readonly protocol: 'http' | 'https';
  readonly text: string;
  /** 0 for a unix socket. */
  readonly port: number;
}

export interface EdgeStats {
  readonly connections: number;
  /** Requests, streams and tunnels in progress. */
  readonly exchanges: number;
  /** Connections closed at once because of `connections`, since the start. */
  readonly refused: number;
}

/** What every connection of one worker shares. `settings` is replaced as a whole by a commit. */
export interface EdgeContext {
  settings: EdgeSettings;
  readonly onExchange: (downstream: Downstream) => Exchange | undefined;
  readonly onUpgrade: (upgrade: UpgradeRequest) => void;
  readonly repeats: () => Repeats | null;
  readonly lane: boolean;
  /** Bounded; may be called as often as peers like. */
  readonly problem: (word: string, detail: string) => void;
  /** Exchanges that came to their end, well or not, since the start. */
  finished: number;
}
