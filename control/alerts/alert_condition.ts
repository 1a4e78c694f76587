// Core. What a rule of alerts finds: what is wrong, with what, and since when it is not any more.

/** What an alert is about. */
export interface AlertCondition {
  /** Tells subjects of one rule apart. */
  readonly subject: string;
  /** What is wrong. */
  readonly text: string;
  /** What was wrong, for when it has ended; absent from alerts that an earlier version kept. */
  readonly endText?: string;
  readonly value: number;
  readonly modId: number | null;
  readonly cmdId: number | null;
  readonly node: string | null;
  readonly service: string | null;
  /** Part of those concerned for whom it holds, more than 0 to 1. @default {1} */
  readonly share?: number;
}

/** What is said of something, and once it is over. */
export type AlertWords = readonly [is: string, was: string];

/** What is the matter with one service or relay, which `name` says: "dns 10.0.0.1:7778". */
export function alertAbout(name: string, [is, was]: AlertWords, value: number): AlertCondition {
  return {
    subject: name,
    text: `${name} ${is}`,
    endText: `${name} ${was}`,
    value,
    modId: null,
    cmdId: null,
    node: null,
    service: name,
  };
}
