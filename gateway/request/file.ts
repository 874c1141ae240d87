// A request for a file: name, file, verdict, open file. Nothing of it passes through the cache: the operating system keeps
// files in memory already, and what is on disk now is the truth.

import type { RouteConfig } from '../config/config.ts';
import type { RequestHead } from '../http/request.ts';
import { chooseSibling, dependsOnCoding, fileCacheControl, judgeFile } from '../policy/file-answer.ts';
import { type FileName, readFileName } from '../policy/file-name.ts';
import { filePath, folderLocation } from '../route/file-path.ts';
import type { RequestState } from '../tables/states.ts';
import { type Found, findFile, openFile } from '../upstream/static.ts';
import type { Exchange } from './exchange.ts';

/** How often a file is looked for that changes between looking and opening. */
const MOST_LOOKS = 3;

type FoundFile = Extract<Found, { kind: 'file' }>;

export function file(x: Exchange): RequestState | null {
  const { request, route } = x;
  if (request === null || route?.action.kind !== 'static') throw new Error('file without a request and its route');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    x.answer = { status: 405, fields: ['allow', 'GET, HEAD'], body: '' };
    return x.fail('method-not-allowed');
  }
  const path = filePath(route, request);
  const name = readFileName(path);
  if (name === null) return x.fail('no-file');
  serve(x, request, route, route.action.folder, path, name).then(
    (next) => x.resume(next),
    (error: unknown) => x.broke(error),
  );
  return null;
}

async function serve(
  x: Exchange,
  request: RequestHead,
  route: RouteConfig,
  folder: string,
  wanted: string,
  name: FileName,
): Promise<RequestState> {
  let path = wanted;
  for (let look = 1; look <= MOST_LOOKS; look++) {
    const found = await findFile(folder, path, name);
    if (x.gone) return 'finished';
    if (found.kind === 'none') return x.fail('no-file');
    if (found.kind === 'unreadable') return x.fail('file-unreadable', found.detail);
    if (found.kind === 'file') {
      const next = await answer(x, request, route, found);
      if (next !== null) return next;
    } else if (!request.path.endsWith('/')) return redirect(x, request, route);
    // A rewrite took the "/" away: a redirect would lead here again.
    else path = `${path}/`;
  }
  return x.fail('file-unreadable', 'it changes all the time');
}

function redirect(x: Exchange, request: RequestHead, route: RouteConfig): RequestState {
  const location = folderLocation(request);
  // What is a folder today may be a file tomorrow: the redirect is kept as long as a file would be.
  x.answer = {
    status: 308,
    fields: ['location', location, 'cache-control', fileCacheControl('', route.cache)],
    body: '',
  };
  return 'answer';
}

/** The next state, or null when the file is no longer what was found. */
async function answer(
  x: Exchange,
  request: RequestHead,
  route: RouteConfig,
  found: FoundFile,
): Promise<RequestState | null> {
  const sibling = chooseSibling(found.file, found.siblings, request);
  const chosen = sibling?.file ?? found.file;
  const resource = ['content-type', found.type, 'cache-control', fileCacheControl(found.name, route.cache)];
  if (dependsOnCoding(found.file, found.siblings)) resource.push('vary', 'accept-encoding');
  const verdict = judgeFile(request, chosen, sibling?.coding ?? '', resource, x.runtime.state.now());
  switch (verdict.answer) {
    case 'precondition-failed':
      return x.fail('precondition-failed');
    case 'not-modified':
      x.file = { status: 304, fields: verdict.fields, bodyBytes: 0, stream: null };
      return 'deliver';
    case 'unsatisfiable':
      x.file = { status: 416, fields: verdict.fields, bodyBytes: 0, stream: null };
      return 'deliver';
  }
  const [start, end] = verdict.answer === 'part' ? [verdict.start, verdict.end] : [0, chosen.bytes - 1];
  const head = { status: verdict.answer === 'part' ? 206 : 200, fields: verdict.fields, bodyBytes: end - start + 1 };
  if (request.method === 'HEAD' || head.bodyBytes === 0) {
    x.file = { ...head, stream: null };
    return 'deliver';
  }
  // Opened before the head goes out: a file that cannot be read is an error answer, not a body that breaks.
  const opened = await openFile(chosen, start, end);
  if (opened.kind === 'changed') return null;
  if (opened.kind === 'none') return x.fail('no-file');
  if (opened.kind === 'unreadable') return x.fail('file-unreadable', opened.detail);
  if (x.gone) {
    opened.stream.destroy();
    return 'finished';
  }
  x.file = { ...head, stream: opened.stream };
  return 'deliver';
}
