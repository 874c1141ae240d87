// Hands out the rows of the traffic table, and says what is in them by the names of the config.

import type { Config } from '../config/config.ts';
import type { TrafficRows } from '../config/published.ts';
import {
  createTraffic,
  FIRST_ROUTE_ROW,
  mergeTraffic,
  NO_ROUTE_ROW,
  OTHER_ROUTES_ROW,
  TRAFFIC_ROWS,
  type Traffic,
  TrafficReader,
} from '../observe/traffic.ts';
import { createRows } from './rows.ts';

/** Rows for routes of their own; further ones share one. */
const ROUTE_ROWS = TRAFFIC_ROWS.routes - FIRST_ROUTE_ROW;

export interface TrafficBook {
  /** What workers count in. */
  readonly memory: SharedArrayBuffer;
  /** Rows for a config that is about to be published. */
  rows(config: Config): TrafficRows;
  ofRoute(rows: TrafficRows, name: string): Traffic;
  ofUpstream(rows: TrafficRows, name: string): Traffic;
  /** Requests that no route was found for. */
  withoutRoute(): Traffic;
  /** Those of routes beyond the last row, together. */
  ofOtherRoutes(): Traffic;
  /** All requests since the start, also those of routes that left meanwhile. */
  total(): Traffic;
}

export function createTrafficBook(workers: number): TrafficBook {
  const memory = createTraffic(workers);
  const reader = new TrafficReader(memory);
  const routes = createRows(FIRST_ROUTE_ROW, ROUTE_ROWS, (row) => reader.begin('routes', row));
  const upstreams = createRows(0, TRAFFIC_ROWS.upstreams, (row) => reader.begin('upstreams', row));
  const nothing = mergeTraffic([]);
  return {
    memory,
    rows(config) {
      const names = [...new Set(config.routes.map(({ name }) => name))];
      return {
        routes: routes.rows(names.slice(0, ROUTE_ROWS)) ?? {},
        upstreams: upstreams.rows(config.upstreams.map(({ name }) => name)) ?? {},
      };
    },
    ofRoute: (rows, name) => of('routes', rows.routes[name]),
    ofUpstream: (rows, name) => of('upstreams', rows.upstreams[name]),
    withoutRoute: () => reader.of('routes', NO_ROUTE_ROW),
    ofOtherRoutes: () => reader.of('routes', OTHER_ROUTES_ROW),
    total() {
      const rows = [NO_ROUTE_ROW, OTHER_ROUTES_ROW, ...routes.owners.values()];
      return mergeTraffic(rows.map((row) => reader.of('routes', row)));
    },
  };

  function of(kind: 'routes' | 'upstreams', row: number | undefined): Traffic {
    return row === undefined ? nothing : reader.of(kind, row);
  }
}
