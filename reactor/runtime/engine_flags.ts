// Core. With which flags Deno runs a service.

/**
 * Of `deno run` and `deno compile`. V8 lets the young part of each thread's heap grow to 64 MB, where
 * garbage lies until it is full, and gives nothing of it back: with half-spaces of 2 MB it is 4 MB, at
 * no measurable processor time. What `DENO_V8_FLAGS` in the environment says of the same yields to it.
 */
export const DENO_SERVICE_FLAGS: readonly string[] = ["--v8-flags=--max-semi-space-size=2"];
