// Core. What an edit of a mailbox in the shared log says, upon what is known of it.

import type { RelayMailEnd, RelayMailEntry, RelayMailPut } from "../../proto/codec.ts";
import type { MailLimits, NewMail } from "../../sql/mail/mail_store.ts";
import {
  type IndexedBox,
  type IndexedMail,
  type MailIndex,
  mailKey,
  senderAndId,
} from "./mail_index.ts";
import { LOG_ENTRY_BYTES_MAX } from "./mail_log.ts";

/** Mailboxes of all relays together: each keeps one entry for ever. A message for a further one is refused. */
export const LOG_BOXES_MAX = 1_000_000;

/** Messages that one entry may end. */
const ENDS_PER_ENTRY_MAX = 500;

/** What an edit says; who made it, and upon what, is added. */
export type MailEdit = Omit<RelayMailEntry, "writer" | "after">;

/**
 * Puts those of `mail` that are not kept yet, as far as they fit one entry; `full` holds those without
 * room.
 */
export function putEdit(
  index: MailIndex,
  name: string,
  mail: readonly NewMail[],
  limits: MailLimits,
  full: Set<NewMail>,
): MailEdit | undefined {
  const box = index.box(name);
  for (const one of mail) full.delete(one);
  const { waiting, waitingBytes } = index.totals;
  const isNew = box.headSeq === 0 && index.boxCount >= LOG_BOXES_MAX;
  const added = new Set<string>();
  const puts: RelayMailPut[] = [];
  let bytes = 0;
  for (const one of mail) {
    const key = mailKey(one);
    if (added.has(key) || index.placeOf(box, key) !== undefined) continue;
    const more = bytes + one.data.length;
    if (puts.length > 0 && more > LOG_ENTRY_BYTES_MAX) break;
    if (
      isNew || box.waiting + puts.length >= limits.messagesMax ||
      box.waitingBytes + more > limits.bytesMax ||
      waiting + puts.length >= limits.totalMessagesMax ||
      waitingBytes + more > limits.totalBytesMax
    ) {
      full.add(one);
      continue;
    }
    const { sender, id, sentAtMs, expiresAtMs, data } = one;
    const times = { sentAtMs: Math.trunc(sentAtMs), expiresAtMs: Math.trunc(expiresAtMs) };
    puts.push({ sender, id, ...times, data });
    added.add(key);
    bytes = more;
  }
  if (puts.length === 0) return undefined;
  const { lastSeq, takenSeq } = box;
  return { name, last: lastSeq + puts.length, taken: takenSeq, puts, ends: [] };
}

/** Says that a mailbox has been taken up to a place, as far as that fits one entry. */
export function takeEdit(index: MailIndex, name: string, seq: number): MailEdit | undefined {
  const box = index.box(name);
  if (seq > box.lastSeq) return undefined;
  const taken: IndexedMail[] = [];
  for (const one of index.waitingOf(box)) {
    if (one.seq > seq || taken.length >= ENDS_PER_ENTRY_MAX) break;
    taken.push(one);
  }
  return endEdit(box, taken, false);
}

/** Says that messages of these places are over, as far as that fits one entry. */
export function expireEdit(
  index: MailIndex,
  name: string,
  places: ReadonlySet<number>,
): MailEdit | undefined {
  const box = index.box(name);
  const over: IndexedMail[] = [];
  for (const one of index.waitingAt(box, places)) {
    if (over.length >= ENDS_PER_ENTRY_MAX) break;
    over.push(one);
  }
  return endEdit(box, over, true);
}

/** Undefined: nothing ends. */
function endEdit(
  { name, lastSeq, takenSeq }: IndexedBox,
  ended: readonly IndexedMail[],
  expired: boolean,
): MailEdit | undefined {
  const newest = ended.at(-1);
  if (newest === undefined) return undefined;
  const ends = ended.map((mail): RelayMailEnd => {
    return { seq: mail.seq, ...senderAndId(mail), sentAtMs: mail.sentAtMs, expired };
  });
  const taken = expired ? takenSeq : Math.max(takenSeq, newest.seq);
  return { name, last: lastSeq, taken, puts: [], ends };
}
