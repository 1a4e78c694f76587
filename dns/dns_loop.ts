// Shell. Entry of a worker that runs one loop of dns.

import { runServiceLoop } from "../service/loops/loop_worker.ts";
import { RouteLoop, type RouteLoopInit, type RouteNote, type RouteTask } from "./route_loop.ts";

runServiceLoop<RouteLoopInit, RouteTask, RouteNote>((init, around) => new RouteLoop(init, around));
