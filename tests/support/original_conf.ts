// Shell. The original's files as they were published, and the machine they expect to run on.

import { join } from "node:path";
import { PROJECT_ROOT } from "./processes.ts";

/** Configuration files of the original, unchanged. */
export const ORIGINAL_CONF = {
  dns: join(PROJECT_ROOT, "tests/original/lars_dns.conf"),
  reporter: join(PROJECT_ROOT, "tests/original/lars_reporter.conf"),
  agent: join(PROJECT_ROOT, "tests/original/lars_lb_agent.conf"),
} as const;

/** SQL files of the original, unchanged. */
export const ORIGINAL_SQL = {
  schema: join(PROJECT_ROOT, "sql/original/lars_dns.sql"),
  insert: join(PROJECT_ROOT, "sql/original/dns_route_insert.sql"),
  drop: join(PROJECT_ROOT, "sql/original/dns_route_drop.sql"),
  testInsert: join(PROJECT_ROOT, "sql/original/test_insert_dns_route.sql"),
} as const;

/** Ports written in the original's files. */
export const ORIGINAL_PORTS = { mysql: 3306, dns: 7778, reporter: 7779, agent: 8888 } as const;

/** Account and database written in the original's files and sources. */
export const ORIGINAL_MYSQL = {
  user: "root",
  password: "aceld",
  database: "lars_dns",
  url: "mysql://root:aceld@127.0.0.1:3306/lars_dns",
} as const;

/** One step of the scenario and how it ended, as printed by `original_scenario.ts`. */
export interface ScenarioResult {
  readonly step: string;
  /** Absent when it went well. */
  readonly fault?: string;
  /** What was measured, for the reader of the test's output. */
  readonly measured?: string;
}

/** Names of the steps, which are also the names of the tests. */
export const SCENARIO_STEPS = [
  "the SQL files load through the mariadb client",
  "the services start from the configuration files, on the original ports",
  "a foreign program gets the routes",
  "test_insert_dns_route.sql is pushed",
  "the agent gives nodes on UDP 8888 + (modid + cmdid) mod 3",
  "reports become rows of ServerCallStatus",
  "two edits in one second are both pushed",
  "an UPDATE that moves a node reaches both modules",
  "a bare DELETE is pushed",
  "dns_route_drop.sql empties every route",
  "SIGTERM ends every service with exit code 0",
  "lars sql migrate leaves the original columns where they were",
  "the same files work on the migrated database",
  "the original schema can be loaded again under running services",
] as const;
