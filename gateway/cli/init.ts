// `sluice init`: writes a commented gateway.yaml to start from.

import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { EXIT, type Finish, type Host } from './host.ts';
import { FASTAPI_ADVICE, FASTAPI_TEMPLATE, TEMPLATE } from './templates.ts';

const EXAMPLES = `
Examples:
  sluice init
  sluice init --fastapi
  sluice init --force                   replace what is there
`;

const FILE = 'gateway.yaml';

/** Adds the command to the program. */
export function addInit(program: Command, host: Host, finish: Finish): void {
  program
    .command('init')
    .description('Write a commented gateway.yaml to start from.')
    .option('--fastapi', 'for a FastAPI application under Uvicorn')
    .option('--force', 'replace an existing file')
    .addHelpText('after', EXAMPLES)
    .action(async (options: { readonly fastapi?: boolean; readonly force?: boolean }) => {
      finish(await init(options.fastapi === true, options.force === true, host));
    });
}

async function init(fastapi: boolean, force: boolean, host: Host): Promise<number> {
  try {
    // wx: a file that is there is never replaced by accident, not even one made this moment.
    await writeFile(resolve(host.folder, FILE), fastapi ? FASTAPI_TEMPLATE : TEMPLATE, { flag: force ? 'w' : 'wx' });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    const reason =
      code === 'EEXIST'
        ? `${FILE} is already here; sluice init --force replaces it`
        : `${FILE} cannot be written: ${error instanceof Error ? error.message : String(error)}`;
    host.writeError(`sluice: ${reason}\n`);
    return EXIT.runtime;
  }
  host.writeOut(
    `wrote ${FILE}\n${fastapi ? FASTAPI_ADVICE : ''}\nNext:\n  sluice check    say what is wrong with it\n  sluice run      run it\n`,
  );
  return EXIT.ok;
}
