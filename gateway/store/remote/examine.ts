// Looks at a Redis as a gateway would use it, for `sluice doctor`: what it is, what it lets us do, how fast it answers. It leaves
// nothing behind but keys of its own that end within a minute. What is to be thought of it, findings.ts says.

import { hash } from 'node:crypto';
import type { SharedConfig } from '../../config/config.ts';
import { type Connection, connect, type RedisReply } from './client.ts';
import type { Examined, Right } from './findings.ts';

/** Commands that are timed, one after the other. */
const ROUNDS = 300;

/** Everything that is tried, or why it could not be reached. Never rejects. `now`: ms since the epoch. */
export async function examine(
  config: SharedConfig,
  now: () => number,
): Promise<{ readonly examined: Examined } | { readonly problem: string }> {
  let connection: Connection | null = null;
  try {
    connection = await connect(config, () => {});
    return { examined: await examineOver(connection, config, now) };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  } finally {
    connection?.destroy();
  }
}

async function examineOver(connection: Connection, config: SharedConfig, now: () => number): Promise<Examined> {
  const info = await factsOf(connection);
  const rights = await rightsOf(connection, config);
  const probe = `${config.prefix}doctor`;
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const beganMs = performance.now();
    await connection.get(probe).catch(() => null);
    times.push(performance.now() - beganMs);
  }
  times.sort((a, b) => a - b);
  const beganMs = now();
  // Not allowed: then the clock is not known, and rights say why.
  const time = (await connection.send(null, ['TIME']).catch(() => [])) as readonly RedisReply[];
  const tookMs = now() - beganMs;
  const redisMs = Number(time[0]) * 1000 + Number(time[1]) / 1000;
  const at = (part: number): number => times[Math.min(times.length - 1, Math.floor(part * times.length))] ?? 0;
  const gatewaysKey = `${config.prefix}gateways`;
  const members = await connection
    .send(gatewaysKey, ['ZRANGEBYSCORE', gatewaysKey, String(Math.round(redisMs - 7_000) || 0), '+inf'])
    .catch(() => []);
  return {
    ...info,
    rights,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    deadlineMs: config.deadlineMs,
    clockMs: beganMs + tookMs / 2 - redisMs,
    clockErrorMs: tookMs / 2,
    gateways: (members as readonly RedisReply[]).map((each) => String(each).replace(/^\S+ /, '')),
  };
}

type Facts = Pick<Examined, 'server' | 'version' | 'role' | 'nodes' | 'memoryBytes' | 'mostBytes' | 'policy'>;

/** INFO of every node that has keys; what it does not say is ''. */
async function factsOf(connection: Connection): Promise<Facts> {
  const replies = await connection.sendToAll(() => ['INFO']).catch(() => []);
  const nodes = replies.map((reply) => {
    const lines = String(reply).matchAll(/^([a-z_]+):(.*?)\r?$/gm);
    return new Map([...lines].map(([, name, value]) => [name as string, value as string]));
  });
  const [first] = nodes;
  const of = (name: string): string => first?.get(name) ?? '';
  const valkey = of('valkey_version');
  const sum = (name: string): number => nodes.reduce((all, node) => all + Number(node.get(name) ?? 0), 0);
  // One node without a bound has none.
  const isUnbounded = nodes.some((node) => Number(node.get('maxmemory') ?? 0) === 0);
  return {
    server: valkey === '' ? 'Redis' : 'Valkey',
    version: valkey === '' ? of('redis_version') : valkey,
    role: of('role'),
    nodes: nodes.length,
    memoryBytes: sum('used_memory'),
    mostBytes: isUnbounded ? 0 : sum('maxmemory'),
    policy: of('maxmemory_policy'),
  };
}

/** Every kind of command that gateways send, each tried once. */
async function rightsOf(connection: Connection, config: SharedConfig): Promise<readonly Right[]> {
  const key = `${config.prefix}doctor`;
  const value = Buffer.from([0, 255, 13, 10, 128]);
  const digest = hash('sha256', key, 'base64url');
  const rows: readonly (readonly [name: string, run: () => Promise<unknown>])[] = [
    ['TIME', () => connection.send(null, ['TIME'])],
    ['SET', () => connection.set(key, value, Date.now() + 60_000)],
    ['GET', () => connection.get(key)],
    ['GETRANGE', () => connection.send(key, ['GETRANGE', key, '0', '1'])],
    ['PTTL', () => connection.send(key, ['PTTL', key])],
    ['EVAL', () => connection.send(key, ['EVAL', "return redis.call('get', KEYS[1])", '1', key])],
    ['SCAN', () => connection.sendToAll(() => ['SCAN', '0', 'MATCH', `${key}*`, 'COUNT', '10'])],
    ['PUBLISH', () => connection.send(null, ['PUBLISH', `${config.prefix}f:${digest}`, 'doctor'])],
    ['XADD', () => connection.send(`${key}:log`, ['XADD', `${key}:log`, '*', 'e', 'doctor'])],
    ['XRANGE', () => connection.send(`${key}:log`, ['XRANGE', `${key}:log`, '-', '+', 'COUNT', '1'])],
    ['XREVRANGE', () => connection.send(`${key}:log`, ['XREVRANGE', `${key}:log`, '+', '-', 'COUNT', '1'])],
    ['XREAD', () => connection.send(`${key}:log`, ['XREAD', 'COUNT', '1', 'STREAMS', `${key}:log`, '0'])],
    ['ZADD', () => connection.send(`${key}:set`, ['ZADD', `${key}:set`, '1', 'doctor'])],
    ['ZRANGEBYSCORE', () => connection.send(`${key}:set`, ['ZRANGEBYSCORE', `${key}:set`, '0', '2'])],
    ['ZREMRANGEBYSCORE', () => connection.send(`${key}:set`, ['ZREMRANGEBYSCORE', `${key}:set`, '0', '2'])],
    ['RPUSH', () => connection.send(`${key}:list`, ['RPUSH', `${key}:list`, 'doctor'])],
    ['PEXPIRE', () => connection.send(`${key}:list`, ['PEXPIRE', `${key}:list`, '60000'])],
    ['LRANGE', () => connection.send(`${key}:list`, ['LRANGE', `${key}:list`, '0', '0'])],
    ['UNLINK', () => connection.send(`${key}:log`, ['UNLINK', `${key}:log`])],
    ['SUBSCRIBE', () => subscribes(config, `${config.prefix}f:${digest}`)],
  ];
  const rights: Right[] = [];
  for (const [name, run] of rows) {
    const problem = await run().then(
      () => '',
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
    rights.push({ name, problem });
  }
  return rights;
}

async function subscribes(config: SharedConfig, channel: string): Promise<void> {
  const connection = await connect(config, () => {});
  try {
    await connection.subscribe(channel, () => {});
  } finally {
    connection.destroy();
  }
}
