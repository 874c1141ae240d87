// What control's parts say their news to. The composition root hands in the real log; nothing here formats or writes.

/** Facts beside the sentence, for the JSON log. Never secrets. */
export type LogFacts = Readonly<Record<string, unknown>>;

export interface ControlLog {
  info(text: string, facts?: LogFacts): void;
  warn(text: string, facts?: LogFacts): void;
  error(text: string, facts?: LogFacts): void;
}
