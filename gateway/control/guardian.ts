// Ends managed processes when the gateway itself was killed and could not. A tiny shell waits on a pipe that only the
// gateway holds: when it closes while process groups are still listed, their owner is gone, and the groups get SIGTERM
// and a little later SIGKILL. It never acts while the gateway lives.

import { type ChildProcess, spawn } from 'node:child_process';
import type { ControlLog } from './log.ts';

export interface Guardian {
  /** A process group was started. */
  add(group: number): void;
  /** It is gone; its number may belong to somebody else from now on. */
  remove(group: number): void;
  /** Forgets every group and lets the shell end. */
  close(): void;
}

/** Groups stand between spaces. `read` fails at end of file, which is the gateway's death or `close`. */
const SCRIPT = `groups=" "
while read -r word group; do
  case "$word" in
    add) groups="$groups$group " ;;
    remove) case "$groups" in *" $group "*) groups="\${groups%% $group *} \${groups#* $group }" ;; esac ;;
    close) exit 0 ;;
  esac
done
[ "$groups" = " " ] && exit 0
for group in $groups; do kill -s TERM -- "-$group" 2>/dev/null; done
sleep "$1"
for group in $groups; do kill -s KILL -- "-$group" 2>/dev/null; done
exit 0`;

/** `graceMs`: between SIGTERM and SIGKILL, in whole seconds upwards. Without /bin/sh it says so and does nothing. */
export function createGuardian(options: { readonly graceMs: number; readonly log: ControlLog }): Guardian {
  const seconds = String(Math.max(1, Math.ceil(options.graceMs / 1000)));
  let shell: ChildProcess | null = spawn('/bin/sh', ['-c', SCRIPT, 'sluice-guardian', seconds], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  const lost = (why: string) => {
    if (shell === null) return;
    shell = null;
    options.log.warn(`no guardian (${why}): managed processes would outlive a gateway that is killed`);
  };
  shell.once('error', (error) => lost(error.message));
  shell.once('exit', () => lost('it ended'));
  shell.stdin?.on('error', (error) => lost(error.message));
  // The guardian must not keep the gateway's event loop alive.
  shell.unref();
  const tell = (line: string) => shell?.stdin?.write(line);
  return {
    add: (group) => void tell(`add ${group}\n`),
    remove: (group) => void tell(`remove ${group}\n`),
    close() {
      const ending = shell;
      shell = null;
      ending?.stdin?.end('close\n');
    },
  };
}
