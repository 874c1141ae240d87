// `resolve` of an upstream in gateway.yaml: servers that are found by a name in DNS. Pure.

import { isIP } from 'node:net';
import * as z from 'zod';
import { parseServer } from './addresses.ts';
import type { ResolveConfig } from './config.ts';
import { type Parsed, parsed, refused } from './parsed.ts';
import { duration, forms, scalar } from './scalars.ts';

type Name = Pick<ResolveConfig, 'tls' | 'host' | 'port' | 'srv'>;

function readName(input: unknown): Parsed<Name> {
  const advice = 'must be "http://name:port", "https://name" or "srv+http://_service._tcp.name"';
  if (typeof input !== 'string') return refused('wrong-type', advice);
  const found = /^srv\+(https?):\/\/([A-Za-z0-9_.-]{1,253})$/.exec(input);
  if (found !== null)
    return parsed({ tls: found[1] === 'https', host: (found[2] as string).toLowerCase(), port: 0, srv: true });
  const server = parseServer(input);
  if (!server.ok) return server;
  if (server.value.kind === 'unix') return refused('bad-address', advice);
  if (isIP(server.value.host) !== 0) return refused('bad-address', 'is an address and not a name: use servers');
  const { tls, host, port } = server.value;
  return parsed({ tls, host, port, srv: false });
}

const name = (): z.ZodType<Name, unknown> => scalar(readName, { type: 'string', 'x-type': 'URL with a name' });

const nameserver = scalar<string>(
  (input) => {
    const advice = 'must be the address of a name server, such as 10.0.0.2 or 10.0.0.2:53';
    if (typeof input !== 'string') return refused('wrong-type', advice);
    const [, six, four, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?$/.exec(input) ?? [];
    const plain = isIP(input) !== 0;
    const isGood = plain || (isIP(six ?? four ?? '') !== 0 && Number(port ?? 53) >= 1 && Number(port ?? 53) <= 65_535);
    return isGood ? parsed(input) : refused('bad-address', advice);
  },
  { type: 'string', 'x-type': 'address' },
);

const refresh = forms<number | null>('ttl, or a duration', [
  scalar<number | null>((input) => (input === 'ttl' ? parsed(null) : refused('wrong-type', 'must be ttl')), {
    const: 'ttl',
    'x-type': 'ttl',
  }),
  duration({ minMs: 1000 }).transform((ms): number | null => ms),
]);

export const resolveSchema: z.ZodType<ResolveConfig, unknown> = forms<ResolveConfig>(
  'a URL with a name such as "http://api.internal:8000", or { dns: , refresh: }',
  [
    name().transform((one): ResolveConfig => ({ ...one, refreshMs: null, nameservers: [] })),
    z
      .strictObject({
        dns: name().describe(
          'All A and AAAA records of the name, or by srv+http:// its SRV records with their ports, priorities and weights.',
        ),
        refresh: refresh
          .prefault('ttl')
          .describe('When the name is asked for again; ttl: when its records expire, after 1 s to 5 min.'),
        nameservers: z.array(nameserver).prefault([]).describe('Whom to ask; by default whom the system asks.'),
      })
      .transform(
        (written): ResolveConfig => ({ ...written.dns, refreshMs: written.refresh, nameservers: written.nameservers }),
      ),
  ],
).describe(
  'Instead of servers: every address that a name has in DNS, followed as they change. What was good is kept while DNS fails; an address is let go when two answers lack it.',
);
