// Core. How a program ends.

/** Exit codes of every command. */
export const ExitCode = { Ok: 0, Failed: 1, Usage: 2 } as const;
