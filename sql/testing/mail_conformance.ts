// Shell. What every kind of store must do with messages for clients that are away.

import assert from "node:assert/strict";
import type { MailLimits, MailStore, NewMail } from "../mail/mail_store.ts";
import type { Define } from "./conformance_bench.ts";

const LIMITS: MailLimits = {
  messagesMax: 100,
  bytesMax: 1_000_000,
  totalMessagesMax: 1000,
  totalBytesMax: 10_000_000,
};
const EPOCH = 4_294_967_295;

function mail(name: string, id: string, more: Partial<NewMail> = {}): NewMail {
  const data = new TextEncoder().encode(`data of ${id}`);
  return { name, sender: "sender", id, sentAtMs: 1000, expiresAtMs: 10_000, data, ...more };
}

function put(store: MailStore, ...all: NewMail[]): Promise<string[]> {
  return store.put(all, LIMITS, EPOCH).then((outcomes) =>
    outcomes.map((one) => one.kind === "stored" ? `stored ${one.seq}` : one.kind)
  );
}

/** Registers the tests of mailboxes. */
export function testMailConformance(define: Define): void {
  define("mail is read in order, with every byte, and is gone once taken", async ({ store }) => {
    const data = Uint8Array.from({ length: 65_000 }, (_, index) => index * 7);
    assert.deepEqual(
      await put(store.mail, mail("a", "1"), mail("b", "1"), mail("a", "2", { data })),
      [
        ...["stored 1", "stored 1", "stored 2"],
      ],
    );
    const page = await store.mail.read("a", 0, 10, 2000);
    assert.deepEqual(page.mail.map(({ seq, id }) => [seq, id]), [[1, "1"], [2, "2"]]);
    assert.deepEqual(page.mail[1].data, data);
    assert.deepEqual(page.mail[0], { ...mail("a", "1"), seq: 1 });
    assert.deepEqual((await store.mail.read("a", 1, 10, 2000)).mail.map(({ seq }) => seq), [2]);
    assert.equal(await store.mail.take("a", 1), 1);
    assert.equal(await store.mail.take("a", 1), 0);
    assert.equal(await store.mail.take("a", 99), 0, "what was never there cannot be taken");
    assert.equal((await store.mail.read("a", 0, 10, 2000)).mail.length, 1);
    const { waiting, waitingBytes } = await store.mail.totals();
    assert.deepEqual([waiting, waitingBytes], [2, 65_000 + 9]);
    const box = await store.mail.open("a", 7);
    assert.deepEqual([box.epoch, box.lastSeq, box.takenSeq, box.waiting], [EPOCH, 2, 1, 1]);
  });

  define("mail of a known id is kept once, also after it was taken", async ({ store }) => {
    assert.deepEqual(await put(store.mail, mail("a", "1"), mail("a", "1"), mail("a", "2")), [
      ...["stored 1", "known", "stored 2"],
    ]);
    await store.mail.take("a", 2);
    assert.deepEqual(
      await put(store.mail, mail("a", "2"), mail("a", "2", { sender: "other" }), mail("A", "2")),
      ["known", "stored 3", "stored 1"],
    );
    await store.mail.prune(2000, 2000);
    assert.deepEqual(await put(store.mail, mail("a", "1")), ["stored 4"], "its id was forgotten");
  });

  define("mail is bounded for a mailbox and in total, in messages and bytes", async ({ store }) => {
    const data = new Uint8Array(100);
    for (
      const limits of [
        { messagesMax: 2 },
        { bytesMax: 299 },
        { totalMessagesMax: 2 },
        { totalBytesMax: 299 },
      ]
    ) {
      const name = Object.keys(limits)[0];
      const all = ["1", "2", "3"].map((id) => mail(name, id, { data }));
      const outcomes = await store.mail.put(all, { ...LIMITS, ...limits }, EPOCH);
      assert.deepEqual(outcomes.map(({ kind }) => kind), ["stored", "stored", "full"], name);
      await store.mail.take(name, 2);
      assert.deepEqual(await store.mail.totals(), { waiting: 0, waitingBytes: 0 });
    }
  });

  define("mail whose time is over is told apart, and counted once", async ({ store }) => {
    await put(store.mail, mail("a", "1"), mail("a", "2", { expiresAtMs: 3000 }), mail("a", "3"));
    await put(store.mail, mail("b", "1", { expiresAtMs: 3000 }));
    const page = await store.mail.read("a", 0, 10, 3000);
    assert.deepEqual([page.mail.map(({ seq }) => seq), page.expired], [[1, 3], [2]]);
    assert.equal(await store.mail.countAfter("a", 0, 3000), 2);
    assert.equal(await store.mail.expire("a", [2]), 1);
    assert.equal(await store.mail.expire("a", [2]), 0);
    assert.deepEqual(await store.mail.prune(3000, 0), { expired: 1, more: false });
    assert.deepEqual(await store.mail.prune(3000, 0), { expired: 0, more: false });
    assert.equal((await store.mail.totals()).waiting, 2);
    const { boxes, oldestSentAtMs } = await store.mail.list(10);
    assert.deepEqual(boxes.map(({ name, waiting }) => [name, waiting]), [["a", 2], ["b", 0]]);
    assert.equal(oldestSentAtMs, 1000);
  });

  define("names and ids that databases would not agree on are refused", async ({ store }) => {
    for (const bad of ["", " ", "é", "a b", "x".repeat(65), "\0", "a\n"]) {
      await assert.rejects(put(store.mail, mail(bad, "1")), RangeError, bad);
      await assert.rejects(put(store.mail, mail("a", bad)), RangeError, bad);
      await assert.rejects(store.mail.open(bad, 1), RangeError);
    }
    const many = Array.from({ length: 101 }, (_, index) => mail("a", `${index}`));
    await assert.rejects(store.mail.put(many, LIMITS, EPOCH), /at most 100 a call/);
  });

  define("mail from many writers at once gets one place each", async ({ store }) => {
    const writers = Array.from(
      { length: 5 },
      (_, writer) => put(store.mail, ...["1", "2", "3"].map((id) => mail("a", `${writer}-${id}`))),
    );
    const places = (await Promise.all(writers)).flat().sort((a, b) =>
      Number(a.split(" ")[1]) - Number(b.split(" ")[1])
    );
    assert.deepEqual(places, Array.from({ length: 15 }, (_, index) => `stored ${index + 1}`));
  });
}
