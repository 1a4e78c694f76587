// Shell. Every suite of the table, in its order. A new one is added here.

import { agentSuite } from "./agent_suite.ts";
import { consoleSuite } from "./console_suite.ts";
import { coreSuite } from "./core_suite.ts";
import { discoverySuite } from "./discovery_suite.ts";
import { dnsSuite } from "./dns_suite.ts";
import { exportSuite } from "./export_suite.ts";
import { growthSuite } from "./growth_suite.ts";
import type { Suite } from "./harness.ts";
import { reporterSuite } from "./reporter_suite.ts";
import { languagesSuite } from "./languages_suite.ts";
import { inProcessSuite } from "./in_process_suite.ts";
import { relaySuite } from "./relay_suite.ts";
import { restSuite } from "./rest_suite.ts";
import { servicesSuite } from "./services_suite.ts";
import { tcpSuite } from "./tcp_suite.ts";

/** What `deno task bench` runs. */
export const suites: readonly Suite[] = [
  agentSuite,
  growthSuite,
  restSuite,
  tcpSuite,
  dnsSuite,
  reporterSuite,
  discoverySuite,
  exportSuite,
  relaySuite,
  servicesSuite,
  consoleSuite,
  inProcessSuite,
  languagesSuite,
  coreSuite,
];
