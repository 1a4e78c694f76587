// Core. What became of every message: the counts of one kind add up at any moment.

/** Why a message was not taken, or given up before its time. */
export const REFUSALS = [
  /** A queue of the module, of the client, or of all was full. */
  "full",
  /** It was the oldest in a full queue, and a newer one took its place. */
  "dropped",
  /** No worker serves its module. */
  "no_worker",
  /** Whom it is for is not here, or is no more. */
  "no_client",
  /** Whom it is for did not read, and was cut. */
  "slow",
  /** It does not fit what its receiver can be sent. */
  "oversize",
  /** It was taken before: a sender that did not hear of it has sent it again. */
  "repeated",
  /** A worker or the database could not do it, and the sender cannot be told more. */
  "failed",
  /** It was kept, and what kept it is gone. */
  "lost",
  /** An answer came after the time of its request. */
  "late",
  /** An answer to nothing that was asked. */
  "unknown",
  /** The relay stops. */
  "stopping",
] as const;

/** Any of {@linkcode REFUSALS}. */
export type MessageRefusal = (typeof REFUSALS)[number];

/** Counts of one kind of message: `sent` is always the sum of the others. */
export interface LedgerCounts {
  readonly sent: number;
  readonly delivered: number;
  readonly expired: number;
  readonly refused: number;
  readonly waiting: number;
}

/** Counts the messages of one kind. Each begins with `accept` and ends with one of the others. */
export class Ledger {
  #sent = 0;
  #delivered = 0;
  #expired = 0;
  #waiting = 0;
  readonly #refusals: Record<MessageRefusal, number> = Object.fromEntries(
    REFUSALS.map((reason) => [reason, 0]),
  ) as Record<MessageRefusal, number>;

  /** A message has come. */
  accept(): void {
    this.#sent++;
    this.#waiting++;
  }

  /** Messages of an earlier life of this relay still wait. */
  adopt(count: number): void {
    this.#sent += count;
    this.#waiting += count;
  }

  /** It was handed to the connection of whom it is for. */
  deliver(): void {
    this.#waiting--;
    this.#delivered++;
  }

  /** Its time was over before. */
  expire(): void {
    this.#waiting--;
    this.#expired++;
  }

  /** It was not taken, or given up. */
  refuse(reason: MessageRefusal): void {
    this.#waiting--;
    this.#refusals[reason]++;
  }

  /** Present counts. */
  get counts(): LedgerCounts {
    let refused = 0;
    for (const reason of REFUSALS) refused += this.#refusals[reason];
    return {
      sent: this.#sent,
      delivered: this.#delivered,
      expired: this.#expired,
      refused,
      waiting: this.#waiting,
    };
  }

  /** How often each reason was given. */
  get refusals(): Readonly<Record<MessageRefusal, number>> {
    return this.#refusals;
  }

  /** All of it under names that begin with `prefix`, for metrics. */
  stats(prefix: string): Record<string, number> {
    const { sent, delivered, expired, waiting } = this.counts;
    const stats: Record<string, number> = {
      [`${prefix}_sent`]: sent,
      [`${prefix}_delivered`]: delivered,
      [`${prefix}_expired`]: expired,
      [`${prefix}_waiting`]: waiting,
    };
    for (const reason of REFUSALS) stats[`${prefix}_refused_${reason}`] = this.#refusals[reason];
    return stats;
  }
}
