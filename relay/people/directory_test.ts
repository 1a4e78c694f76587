import assert from "node:assert/strict";
import { test } from "node:test";
import {
  Directory,
  GROUPS_PER_CLIENT_MAX,
  isClientName,
  type Member,
  WATCHERS_MAX,
} from "./directory.ts";

class TestMember implements Member {
  readonly sinceMs = 1;
  readonly heard: string[] = [];
  isReplaced = false;

  constructor(readonly name: string, readonly sid = 1) {}

  replaced(): void {
    this.isReplaced = true;
  }

  tell(member: Member, gone: boolean): void {
    this.heard.push(`${gone ? "-" : "+"}${member.name}`);
  }
}

test("directory: the newest connection has a name, and an older one loses it", () => {
  const directory = new Directory();
  const [older, newer] = [new TestMember("a", 1), new TestMember("a", 2)];
  directory.add(older);
  directory.join(older, "g");
  directory.add(newer);
  assert.equal(older.isReplaced, true);
  assert.equal(directory.find("a"), newer);
  directory.remove(older); // late, by the end of its connection
  assert.equal(directory.find("a"), newer);
  assert.deepEqual([...directory.groupMembers("g")], []);
  directory.remove(newer);
  assert.deepEqual([directory.size, directory.groupCount], [0, 0]);
});

test("directory: watchers hear of names that begin as they asked, until they go", () => {
  const directory = new Directory();
  const watcher = new TestMember("w");
  directory.add(watcher);
  directory.watch(watcher, "a");
  const [one, two] = [new TestMember("a1"), new TestMember("b1")];
  directory.add(one);
  directory.add(two);
  directory.remove(one);
  directory.watch(watcher, "b");
  directory.remove(two);
  assert.deepEqual(watcher.heard, ["+a1", "-a1", "-b1"]);
  directory.remove(watcher);
  directory.add(new TestMember("b2"));
  assert.equal(watcher.heard.length, 3);
});

test("directory: groups, watchers and answers are bounded", () => {
  const directory = new Directory();
  const member = new TestMember("m");
  for (let i = 0; i < GROUPS_PER_CLIENT_MAX; i++) {
    assert.equal(directory.join(member, `${i}`), true);
  }
  assert.equal(directory.join(member, "one more"), false);
  assert.equal(directory.join(member, "0"), true);
  directory.leave(member, "0");
  assert.equal(directory.join(member, "one more"), true);
  directory.remove(member);
  assert.equal(directory.groupCount, 0);
  const watchers = Array.from({ length: WATCHERS_MAX }, (_, i) => new TestMember(`w${i}`));
  for (const one of watchers) assert.equal(directory.watch(one, ""), true);
  assert.equal(directory.watch(member, ""), false);
  for (const one of watchers) directory.add(one);
  const { members, cut } = directory.who("w", 10);
  assert.deepEqual([members.length, cut], [10, true]);
  assert.deepEqual(directory.who("w99", 20).members.map(({ name }) => name).slice(0, 2), [
    "w99",
    "w990",
  ]);
});

test("directory: names are printable ASCII without spaces", () => {
  for (const good of ["a", "relay-7/x", "~".repeat(64)]) assert.equal(isClientName(good), true);
  for (const bad of ["", " ", "é", "a b", "x".repeat(65), "\n"]) {
    assert.equal(isClientName(bad), false);
  }
});
