// Shell. `lars config`: example configuration files.

import { join } from "node:path";
import { type Command, Option } from "commander";
import { type DaemonDefinition, fullTable } from "../daemon/daemon.ts";
import type { SettingsTable } from "../daemon/settings/settings.ts";
import { CommandError } from "./cli_errors.ts";
import { addExamples } from "./command.ts";
import {
  EXAMPLE_HOSTS,
  type ExampleFile,
  exampleFiles,
  type ExampleHosts,
  type ExampleService,
} from "./config_example.ts";
import { writeOut } from "../daemon/output.ts";
import { printLine } from "./terminal.ts";
import { makeFolder, writeWholeFile } from "./whole_file.ts";

interface ExampleFlags {
  readonly hosts: string;
  readonly out?: string;
  readonly force?: boolean;
}

/** Adds `config`. */
export function addTo(parent: Command): void {
  const config = parent.command("config").description("Configuration files of the services.");
  const command = config.command("example")
    .description(
      "Print example files, or write them into a folder: lars.conf for dns, reporter and console, " +
        "agent.conf, and database.sql with the database and its account. Every key is in them, with " +
        "its meaning, range and default.",
    )
    .addOption(
      new Option("--hosts <N>", "for how many hosts").choices(EXAMPLE_HOSTS.map(String))
        .default("1"),
    )
    .option("--out <DIR>", "folder to write into; files that are there stay, unless --force")
    .option("--force", "write over files that are there")
    .action(async (flags: ExampleFlags) => {
      const files = await filesFor(Number(flags.hosts) as ExampleHosts);
      if (flags.out === undefined) return printFiles(files);
      await writeFiles(files, flags.out, flags.force === true);
    });
  addExamples(command, [
    ["lars config example", "for one host, to look at"],
    ["lars config example --hosts 3 --out /etc/lars", "for three, into a folder"],
  ]);
  addExamples(config, [[
    "lars config example --out /etc/lars",
    "lars.conf, agent.conf, database.sql",
  ]]);
}

function serviceOf<T extends SettingsTable>(definition: DaemonDefinition<T>): ExampleService {
  return { name: definition.name, settings: fullTable(definition) };
}

/** The example files for so many hosts. */
export async function filesFor(hosts: ExampleHosts): Promise<ExampleFile[]> {
  const { dnsDaemon } = await import("../dns/service.ts");
  const { reporterDaemon } = await import("../reporter/service.ts");
  const { webDaemon } = await import("../web/service.ts");
  const { agentDaemon } = await import("../agent/service.ts");
  const servers = [serviceOf(dnsDaemon), serviceOf(reporterDaemon), serviceOf(webDaemon)];
  return exampleFiles(hosts, servers, serviceOf(agentDaemon));
}

function printFiles(files: readonly ExampleFile[]): void {
  for (const { name, text } of files) {
    const mark = name.endsWith(".sql") ? "--" : "#";
    printLine(`${mark} ==== ${name} ====`);
    writeOut(`${text}\n`);
  }
}

async function writeFiles(
  files: readonly ExampleFile[],
  folder: string,
  force: boolean,
): Promise<void> {
  makeFolder(folder);
  const { existsSync } = await import("node:fs");
  const there = files.filter(({ name }) => existsSync(join(folder, name)));
  if (there.length > 0 && !force) {
    throw new CommandError(
      `${there.map(({ name }) => join(folder, name)).join(", ")}: is there already; nothing was ` +
        "written; give --force, or another --out",
    );
  }
  for (const { name, text } of files) {
    await writeWholeFile(join(folder, name), text);
    printLine(join(folder, name));
  }
}
