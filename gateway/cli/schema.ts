// `sluice schema`: what gateway.yaml may hold, as JSON Schema for editors or as Markdown for people.

import type { Command } from 'commander';
import { EXIT, type Finish, type Host } from './host.ts';

const EXAMPLES = `
Examples:
  sluice schema > gateway.schema.json
      then, as the first line of gateway.yaml, for completion in editors:
      # yaml-language-server: $schema=gateway.schema.json
  sluice schema --markdown | less
`;

/** Adds the command to the program. */
export function addSchema(program: Command, host: Host, finish: Finish): void {
  program
    .command('schema')
    .description('Print the JSON Schema of gateway.yaml, or its reference.')
    .option('--markdown', 'print every key with type, default and meaning')
    .addHelpText('after', EXAMPLES)
    .action(async (options: { readonly markdown?: boolean }) => {
      const { jsonSchemaText, referenceText } = await import('../config/emit.ts');
      host.writeOut(options.markdown === true ? referenceText() : jsonSchemaText());
      finish(EXIT.ok);
    });
}
