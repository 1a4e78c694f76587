// Shell. xDS as a part of the export service: the server, and what its clients say to the reporter.

import { chooseCallerIp } from "../../feed/caller_ip.ts";
import { ReportSender } from "../../feed/report_sender.ts";
import type { Address } from "../../reactor/address.ts";
import type { Rng } from "../../reactor/time/rng.ts";
import { setRepeating } from "../../reactor/time/clock.ts";
import type { Link, LinkEvents } from "../../session/link.ts";
import { XdsCallReports } from "./call_reports.ts";
import { XdsServer, type XdsServerOptions } from "./xds_server.ts";

/** Time between two sends to the reporter. */
const FLUSH_MS = 1_000;

/** What {@linkcode startXds} is given. */
export interface XdsPartOptions extends Omit<XdsServerOptions, "onCalls"> {
  /** Address of this host in reports; "" = the one it talks to the reporter with. */
  readonly callerIp: string;
  readonly rng: Rng;
  openReporter(events: LinkEvents): Link;
}

/** A running xDS server. */
export interface XdsPart {
  readonly server: XdsServer;
  readonly address: Address;
  stats(): Record<string, number>;
  close(): Promise<void>;
}

/** @throws {BindError} when the port is taken. */
export async function startXds(options: XdsPartOptions): Promise<XdsPart> {
  const { view, clock, rng, callerIp, openReporter } = options;
  const reports = new XdsCallReports();
  const sender: ReportSender = new ReportSender({
    openLink: openReporter,
    ...{ clock, rng },
    callerIp: () =>
      chooseCallerIp({
        ...{ configured: callerIp, interfaces: [] },
        locals: [sender.link.local?.hostname],
      }),
  });
  const server = new XdsServer({
    ...options,
    onCalls: (calls) => sender.add(reports.take(calls, view)),
  });
  const address = await server.listen();
  sender.link.start();
  const timer = setRepeating(clock, FLUSH_MS, () => sender.flush());
  return {
    ...{ server, address },
    stats: () => ({
      ...server.counts,
      xds_streams: server.streamCount,
      xds_connections_refused: server.refusedCount,
      xds_results_dropped: reports.droppedCount + sender.stats.resultsDropped,
    }),
    close: async () => {
      timer.cancel();
      await server.close();
      await sender.close();
    },
  };
}
