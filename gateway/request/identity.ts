// Who we say the client is, and that the request passed here: the fields that only we may set (DESIGN 5.4).

import { fieldsOf } from '../http/fields.ts';
import { identityFields } from '../http/forwarded.ts';
import type { Exchange } from './exchange.ts';

const PROTOCOL: Readonly<Record<Exchange['downstream']['protocol'], string>> = {
  'HTTP/1.0': '1.0',
  'HTTP/1.1': '1.1',
  'HTTP/2': '2',
};

/** X-Forwarded-*, X-Real-IP, Via and the request id for one hop. `prefix`: what was stripped from the path, or null. */
export function identity(x: Exchange, prefix: string | null): string[] {
  const { request, downstream } = x;
  if (request === null) throw new Error('identity without a request');
  const fields = identityFields({
    client: request.clientAddress,
    peer: downstream.peer,
    scheme: request.scheme,
    authority: request.authority,
    localPort: downstream.localPort,
    prefix,
    trusted: x.peerTrusted,
    receivedFields: downstream.fields,
  });
  // RFC 9110 7.6.3: our hop goes behind those before us.
  const via = fieldsOf(downstream.fields, 'via');
  via.push(`${PROTOCOL[downstream.protocol]} sluice`);
  fields.push('via', via.join(', '), 'x-request-id', request.requestId);
  return fields;
}
