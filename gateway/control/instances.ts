// Which instance owns which row of the vitals table. One identity keeps its row over reloads and restarts, so that its
// health and its counts survive; a row goes to another identity only after `retire` said that no worker reads it any
// more. It never touches the table itself.

import type { Config, ServerAddress } from '../config/config.ts';
import type { InstanceSpec } from '../config/published.ts';

export type SpecsOutcome =
  | { readonly ok: true; readonly specs: Record<string, InstanceSpec[]> }
  | { readonly ok: false; readonly problem: string };

export interface InstanceRegistry {
  /**
   * The instances of a config with their rows. Known identities keep theirs; new ones reserve a row. Nothing is freed
   * by this, so that a config may still be refused afterwards; call `commit` once it is applied.
   * `managed`: addresses by upstream name, for upstreams with a command.
   */
  specs(config: Config, managed: Readonly<Record<string, readonly ServerAddress[]>>): SpecsOutcome;
  /** Says that these specs now apply. Returns those that left; each keeps its row until `retire`. */
  commit(
    specs: Readonly<Record<string, readonly InstanceSpec[]>>,
  ): readonly { readonly id: string; readonly slot: number }[];
  /** The row of an instance that left is no longer read by any worker and may be given away. Ignored for one that came back. */
  retire(id: string): void;
  /** Rows in use, those of leaving instances included. */
  used(): number;
}

/** `slots`: rows of the vitals table. */
export function createInstanceRegistry(options: { readonly slots: number }): InstanceRegistry {
  const slotOf = new Map<string, number>();
  const leaving = new Set<string>();
  const free: number[] = [];
  let unused = 0;

  function take(): number | null {
    const again = free.pop();
    if (again !== undefined) return again;
    return unused < options.slots ? unused++ : null;
  }

  return {
    specs(config, managed) {
      const specs: Record<string, InstanceSpec[]> = Object.create(null);
      const reserved: string[] = [];
      for (const upstream of config.upstreams) {
        const list: InstanceSpec[] = [];
        const seen = new Set<string>();
        const servers =
          upstream.managed === null
            ? upstream.servers.map((server) => ({ name: addressName(server.address), ...server }))
            : (managed[upstream.name] ?? []).map((address, at) => ({
                name: `#${at + 1}`,
                address,
                weight: 1,
                tier: 0,
              }));
        for (const server of servers) {
          const id = unique(`${upstream.name}/${server.name}`, seen);
          let slot = slotOf.get(id) ?? null;
          if (slot === null) {
            slot = take();
            if (slot === null) {
              for (const name of reserved) release(name);
              return { ok: false, problem: `more than ${options.slots} instances over all upstreams` };
            }
            slotOf.set(id, slot);
            reserved.push(id);
          }
          list.push({ id, address: server.address, weight: server.weight, tier: server.tier, slot });
        }
        specs[upstream.name] = list;
      }
      return { ok: true, specs };
    },
    commit(specs) {
      const here = new Set(Object.values(specs).flatMap((list) => list.map((spec) => spec.id)));
      const left: { id: string; slot: number }[] = [];
      for (const [id, slot] of slotOf) {
        if (here.has(id)) {
          leaving.delete(id);
        } else if (!leaving.has(id)) {
          leaving.add(id);
          left.push({ id, slot });
        }
      }
      return left;
    },
    retire(id) {
      if (leaving.has(id)) release(id);
    },
    used: () => slotOf.size,
  };

  function release(id: string): void {
    const slot = slotOf.get(id);
    leaving.delete(id);
    slotOf.delete(id);
    if (slot !== undefined) free.push(slot);
  }
}

/** "127.0.0.1:8001", "[::1]:8001" or "unix:/run/api.sock". */
export function addressName(address: ServerAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}

/** The same server listed twice is two instances; the second is told apart by "~2". */
function unique(id: string, seen: Set<string>): string {
  let name = id;
  for (let count = 2; seen.has(name); count++) name = `${id}~${count}`;
  seen.add(name);
  return name;
}
