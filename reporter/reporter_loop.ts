// Shell. Entry of a worker that runs one loop of the reporter.

import { runServiceLoop } from "../service/loops/loop_worker.ts";
import {
  ReportLoop,
  type ReportLoopInit,
  type ReportNote,
  type ReportTask,
} from "./report_loop.ts";

runServiceLoop<ReportLoopInit, ReportTask, ReportNote>(
  (init, around) => new ReportLoop(init, around),
);
