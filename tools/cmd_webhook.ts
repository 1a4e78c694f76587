// Shell. `lars webhook`: whom a console tells of alerts, and whether they can be told.

import type { Command } from "commander";
import { argument, CommandError, UsageError } from "./cli_errors.ts";
import { addExamples, type CommandContext } from "./command.ts";
import { addServerOption, ConsoleClient, type ServerFlags } from "./console_client.ts";
import { printJson, printLine, printTable } from "./terminal.ts";

interface WebhookFlags extends ServerFlags {
  readonly json?: boolean;
}

/** Adds `webhook` and its subcommands. */
export function addTo(parent: Command, _context: CommandContext): void {
  const webhook = parent.command("webhook").description(
    "Receivers of alerts of a console: list them, send one a test.",
  );
  addList(webhook);
  addTest(webhook);
  addExamples(webhook, [
    ["lars webhook ls --server http://10.0.0.5:8080 --token-file t", "by a token of role admin"],
    ["lars webhook test 1 --server http://10.0.0.5:8080 --token-file t", "a test, now"],
  ]);
}

/** Messages leave from the console's host, so a test from another one would tell nothing. */
async function consoleOf(flags: WebhookFlags): Promise<ConsoleClient> {
  const client = await ConsoleClient.of(flags);
  if (client !== undefined) return client;
  throw new UsageError("Messages leave from a console: say from which with --server URL");
}

function addList(webhook: Command): void {
  const command = webhook.command("ls").description("List the receivers.")
    .option("--json", "print one JSON array")
    .action(async (flags: WebhookFlags) => {
      const { webhooks } = await (await consoleOf(flags)).call("listWebhooks");
      if (flags.json === true) return printJson(webhooks);
      if (webhooks.length === 0) return printLine("No webhooks: alerts are told nobody.");
      await printTable(
        ["ID", "TITLE", "FORMAT", "WAITING", "LAST MESSAGE", "URL"],
        webhooks.map(({ id, title, format, waitingCount, last, url, isEnabled }) => [
          `${id}`,
          title,
          format,
          `${waitingCount}`,
          isEnabled ? last?.text ?? "none yet" : "switched off",
          url,
        ]),
      );
    });
  addServerOption(command);
  addExamples(command, [[
    "lars webhook ls --server http://127.0.0.1:8080",
    "token by environment",
  ]]);
}

function parseId(text: string): number {
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new RangeError(`Id must be a whole number: current value is "${text}"`);
}

function addTest(webhook: Command): void {
  const command = webhook.command("test").description(
    "Send a test now, and say how it went. Exit code 1 when it was not taken.",
  )
    .argument("<id>", "of the webhook, see `lars webhook ls`", argument(parseId))
    .option("--json", "print one JSON value")
    .action(async (id: number, flags: WebhookFlags) => {
      const client = await consoleOf(flags);
      const { isDone, text } = await client.call("testWebhook", { params: { id } });
      if (flags.json === true) printJson({ id, isDone, text });
      else if (isDone) printLine(`webhook ${id}: ${text}`);
      if (!isDone) throw new CommandError(`Webhook ${id} did not take the test: ${text}`);
    });
  addServerOption(command);
  addExamples(command, [[
    "lars webhook test 1 --server http://127.0.0.1:8080",
    "token by environment",
  ]]);
}
