import assert from "node:assert/strict";
import { test } from "node:test";
import type { Command } from "commander";
import { agentDaemon } from "../agent/service.ts";
import type { DaemonDefinition } from "../daemon/daemon.ts";
import { flagCommand } from "../daemon/settings/flag_command.ts";
import { daemonFlags } from "../daemon/settings/flags.ts";
import { discoveryDaemon } from "../discovery/service.ts";
import { dnsDaemon } from "../dns/service.ts";
import { exportDaemon } from "../export/service.ts";
import { relayDaemon } from "../relay/service.ts";
import { reporterDaemon } from "../reporter/service.ts";
import { webDaemon } from "../web/service.ts";
import { HELP_WIDTH } from "./command.ts";
import { buildProgram } from "./program.ts";
import { fitColumns } from "./terminal.ts";

/** Lines of the help of a command, and of those below it, that are wider than a terminal. */
function wideLines(command: Command): string[] {
  let help = "";
  command.configureOutput({
    writeOut: (text) => (help += text),
    getOutHelpWidth: () => HELP_WIDTH,
  });
  command.outputHelp();
  const wide = help.split("\n").filter((line) => line.length > HELP_WIDTH);
  return [...wide, ...command.commands.flatMap(wideLines)];
}

test("help of every command fits 80 columns", async () => {
  const { program } = await buildProgram("all");
  assert.deepEqual(wideLines(program), []);
});

const DAEMONS: readonly DaemonDefinition[] = [
  ...[dnsDaemon, reporterDaemon, agentDaemon, webDaemon, relayDaemon, discoveryDaemon],
  exportDaemon,
];

for (const { name, summary, settings } of DAEMONS) {
  test(`help of the service ${name} fits 80 columns`, () => {
    assert.deepEqual(wideLines(flagCommand(summary, daemonFlags(settings), name)), []);
  });
}

test("fitColumns() narrows the widest columns until a line fits", () => {
  const row = (...lengths: number[]): string[] => lengths.map((length) => "x".repeat(length));
  assert.deepEqual(fitColumns([row(5, 10)], undefined), { widths: [5, 10], isCut: false });
  assert.deepEqual(fitColumns([row(5, 10)], 17), { widths: [5, 10], isCut: false });
  assert.deepEqual(fitColumns([row(5, 100)], 80), { widths: [5, 73], isCut: true });
  for (const width of [20, 40, 80, 120]) {
    for (const rows of [[row(5, 100, 7)], [row(60, 60, 60)], [row(3, 3, 200), row(80, 1, 2)]]) {
      const { widths, isCut } = fitColumns(rows, width);
      const total = widths.reduce((sum, one) => sum + one, 0) + 4;
      assert.ok(total <= Math.max(width, 22), `${width}: ${widths}`);
      assert.equal(isCut, total < fitColumns(rows, undefined).widths.reduce((a, b) => a + b, 4));
    }
  }
  const coloured = [["\x1b[31mbad\x1b[39m"]];
  assert.deepEqual(fitColumns(coloured, 80).widths, [3], "colours take no room");
});
