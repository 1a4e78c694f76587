// Shell. `lars sim --scaling`: waves of load against the rules of scaling, as a table or a picture.

import { messageOf } from "../reactor/errors.ts";
import {
  drawScaling,
  ruleForWave,
  SCALING_WAVES,
  type ScalingOutcome,
  scalingTable,
  simulateScaling,
} from "../sim/mod.ts";
import { CommandError, UsageError } from "./cli_errors.ts";
import { printJson, printLine, printTable } from "./terminal.ts";
import { writeWholeFile } from "./whole_file.ts";

interface ScalingFlags {
  readonly promises?: true;
  readonly replay?: string;
  readonly seed?: number;
  readonly svg?: string;
  readonly json?: true;
}

/**
 * Every wave under the defaults of a rule, and those that these cannot serve again with enough nodes
 * beforehand; with seed 1 unless told otherwise, as in the docs.
 */
function allWaves(seed: number): ScalingOutcome[] {
  return SCALING_WAVES.flatMap((wave) => {
    const mins = wave.suitedMin === 1 ? [1] : [1, wave.suitedMin];
    return mins.map((min) => simulateScaling(wave, ruleForWave(wave, min), seed));
  });
}

/** The picture of those waves. */
function wavesPicture(outcomes: readonly ScalingOutcome[], seed: number): string {
  const shown = outcomes.filter(({ rule }) => rule.min === 1);
  const fleets = shown.map(({ wave, points, rule }) => ({
    title: `${wave.name}: ${wave.about}`,
    points,
    target: rule.target,
  }));
  return drawScaling(fleets, `lars sim --scaling --seed ${seed}; a rule with its defaults`);
}

/** Runs `lars sim --scaling`. */
export async function runScalingWaves(flags: ScalingFlags): Promise<void> {
  if (flags.promises === true || flags.replay !== undefined) {
    throw new UsageError("--scaling is a run of its own: leave out --promises and --replay");
  }
  const seed = flags.seed ?? 1;
  const outcomes = allWaves(seed);
  if (flags.svg !== undefined) {
    try {
      await writeWholeFile(flags.svg, wavesPicture(outcomes, seed));
    } catch (error) {
      throw new CommandError(`--svg ${messageOf(error)}`);
    }
  }
  if (flags.json === true) {
    return printJson(outcomes.map(({ wave, points, rule, ...numbers }) => ({
      wave: wave.name,
      min: rule.min,
      seed,
      ...numbers,
      points,
    })));
  }
  for (const wave of SCALING_WAVES) printLine(`${wave.name}: ${wave.about}`);
  printLine("");
  const { heads, rows } = scalingTable(outcomes);
  await printTable(heads, rows);
}
