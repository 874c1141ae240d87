// What `--id` shows: each message on both sides of the gateway as text, in the order of time.

import type { Field } from './fields.ts';

/** Takes one message: who did what, and the message as text. */
export type Trace = (who: string, message: string) => void;

/** A message as indented text: its first line, its fields, its body. */
export function formatMessage(first: string, fields: readonly Field[], body: string): string {
  const lines = [first, ...fields.map(([name, value]) => `${name}: ${value}`)];
  if (body !== '') lines.push('', body);
  return lines.map((line) => `    ${line}`.trimEnd()).join('\n');
}

/** A trace that writes each message with the time since its making. */
export function createTrace(write: (text: string) => void): Trace {
  const startedMs = performance.now();
  return (who, message) => {
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(3);
    write(`${seconds} ${who}\n${message}\n`);
  };
}
