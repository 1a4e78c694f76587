// Shell. `deno task ok`: the one gate a change passes before it lands.

import { spawnSync } from "node:child_process";
import process from "node:process";

interface Step {
  readonly name: string;
  readonly argv: readonly string[];
}

const deno = process.execPath;

const STEPS: readonly Step[] = [
  { name: "format", argv: [deno, "fmt", "--check", "--quiet"] },
  { name: "lint", argv: [deno, "lint", "--quiet"] },
  { name: "types", argv: [deno, "check", "--quiet", "."] },
  { name: "proto", argv: [deno, "run", "-A", "scripts/generate_proto.ts", "--check"] },
  { name: "console", argv: [deno, "run", "-A", "scripts/build_console.ts", "--check"] },
  { name: "files", argv: [deno, "run", "-A", "scripts/list_files.ts", "--check"] },
  { name: "readmes", argv: [deno, "check", "--quiet", "--doc-only", "."] },
  {
    name: "examples",
    argv: [deno, "test", "-A", "--doc", "--quiet", "--ignore=**/*_test.ts,**/*.md", "."],
  },
  { name: "bench", argv: [deno, "run", "-A", "bench/run.ts", "--smoke"] },
  { name: "tests", argv: [deno, "run", "-A", "tests/run_tests.ts"] },
];

const HELP = `Usage: deno task ok [--skip STEP]... [--only STEP]

Runs, in order: ${STEPS.map((step) => step.name).join(", ")}.
Exit code 0 when all pass, 1 when one fails, 2 for wrong usage.
`;

function main(argv: readonly string[]): number {
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(HELP);
    return 0;
  }
  const skip = new Set<string>();
  let only: string | undefined;
  for (let index = 0; index < argv.length; index += 2) {
    const name = argv[index + 1];
    if (!["--skip", "--only"].includes(argv[index]) || !STEPS.some((step) => step.name === name)) {
      process.stderr.write(`Unknown argument ${argv[index]} ${name ?? ""}\n${HELP}`);
      return 2;
    }
    if (argv[index] === "--skip") skip.add(name);
    else only = name;
  }
  for (const step of STEPS) {
    if (skip.has(step.name) || (only !== undefined && only !== step.name)) continue;
    process.stdout.write(`-- ${step.name}\n`);
    const [program, ...args] = step.argv;
    const { status } = spawnSync(program, args, { stdio: ["ignore", "inherit", "inherit"] });
    if (status !== 0) {
      process.stdout.write(`-- ${step.name} failed\n`);
      return 1;
    }
  }
  return 0;
}

process.exitCode = main(process.argv.slice(2));
