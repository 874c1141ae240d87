// What is to be thought of a Redis behind the cache, and what to change: for `sluice doctor`. Pure.

/** One kind of command, and what Redis said against it; '' = nothing. */
export interface Right {
  readonly name: string;
  readonly problem: string;
}

export interface Examined {
  readonly server: 'Redis' | 'Valkey';
  /** "7.0.15"; '' = it does not say. */
  readonly version: string;
  /** "master", "slave"; '' = it does not say. */
  readonly role: string;
  /** Nodes that have keys. */
  readonly nodes: number;
  readonly memoryBytes: number;
  /** maxmemory, of all nodes; 0 = no bound. */
  readonly mostBytes: number;
  /** maxmemory-policy; '' = it does not say. */
  readonly policy: string;
  readonly rights: readonly Right[];
  /** Times of a GET, ms. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** cache.shared.deadline. */
  readonly deadlineMs: number;
  /** This machine's clock minus that of Redis, NaN = not known, and how wrong that may be, ms. */
  readonly clockMs: number;
  readonly clockErrorMs: number;
  /** That are there now. */
  readonly gateways: readonly string[];
}

export interface Finding {
  readonly what: string;
  /** fail: the shared tier does not work. warn: it works worse than it could. */
  readonly grade: 'ok' | 'warn' | 'fail';
  readonly seen: string;
  /** What to change; '' = nothing. */
  readonly advice: string;
}

const OLDEST: readonly [major: number, minor: number] = [6, 2];
/** Gateways correct clocks that differ; beyond this, ms, something is wrong with one of them. */
const CLOCK_MS = 1_000;
const GIB = 1_073_741_824;

/** All findings, in the order in which they matter. */
export function findingsOf(examined: Examined): readonly Finding[] {
  return [
    versionFinding(examined),
    roleFinding(examined),
    rightsFinding(examined),
    boundFinding(examined),
    policyFinding(examined),
    latencyFinding(examined),
    clockFinding(examined),
    fleetFinding(examined),
  ];
}

function finding(what: string, grade: Finding['grade'], seen: string, advice = ''): Finding {
  return { what, grade, seen, advice };
}

function versionFinding({ server, version, nodes }: Examined): Finding {
  const [major = Number.NaN, minor = 0] = version === '' ? [] : version.split('.').map(Number);
  const where = nodes > 1 ? `, ${nodes} nodes` : '';
  if (Number.isNaN(major))
    return finding('version', 'warn', 'INFO does not say it', 'allow INFO to this user (ACL: +info)');
  const isOld = major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1]);
  const seen = `${server} ${version}${where}`;
  return isOld
    ? finding('version', 'fail', seen, `use Redis ${OLDEST.join('.')} or newer, or Valkey`)
    : finding('version', 'ok', seen);
}

function roleFinding({ role }: Examined): Finding {
  if (role !== 'slave') return finding('role', 'ok', role === '' ? 'not known' : role);
  return finding(
    'role',
    'fail',
    'a replica: nothing can be written',
    'name the master, or use mode: sentinel, which follows it',
  );
}

function rightsFinding({ rights }: Examined): Finding {
  const refused = rights.filter(({ problem }) => problem !== '');
  const [first] = refused;
  if (first === undefined) return finding('rights', 'ok', `all ${rights.length} kinds of commands`);
  const names = refused.map(({ name }) => name).join(', ');
  const isAcl = /NOPERM/.test(first.problem);
  return finding(
    'rights',
    'fail',
    `refused: ${names} (${first.problem})`,
    isAcl
      ? 'ACL SETUSER name on >password ~sluice:* &sluice:* +@read +@write +@pubsub +@scripting +@connection +time +info (with your prefix)'
      : 'see what Redis says',
  );
}

function boundFinding({ memoryBytes, mostBytes }: Examined): Finding {
  const used = size(memoryBytes);
  if (mostBytes > 0) return finding('memory', 'ok', `${used} of ${size(mostBytes)}`);
  return finding(
    'memory',
    'warn',
    `${used}, no bound`,
    'CONFIG SET maxmemory 2gb: a cache fills whatever there is; docs/scale.md says how much is enough',
  );
}

function policyFinding({ policy, mostBytes }: Examined): Finding {
  const best = 'CONFIG SET maxmemory-policy volatile-lfu: only answers are evicted, those that nobody asks for first';
  if (policy === '') return finding('eviction', 'warn', 'INFO does not say it', 'allow INFO to this user (ACL: +info)');
  if (policy === 'noeviction')
    return finding(
      'eviction',
      mostBytes > 0 ? 'fail' : 'warn',
      mostBytes > 0 ? 'noeviction: once it is full nothing more is stored' : 'noeviction',
      best,
    );
  if (policy === 'allkeys-random' || policy === 'volatile-random')
    return finding('eviction', 'warn', `${policy}: what is asked for most goes as easily as anything`, best);
  if (policy === 'volatile-ttl')
    return finding('eviction', 'warn', `${policy}: what was stored longest ago goes`, best);
  return finding('eviction', 'ok', policy);
}

function latencyFinding({ p50Ms, p99Ms, deadlineMs }: Examined): Finding {
  const seen = `p50 ${p50Ms.toFixed(2)} ms, p99 ${p99Ms.toFixed(2)} ms, deadline ${deadlineMs} ms`;
  if (p99Ms > deadlineMs)
    return finding(
      'latency',
      'fail',
      seen,
      'a nearer Redis, or a longer cache.shared.deadline: now it is often not waited for',
    );
  if (p99Ms > deadlineMs / 2)
    return finding('latency', 'warn', seen, 'a nearer Redis, or a longer cache.shared.deadline');
  if (p50Ms > 5) return finding('latency', 'warn', seen, 'a nearer Redis: every miss waits so long before it is one');
  return finding('latency', 'ok', seen);
}

function clockFinding({ clockMs, clockErrorMs }: Examined): Finding {
  if (Number.isNaN(clockMs)) return finding('clock', 'warn', 'TIME is not allowed, so it is not known');
  const ahead = clockMs >= 0 ? 'ahead of' : 'behind';
  const seen = `${Math.abs(clockMs).toFixed(0)} ms ${ahead} Redis, give or take ${Math.max(1, clockErrorMs).toFixed(0)} ms`;
  return Math.abs(clockMs) - clockErrorMs > CLOCK_MS
    ? finding(
        'clock',
        'warn',
        seen,
        'NTP on both machines; gateways correct for it, but Date and Age go by their own clocks',
      )
    : finding('clock', 'ok', seen);
}

function fleetFinding({ gateways }: Examined): Finding {
  return finding('gateways', 'ok', gateways.length === 0 ? 'none runs now' : gateways.join(', '));
}

function size(bytes: number): string {
  if (bytes >= GIB) return `${(bytes / GIB).toFixed(1)} GiB`;
  return `${Math.round(bytes / 1_048_576)} MiB`;
}
