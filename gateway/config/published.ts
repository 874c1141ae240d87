// What control publishes to every worker: the config with everything resolved that only control may find out.

import type { Config, ServerAddress } from './config.ts';

/** One server process with its place in the vitals table. */
export interface InstanceSpec {
  /** "api/127.0.0.1:8001" or "api/#1" for a managed one: stable over reloads and restarts. */
  readonly id: string;
  readonly address: ServerAddress;
  readonly weight: number;
  /** Lower ones first. */
  readonly tier: number;
  /** Row in the vitals table; one identity keeps its row over reloads. */
  readonly slot: number;
}

export interface CertificatePair {
  /** Lower case: exact names, "*.suffix"; the first pair of the list is the default. */
  readonly hosts: readonly string[];
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  readonly notAfterMs: number;
}

/** Rows of routes and upstreams in the traffic table, by name; a route without one shares its row with others. */
export interface TrafficRows {
  readonly routes: Readonly<Record<string, number>>;
  readonly upstreams: Readonly<Record<string, number>>;
}

export interface Published {
  /** Counts up by one with every applied config. */
  readonly version: number;
  readonly config: Config;
  readonly certificates: readonly CertificatePair[];
  /** 48 bytes, the same for all workers, so that TLS sessions resume on any of them. */
  readonly ticketKeys: Uint8Array;
  /** The port http is redirected to; null = there is no https listener. */
  readonly httpsPort: number | null;
  /** Client connections one worker may hold. */
  readonly connectionsPerWorker: number;
  readonly instances: Readonly<Record<string, readonly InstanceSpec[]>>;
  /** Rows of the upstreams themselves in the vitals table, by name. */
  readonly upstreamSlots: Readonly<Record<string, number>>;
  readonly trafficRows: TrafficRows;
  /** What sticky cookies are made with where an upstream names no secret. */
  readonly stickySecret: string;
}
