import assert from "node:assert/strict";
import { test } from "node:test";
import {
  findNameClash,
  meaningOfName,
  moduleLabel,
  moduleNameFault,
  type NamedModule,
  sharedNames,
} from "./module_name.ts";

const named = (modId: number, cmdId: number, name: string): NamedModule => ({ modId, cmdId, name });

test("moduleNameFault() refuses what could be taken for something else", () => {
  for (const name of ["", "login", "log in", "v2", "2nd", "1-2", "Ärger", "a/b", "1.2"]) {
    assert.equal(moduleNameFault(name), undefined, name);
  }
  for (const name of ["7", "007", "1/2", "1,2", "(1,2)", "1 2", "-f", "--json", " x", "x ", "\n"]) {
    assert.match(moduleNameFault(name) ?? "", /^must /, name);
  }
  assert.match(moduleNameFault("n".repeat(129)) ?? "", /at most 128/);
});

test("findNameClash() counts names after all changes", () => {
  const rows = [named(1, 1, "login"), named(2, 1, "Search")];
  const clash = (...changes: NamedModule[]): string | undefined => {
    const found = findNameClash(changes, rows);
    return found === undefined ? undefined : moduleLabel(found.owner);
  };
  assert.equal(clash(named(3, 1, "new")), undefined);
  assert.equal(clash(named(3, 1, "login")), "(1,1) login");
  assert.equal(clash(named(3, 1, "search")), "(2,1) Search", "in any case of letters");
  assert.equal(clash(named(1, 1, "LOGIN")), undefined, "its own");
  assert.equal(clash(named(1, 1, "Search"), named(2, 1, "login")), undefined, "names that swap");
  assert.equal(clash(named(1, 1, ""), named(3, 1, "login")), undefined, "a name that went");
  assert.equal(clash(named(3, 1, "x"), named(4, 1, "X")), "(3,1) x", "two of one change");
  assert.equal(clash(named(3, 1, "x"), named(3, 1, "login")), "(1,1) login", "the last one counts");
  assert.equal(clash(named(3, 1, "")), undefined);
});

test("meaningOfName() finds one module, or says why none", () => {
  const rows = [
    named(1, 1, "login"),
    named(2, 1, "Pay"),
    named(3, 1, "cart"),
    named(4, 1, "cart"),
    named(5, 1, "A"),
    named(6, 1, "a"),
    named(7, 1, ""),
  ];
  const meaning = (name: string): string => {
    const found = meaningOfName(name, rows);
    return "fault" in found ? found.fault : moduleLabel(found.module);
  };
  assert.equal(meaning("login"), "(1,1) login");
  assert.equal(meaning("pay"), "(2,1) Pay");
  assert.equal(meaning("a"), "(6,1) a", "the exact one comes first");
  assert.match(meaning("cart"), /name of several modules: \(3,1\) cart, \(4,1\) cart; say which/);
  assert.equal(meaning("lgoin"), 'No module is called "lgoin": did you mean (1,1) login?');
  assert.equal(meaning("weather-eu"), 'No module is called "weather-eu"');
  assert.equal(
    meaning("m".repeat(60_000)),
    `A name has at most 128 characters: this one, which begins with "${"m".repeat(20)}", has 60000`,
  );
  assert.deepEqual([...sharedNames(rows).keys()], ["cart", "A"]);
});
