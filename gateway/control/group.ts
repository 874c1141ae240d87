// A process group as one thing: signalled together, and gone when no living process is left in it. Processes that ended
// and wait for somebody to collect them (zombies, which stay for ever where process 1 is no init) do not count.

import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';

/** process.kill: a negative pid is a group, signal 0 only asks; throws ESRCH where nobody is. */
export type SendSignal = (pid: number, signal: NodeJS.Signals | 0) => unknown;

const POLL_FIRST_MS = 4;
const POLL_MOST_MS = 50;

/** False when no process of the group is left, zombies included. */
export function signalGroup(send: SendSignal, group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    send(-group, signal);
    return true;
  } catch (error) {
    // EPERM: they are there, but changed their user; they cannot be ended by us.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Waits until the group is empty, by polling: there is no event for the end of a grandchild. False when `withinMs` ran out. */
export async function groupGone(send: SendSignal, group: number, withinMs: number): Promise<boolean> {
  let waitedMs = 0;
  for (let gapMs = POLL_FIRST_MS; signalGroup(send, group, 0); gapMs = Math.min(POLL_MOST_MS, gapMs * 1.5)) {
    if (gapMs === POLL_MOST_MS && (await isAllZombies(group))) return true;
    if (waitedMs >= withinMs) return false;
    const stepMs = Math.min(gapMs, withinMs - waitedMs);
    await pause(stepMs);
    waitedMs += stepMs;
  }
  return true;
}

/** By /proc; false where there is none. */
async function isAllZombies(group: number): Promise<boolean> {
  let members = 0;
  for (const name of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(name)) continue;
    const text = await readFile(`/proc/${name}/stat`, 'latin1').catch(() => '');
    // "pid (name) state parent group ...": the name may hold spaces and brackets.
    const [state, , inGroup] = text.slice(text.lastIndexOf(')') + 2).split(' ');
    if (Number(inGroup) !== group) continue;
    if (state !== 'Z' && state !== 'X') return false;
    members++;
  }
  return members > 0;
}
