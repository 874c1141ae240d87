// Loaded into every test file's process by scripts/test.mjs: when the tests are over and something still keeps the process
// alive, it ends the process and names what that is. So a forgotten server or child is a failed file, not a hanging run.

import { after } from 'node:test';

const PATIENCE_MS = 10_000;

after(() => {
  // Unreferenced: a process that has nothing left ends at once, without waiting for this.
  setTimeout(() => {
    process.stderr.write(`still open after all tests: ${process.getActiveResourcesInfo().join(', ')}\n`);
    process.exit(1);
  }, PATIENCE_MS).unref();
});

// Nothing keeps the process alive any more. Node's own teardown may wait for ever for a socket that was reset while it was being
// closed (seen once, spinning in Environment::CleanupHandles); process.exit does without it. One turn later: the runner
// has its own work to do here first.
let turns = 0;
process.on('beforeExit', () => {
  turns++;
  if (turns === 1) setImmediate(() => {});
  else process.exit();
});
