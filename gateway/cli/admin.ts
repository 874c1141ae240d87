// Asks the admin API of a running gateway: finds where it listens and its token, by the flags or else by gateway.yaml, and says
// in plain words when nobody answers.

import { type RequestOptions, request } from 'node:http';
import { join } from 'node:path';
import type { Command } from 'commander';
import type { Config, ListenAddress } from '../config/config.ts';
import { EXIT, type Host, wantsColour } from './host.ts';
import { findConfig } from './lookup.ts';

/** Longer than any order takes. */
const TIMEOUT_MS = 60_000;
/** More is no answer of ours. */
const ANSWER_BYTES = 16_777_216;

export interface AdminFlags {
  readonly config?: string;
  readonly admin?: string;
  readonly token?: string;
}

/** Where it is and what it is asked with. `url` is for people. */
interface AdminTarget {
  readonly url: string;
  readonly where: Pick<RequestOptions, 'host' | 'port' | 'socketPath'>;
  readonly token: string;
}

export interface AdminAnswer {
  readonly status: number;
  /** As JSON gave it. */
  readonly body: unknown;
}

/** An answer, or the exit code after the reason was said on standard error. */
export type AdminResult = { readonly answer: AdminAnswer } | { readonly code: number };

/** The flags that say which gateway is meant. */
export function addAdminFlags(command: Command): Command {
  return command
    .option(
      '-c, --config <file>',
      'configuration of the gateway ($SLUICE_CONFIG, ./gateway.yaml, /etc/sluice/gateway.yaml)',
    )
    .option('--admin <address>', 'its admin API (default: admin.listen): 127.0.0.1:9900 or unix:/path')
    .option(
      '--token <token>',
      'its admin token ($SLUICE_ADMIN_TOKEN; default: admin.token, or the file that the gateway made)',
    );
}

/** Sends one order, with a JSON body; without one (null) it only reads. */
export async function askAdmin(
  path: string,
  body: unknown,
  flags: AdminFlags,
  host: Host,
  withinMs: number = TIMEOUT_MS,
): Promise<AdminResult> {
  const target = await findAdmin(flags, host);
  if ('code' in target) return target;
  let answer: AdminAnswer;
  try {
    answer = await send(target, path, body === null ? null : JSON.stringify(body), withinMs);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    host.writeError(`sluice: no gateway answers on ${target.url} (${code ?? message}); is it running?\n`);
    return { code: EXIT.runtime };
  }
  if (answer.status !== 401) return { answer };
  const missing = target.token === '' ? 'there is no token for it' : 'it has another token';
  host.writeError(`sluice: ${target.url} refuses the order: ${missing}; --token or $SLUICE_ADMIN_TOKEN says which\n`);
  return { code: EXIT.runtime };
}

async function findAdmin(flags: AdminFlags, host: Host): Promise<AdminTarget | { readonly code: number }> {
  const token = flags.token ?? host.env.SLUICE_ADMIN_TOKEN ?? '';
  const named = flags.admin === undefined ? null : parseAddress(flags.admin);
  if (flags.admin !== undefined && named === null) {
    host.writeError(`sluice: --admin ${flags.admin} is no address such as 127.0.0.1:9900 or unix:/run/sluice.sock\n`);
    return { code: EXIT.usage };
  }
  if (named !== null && token !== '') return { ...named, token };
  const config = await loadConfigOf(flags, host, named !== null);
  if (typeof config === 'number') return { code: config };
  const target = named ?? (config === null ? null : addressOf(config.admin.listen));
  if (target === null) {
    host.writeError('sluice: the configuration has no admin.listen with a port of its own; --admin says where it is\n');
    return { code: EXIT.runtime };
  }
  return { ...target, token: token !== '' ? token : config === null ? '' : await tokenOf(config) };
}

/** The configuration, null when there need not be one, or the exit code after the reason was said. */
async function loadConfigOf(flags: AdminFlags, host: Host, isOptional: boolean): Promise<Config | null | number> {
  const found = await findConfig(flags.config, host);
  if ('problem' in found) {
    if (isOptional) return null;
    host.writeError(`sluice: ${found.problem}`);
    return EXIT.config;
  }
  const { loadWithRoutes } = await import('./load.ts');
  const loaded = await loadWithRoutes(found.path, host);
  if (loaded.ok) return loaded.config;
  const { formatProblems } = await import('../config/report.ts');
  host.writeError(formatProblems(loaded.problems, { colour: wantsColour(host.env, host.stderrIsTerminal) }));
  return EXIT.config;
}

async function tokenOf(config: Config): Promise<string> {
  if (config.admin.token !== '') return config.admin.token;
  const { readToken } = await import('../admin/token.ts');
  return (await readToken(join(config.tls.folder, 'admin.token'))) ?? '';
}

function addressOf(listen: ListenAddress | null): Omit<AdminTarget, 'token'> | null {
  if (listen === null) return null;
  if (listen.kind === 'unix') return { url: `unix:${listen.path}`, where: { socketPath: listen.path } };
  if (listen.port === 0) return null;
  const isAnywhere = listen.host === null || listen.host === '0.0.0.0' || listen.host === '::';
  return tcp(isAnywhere ? '127.0.0.1' : (listen.host as string), listen.port);
}

/** "127.0.0.1:9900", ":9900", "http://[::1]:9900", "unix:/run/admin.sock". */
function parseAddress(text: string): Omit<AdminTarget, 'token'> | null {
  if (text.startsWith('unix:/')) return { url: text, where: { socketPath: text.slice('unix:'.length) } };
  const found = /^(?:http:\/\/)?(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]*)):([0-9]{1,5})\/?$/i.exec(text);
  const port = Number(found?.[3] ?? 0);
  return found === null || port < 1 || port > 65_535 ? null : tcp(found[1] ?? (found[2] || '127.0.0.1'), port);
}

function tcp(host: string, port: number): Omit<AdminTarget, 'token'> {
  return { url: `http://${host.includes(':') ? `[${host}]` : host}:${port}`, where: { host, port } };
}

function send(
  { where, token }: AdminTarget,
  path: string,
  body: string | null,
  withinMs: number,
): Promise<AdminAnswer> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...(body === null
        ? {}
        : { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }),
      ...(where.socketPath === undefined ? {} : { host: 'localhost' }),
      ...(token === '' ? {} : { authorization: `Bearer ${token}` }),
    };
    const asked = request(
      { ...where, method: body === null ? 'GET' : 'POST', path, headers, agent: false, timeout: withinMs },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
          if (text.length > ANSWER_BYTES) asked.destroy(new Error('it answers too much'));
        });
        response.on('error', reject);
        response.on('end', () => {
          try {
            resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) });
          } catch {
            reject(new Error('it answers with something that is not JSON'));
          }
        });
      },
    );
    asked.on('timeout', () => asked.destroy(new Error('it takes too long')));
    asked.on('error', reject);
    asked.end(body ?? undefined);
  });
}
