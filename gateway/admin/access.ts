// Who may talk to the admin API: where the peer is, what its Host and Origin claim, whether its token is ours. It
// decides and never answers.

import { timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, type Socket } from 'node:net';
import type { ListenAddress } from '../config/config.ts';
import { tokenDigest } from './token.ts';

export type PeerVerdict =
  | { readonly ok: true /** On this machine: loopback or a unix socket. */; readonly local: boolean }
  | { readonly ok: false; readonly why: string };

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/**
 * Against DNS rebinding and forms on foreign pages: Host must be a loopback name or address, the configured host, or the
 * very address that the connection came to; Origin must be absent or the same as Host.
 */
export function checkPeer(request: IncomingMessage, listen: ListenAddress): PeerVerdict {
  const { host, origin } = request.headers;
  const name = hostName(host);
  if (host === undefined || name === null || !isHostAllowed(name, request.socket, listen)) {
    return { ok: false, why: 'The Host is not one of this admin API' };
  }
  if (origin !== undefined && origin.toLowerCase() !== `http://${host.toLowerCase()}`) {
    return { ok: false, why: 'The Origin is not one of this admin API' };
  }
  return { ok: true, local: listen.kind === 'unix' || isLoopback(request.socket.remoteAddress) };
}

/** A function that says whether an Authorization field carries this token, in a time that does not depend on it. */
export function createTokenCheck(token: string): (authorization: string | undefined) => boolean {
  const ours = tokenDigest(token);
  return (authorization) => {
    const match = /^Bearer +(\S+) *$/i.exec(authorization ?? '');
    return match?.[1] !== undefined && timingSafeEqual(tokenDigest(match[1]), ours);
  };
}

/** The host of a Host field without its port, lower case, without brackets; null when malformed. */
export function hostName(host: string | undefined): string | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]/@?#]+))(?::[0-9]{0,5})?$/i.exec(host ?? '');
  return (match?.[1] ?? match?.[2])?.toLowerCase() ?? null;
}

function isHostAllowed(name: string, socket: Socket, listen: ListenAddress): boolean {
  if (name === 'localhost' || name.endsWith('.localhost') || isLoopback(name)) return true;
  if (listen.kind === 'unix') return false;
  if (listen.host !== null && listen.host.toLowerCase() === name) return true;
  return isIP(name) !== 0 && name === unmapped(socket.localAddress);
}

function isLoopback(address: string | undefined): boolean {
  const plain = unmapped(address);
  const version = isIP(plain);
  return version !== 0 && loopback.check(plain, version === 4 ? 'ipv4' : 'ipv6');
}

/** "::ffff:10.0.0.1", as a dual-stack listener shows it, is 10.0.0.1. */
function unmapped(address: string | undefined): string {
  return (address ?? '').toLowerCase().replace(/^::ffff:(?=[0-9.]+$)/, '');
}
