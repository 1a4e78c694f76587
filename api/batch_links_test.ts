import assert from "node:assert/strict";
import { test } from "node:test";
import { BatchLinks } from "./batch_links.ts";
import type { AgentLink } from "./link.ts";

class FakeLink implements AgentLink {
  readonly foreignCount = 0;
  droppedCount = 0;
  isClosed = false;
  #ended = (): void => {};

  constructor(readonly address: string) {}

  send(): void {
    this.droppedCount++;
  }

  close(): Promise<void> {
    this.isClosed = true;
    return new Promise((resolve) => this.#ended = resolve);
  }

  end(): void {
    this.#ended();
  }
}

test("batch links: what could not be sent stays counted when a table names another agent", async () => {
  const opened: FakeLink[] = [];
  const links = new BatchLinks((hostname, port) => {
    const link = new FakeLink(`${hostname}:${port}`);
    opened.push(link);
    return link;
  });
  const counts: number[] = [];
  const note = (): void => void counts.push(links.droppedCount);
  const send = (port: number): void => {
    links.to("10.0.0.1", port).send(0, new Uint8Array());
    note();
  };
  note();
  for (const port of [1, 1, 2, 3, 1]) send(port);
  assert.deepEqual(counts, [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(opened.map(({ address }) => address), [
    ...["10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:1"],
  ]);
  assert.deepEqual(opened.map(({ isClosed }) => isClosed), [true, true, true, false]);
  // One that is closing may find out late that something was not sent.
  opened[0].send();
  note();
  opened[0].end();
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  note();
  const closed = links.close();
  note();
  opened[3].end();
  await closed;
  note();
  assert.deepEqual(counts.slice(6), [6, 6, 6, 6]);
  send(1);
  assert.equal(counts.at(-1), 7);
});
