// Core. What each setting and each policy of a module is for, in words for people who choose.

import type { PolicyName } from "./module_policy.ts";
import type { PresetName } from "./module_presets.ts";
import type { ModuleSettings } from "./module_settings.ts";

/** Groups of settings, in the order in which people look for them. */
export const SETTING_GROUPS = {
  limits: "How many nodes may be out",
  detection: "What puts a node out",
  failures: "What a failure weighs",
  recovery: "How a node comes back",
  picks: "How picks are made",
  zones: "Zones",
  original: "The original's numbers",
} as const;

/** One of {@linkcode SETTING_GROUPS}. */
export type SettingGroup = keyof typeof SETTING_GROUPS;

/** What a setting is for. Kind, unit, range and default are those of `MODULE_SETTINGS`. */
export interface SettingText {
  readonly group: SettingGroup;
  /** One sentence without its full stop. */
  readonly meaning: string;
}

/** Every setting. Its own file, as agents have no use for the words. */
export const SETTING_TEXTS: Readonly<Record<keyof ModuleSettings, SettingText>> = {
  probeNum: {
    group: "original",
    meaning: "Picks before one call in that many tries a node that is out",
  },
  initSuccCnt: {
    group: "original",
    meaning: "Calls a node is trusted with in advance: they count as successes of a fresh node",
  },
  initErrCnt: {
    group: "original",
    meaning: "Failures that a node which has just gone out must outweigh by successes",
  },
  errRate: {
    group: "original",
    meaning: "Share of failures above which a node goes out",
  },
  succRate: {
    group: "original",
    meaning: "Share of successes above which a node comes back",
  },
  continErrLimit: {
    group: "original",
    meaning: "Failures in a row that put a node out",
  },
  continSuccLimit: {
    group: "original",
    meaning: "Successes in a row that bring a node back",
  },
  windowErrRate: {
    group: "original",
    meaning: "Share of failures of a whole window from which a node goes out",
  },
  idleTimeoutMs: {
    group: "original",
    meaning: "Length of the window in which the calls of a node in use are counted",
  },
  overloadTimeoutMs: {
    group: "original",
    meaning: "Longest time a node is kept out before it is tried with all its calls again",
  },
  rules: {
    group: "detection",
    meaning: "Rules that put a node out",
  },
  evidenceMs: {
    group: "detection",
    meaning: "Time over which the rules wilson and slow gather evidence",
  },
  wilsonErrRate: {
    group: "detection",
    meaning: "Rule wilson: the error rate that must be exceeded for sure",
  },
  wilsonZ: {
    group: "detection",
    meaning: "Rules wilson and slow: how sure, in standard deviations",
  },
  wilsonFailuresMin: {
    group: "detection",
    meaning: "Rule wilson: fewer failures never put a node out",
  },
  slowFactor: {
    group: "detection",
    meaning: "Rule slow: a call is slow from this multiple of the median node's time",
  },
  slowMsMin: {
    group: "detection",
    meaning: "Rule slow: a call that took less is never slow",
  },
  slowShare: {
    group: "detection",
    meaning: "Rule slow: the share of slow calls that must be exceeded for sure",
  },
  pushbackWeight: {
    group: "failures",
    meaning:
      "How many failures a call counts as that the node turned away because it is overloaded",
  },
  refusedWeight: {
    group: "failures",
    meaning: "How many failures a call counts as whose connection was refused or lost",
  },
  timeoutWeight: {
    group: "failures",
    meaning: "How many failures a call counts as that was given up",
  },
  otherWeight: {
    group: "failures",
    meaning: "How many failures every other failed call counts as",
  },
  dryRun: {
    group: "detection",
    meaning: "Judge and tell, but leave every node in use",
  },
  overloadShareMax: {
    group: "limits",
    meaning: "Largest share of the nodes that may be out at once; below 1 one always stays",
  },
  callerOutsMax: {
    group: "limits",
    meaning: "Most nodes that one caller alone may put out in a window. 0 = any number",
  },
  whenAllOverload: {
    group: "limits",
    meaning: "What to do with calls while no node is usable",
  },
  usableShareMin: {
    group: "limits",
    meaning: "open: the module counts as without a usable node while fewer than this share are",
  },
  recovery: {
    group: "recovery",
    meaning: "How a node comes back",
  },
  ejectionMs: {
    group: "recovery",
    meaning: "staged: how long a node gets no call at first",
  },
  ejectionMaxMs: {
    group: "recovery",
    meaning: "staged: the longest such time; it doubles each time the node goes out again",
  },
  ejectionDecayMs: {
    group: "recovery",
    meaning: "staged: after each such time in use the ejection time halves again",
  },
  probeSuccesses: {
    group: "recovery",
    meaning: "staged: good probes in a row that bring a node back",
  },
  rampMs: {
    group: "recovery",
    meaning: "staged: time in which a returned node gets its full share. 0 = at once",
  },
  slowStartMs: {
    group: "recovery",
    meaning: "Time in which a node new in the route gets its full share. 0 = at once",
  },
  rampStartShare: {
    group: "recovery",
    meaning: "Share of its weight with which a ramp begins",
  },
  recoveryJitter: {
    group: "recovery",
    meaning: "Largest random part that is added to the times of ejection and ramp",
  },
  ewmaDecayMs: {
    group: "picks",
    meaning: "Time in which the average call time of a node forgets two thirds",
  },
  failurePenaltyMs: {
    group: "picks",
    meaning: "A failed call counts in that average as if it took so long, or longer if it did",
  },
  outstandingTimeoutMs: {
    group: "picks",
    meaning: "A call whose outcome nobody reported counts as ended after this time",
  },
  virtualNodes: {
    group: "picks",
    meaning: "ring_hash, bounded_ring_hash: points of a node of weight 100",
  },
  boundedLoad: {
    group: "picks",
    meaning:
      "bounded_ring_hash: calls under way of a node, at most this multiple of its fair share",
  },
  zoneAware: {
    group: "zones",
    meaning: "Nodes of the agent's own zone come first",
  },
  evacuatedZones: {
    group: "zones",
    meaning: "Zones that get no call while another one has a node",
  },
  zoneCallers: {
    group: "zones",
    meaning: "Share of all calls that come from each zone; zones that are not named share the rest",
  },
  zoneSlack: {
    group: "zones",
    meaning: "How far above its fair load the own zone is loaded before calls go elsewhere",
  },
  zoneHysteresis: {
    group: "zones",
    meaning:
      "The plan for zones changes when a share would rise by at least this; it falls at once",
  },
};

/** What each preset and each policy does, in one sentence without its full stop. */
export const POLICY_TEXTS: Readonly<Record<PresetName | PolicyName, string>> = {
  recommended: "For most modules: weighted turns, failures of each kind weighed, at most half of " +
    "the nodes out, a return in stages; never refuses a module as a whole",
  recommended_ewma: "The same for nodes that differ in speed: prefers those that answer sooner",
  lars: "The original's turns and rules: nodes in turn, all of them may be out",
  smooth_weighted_round_robin: "Turns by weight, evenly mixed",
  random_weighted: "By chance, in the proportion of the weights",
  least_connections: "The node with the fewest calls under way for its weight",
  weight_minus_connections: "The node whose weight less its calls under way is largest",
  p2c_ewma: "The better of two chosen by chance, by mean call time and calls under way",
  ring_hash: "By a key of the call, on a ring: one key, one node, as long as it is well",
  bounded_ring_hash: "The same, with a bound on what one node may get",
  maglev: "By a key of the call, from a table: evenly spread, few keys move",
};
