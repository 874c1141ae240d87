// Talks to the admin API of a running gateway: where it listens and with which token is read from the same gateway.yaml,
// unless the command line says it. One request, one JSON answer.

import { request } from 'node:http';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { EXIT, type Host } from './host.ts';
import { findConfig } from './lookup.ts';

/** Longer than any order of the admin API takes. */
const ANSWER_MS = 60_000;

export interface AdminFlags {
  readonly config?: string;
  readonly admin?: string;
  readonly token?: string;
}

/** Where the admin API is. */
interface Place {
  readonly at: { readonly host: string; readonly port: number } | { readonly socketPath: string };
  readonly name: string;
  readonly token: string;
}

/** An answer's JSON, or the exit code with what to tell the operator. */
export type AdminAnswer =
  | { readonly ok: true; readonly body: unknown }
  | { readonly ok: false; readonly exit: number; readonly problem: string };

/** The flags by which a command finds the gateway it speaks to. */
export function addAdminFlags(command: Command): Command {
  return command
    .option(
      '-c, --config <file>',
      'configuration of the gateway ($SLUICE_CONFIG, ./gateway.yaml, /etc/sluice/gateway.yaml)',
    )
    .option(
      '--admin <address>',
      'address of its admin API, as in admin.listen: 127.0.0.1:9900 or unix:/run/sluice.sock',
    )
    .option(
      '--token <token>',
      'its admin token ($SLUICE_ADMIN_TOKEN); by default as configured, or from certs/admin.token',
    );
}

/** Sends one order with a JSON body. Never rejects. */
export async function askAdmin(flags: AdminFlags, path: string, body: unknown, host: Host): Promise<AdminAnswer> {
  const place = await findPlace(flags, host);
  if ('problem' in place) return { ok: false, ...place };
  try {
    const { status, text } = await send(place, path, JSON.stringify(body));
    return readAnswer(place, status, text);
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    const gone = code === 'ECONNREFUSED' || code === 'ENOENT';
    const why = gone ? 'no gateway runs there' : message;
    return failed(`${place.name}: ${why}\n  start one: sluice run; or say where it is: --admin 127.0.0.1:9900`);
  }
}

function failed(problem: string, exit: number = EXIT.runtime): Extract<AdminAnswer, { ok: false }> {
  return { ok: false, exit, problem };
}

function readAnswer(place: Place, status: number, text: string): AdminAnswer {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return failed(`${place.name}: this is no admin API of Sluice (status ${status})`);
  }
  if (status === 200) return { ok: true, body };
  const title = (body as { readonly title?: unknown } | null)?.title;
  const said = typeof title === 'string' ? title : `status ${status}`;
  if (status !== 401) return failed(`${place.name}: ${said}`, status === 400 ? EXIT.usage : EXIT.runtime);
  return failed(
    `${place.name}: the admin token is wrong\n  it is admin.token of the gateway's file, or in certs/admin.token beside it; --token says it`,
  );
}

async function findPlace(flags: AdminFlags, host: Host): Promise<Place | { exit: number; problem: string }> {
  const token = flags.token ?? (host.env.SLUICE_ADMIN_TOKEN || undefined);
  if (flags.admin !== undefined && token !== undefined) return placeOf(flags.admin, token, host);
  const found = await findConfig(flags.config, host);
  if ('problem' in found) return { exit: EXIT.config, problem: found.problem };
  const [{ loadConfig }, { formatProblems }] = await Promise.all([
    import('../config/load.ts'),
    import('../config/report.ts'),
  ]);
  const loaded = await loadConfig(found.path, host.env, host.now(), host.folder);
  if (!loaded.ok) return { exit: EXIT.config, problem: formatProblems(loaded.problems, { colour: false }) };
  const { admin, tls } = loaded.config;
  const known = token ?? (admin.token === '' ? await keptToken(tls.folder) : admin.token);
  if (known === null) {
    const where = resolve(tls.folder, 'admin.token');
    return {
      exit: EXIT.runtime,
      problem: `no admin token: ${where} is not there, or not yours alone to read\n  the gateway makes it when it starts; --token says another`,
    };
  }
  if (flags.admin !== undefined) return placeOf(flags.admin, known, host);
  if (admin.listen === null)
    return { exit: EXIT.runtime, problem: `${found.path} says admin.listen: off; --admin says where the admin API is` };
  const { listen } = admin;
  if (listen.kind === 'unix') return { at: { socketPath: listen.path }, name: listen.text, token: known };
  const name = listen.host ?? '127.0.0.1';
  const all = name === '0.0.0.0' || name === '::';
  return { at: { host: all ? '127.0.0.1' : name, port: listen.port }, name: listen.text, token: known };
}

async function keptToken(folder: string): Promise<string | null> {
  const { readToken } = await import('../admin/token.ts');
  return readToken(resolve(folder, 'admin.token'));
}

function placeOf(address: string, token: string, host: Host): Place | { exit: number; problem: string } {
  if (address.startsWith('unix:'))
    return { at: { socketPath: resolve(host.folder, address.slice(5)) }, name: address, token };
  const found = /^(?:http:\/\/)?(?:\[([0-9a-f:.]+)\]|([^\s:/]*)):([0-9]{1,5})\/?$/i.exec(address);
  if (found === null)
    return {
      exit: EXIT.usage,
      problem: `--admin ${address}: must be an address such as 127.0.0.1:9900 or unix:/run/sluice.sock`,
    };
  return { at: { host: found[1] ?? (found[2] || '127.0.0.1'), port: Number(found[3]) }, name: address, token };
}

function send(place: Place, path: string, body: string): Promise<{ status: number; text: string }> {
  return new Promise((done, fail) => {
    const outgoing = request(
      {
        ...place.at,
        path,
        method: 'POST',
        agent: false,
        headers: {
          // A unix socket has no name of its own.
          ...('socketPath' in place.at ? { host: 'localhost' } : {}),
          authorization: `Bearer ${place.token}`,
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
        },
        timeout: ANSWER_MS,
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('end', () => done({ status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }));
        answer.on('error', fail);
      },
    );
    outgoing.on('timeout', () => outgoing.destroy(new Error('it does not answer')));
    outgoing.on('error', fail);
    outgoing.end(body);
  });
}
