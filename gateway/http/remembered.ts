// Answers of a pure function of one text, kept for texts that come again and again: field values that browsers send with
// every request. Bounded; whoever sends ever new texts only makes it forget.

/** Texts that are kept; then all are forgotten at once, which costs no order among them. */
const MOST = 512;

/** Longer texts are worked out each time. */
const LONGEST = 256;

/** `make`, which must depend on nothing but its text, with its last answers kept. */
export function remembered<V>(make: (text: string) => V): (text: string) => V {
  const known = new Map<string, V>();
  return (text) => {
    const kept = known.get(text);
    if (kept !== undefined) return kept;
    if (text.length > LONGEST) return make(text);
    // A copy: what was cut out of a request's head would keep all of that head alive.
    const own = Buffer.from(text, 'utf16le').toString('utf16le');
    const value = make(own);
    if (known.size >= MOST) known.clear();
    known.set(own, value);
    return value;
  };
}
