// The body of an order: a JSON object, or what is wrong with it.

/** Its members by name. `example` stands in what is said of a body that is none. */
export function readObject(
  body: string,
  example: string,
): { readonly members: ReadonlyMap<string, unknown> } | { readonly problem: string } {
  let written: unknown;
  try {
    written = JSON.parse(body);
  } catch {
    return { problem: `The body must be JSON such as ${example}` };
  }
  if (typeof written !== 'object' || written === null || Array.isArray(written))
    return { problem: `The body must be an object such as ${example}` };
  return { members: new Map(Object.entries(written)) };
}
