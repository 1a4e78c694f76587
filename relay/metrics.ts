// Core. What the counters of the relay are called as metrics.

import {
  counter,
  gauge,
  type MetricTable,
  serverMetrics,
} from "../daemon/monitor/service_metrics.ts";
import { REFUSALS } from "./broker/ledger.ts";

/** The counts of one kind of message: `sent` is the sum of the others at any moment. */
function ledgerMetrics(stat: string, what: string): MetricTable {
  const prefix = `lars_relay_${stat}`;
  const refusals = REFUSALS.map((reason) => [
    `${stat}_refused_${reason}`,
    counter(`${prefix}_refused_total`, `${what} not taken, or given up before their time.`, {
      labels: { reason },
    }),
  ]);
  return {
    [`${stat}_sent`]: counter(`${prefix}_sent_total`, `${what} that came.`),
    [`${stat}_delivered`]: counter(
      `${prefix}_delivered_total`,
      `${what} handed to whom they were for.`,
    ),
    [`${stat}_expired`]: counter(`${prefix}_expired_total`, `${what} whose time was over.`),
    [`${stat}_waiting`]: gauge(`${prefix}_waiting`, `${what} that wait.`),
    ...Object.fromEntries(refusals),
  };
}

const linksRefused = (reason: string): MetricTable[string] =>
  counter("lars_relay_links_refused_total", "Clients of the original that got no links.", {
    labels: { reason },
  });

/** Metrics of the relay by counter. */
export const relayMetrics: MetricTable = {
  ...serverMetrics("relay"),
  ...ledgerMetrics("requests", "Requests"),
  ...ledgerMetrics("replies", "Answers of workers"),
  ...ledgerMetrics("transits", "Frames from a client of the original to another"),
  ...ledgerMetrics("messages", "Messages from client to client that are not kept"),
  ...ledgerMetrics("mail", "Messages that are kept until they are taken"),
  names: gauge("lars_relay_names", "Clients that have names."),
  groups: gauge("lars_relay_groups", "Groups that have members."),
  mail_unwritten: gauge("lars_relay_mail_unwritten", "Messages on their way to the database."),
  mail_readers: gauge("lars_relay_mail_readers", "Mailboxes whose clients are here."),
  mail_failures: counter(
    "lars_relay_mail_failures_total",
    "Calls of the database that failed; each is tried again.",
  ),
  mail_waiting_bytes: gauge(
    "lars_relay_mail_waiting_bytes",
    "Bytes of messages that are kept, as of the last look, 10 s ago at most.",
  ),
  mail_share: gauge(
    "lars_relay_mail_share",
    "Of what may be kept, the share that is, in messages or in bytes, 0 to 1.",
  ),
  mail_stores_lost: counter(
    "lars_relay_mail_stores_lost_total",
    "Times that the stream of messages was found to be made anew, without what it held.",
  ),
  relays: gauge("lars_relay_relays", "Other relays that are here."),
  relays_connected: gauge(
    "lars_relay_relays_connected",
    "1 while other relays can be reached, else 0.",
  ),
  relays_names: gauge("lars_relay_relays_names", "Clients of other relays that have names."),
  relays_unknown: counter(
    "lars_relay_relays_unknown_total",
    "Relays, clients and groups elsewhere that were too many to be known.",
  ),
  relays_passes_pending: gauge(
    "lars_relay_relays_passes_pending",
    "Messages and requests passed to other relays that have no answer yet.",
  ),
  relays_passed: counter(
    "lars_relay_relays_passed_total",
    "Messages and requests passed to other relays; these count a request too.",
  ),
  relays_passes_taken: counter(
    "lars_relay_relays_passes_taken_total",
    "Messages and requests taken from other relays.",
  ),
  relays_passes_unanswered: counter(
    "lars_relay_relays_passes_unanswered_total",
    "Messages and requests passed on of which nothing more was heard.",
  ),
  relays_passes_refused: counter(
    "lars_relay_relays_passes_refused_total",
    "Messages and requests that could not be passed on.",
  ),
  relays_broken_messages: counter(
    "lars_relay_relays_broken_messages_total",
    "Messages of other relays that could not be read.",
  ),
  clients: gauge("lars_relay_clients", "Clients that are here, of every kind but other relays."),
  workers: gauge("lars_relay_workers", "Workers that are here."),
  modules: gauge("lars_relay_modules", "Modules with workers, or with requests that wait."),
  requests_at_workers: gauge("lars_relay_requests_at_workers", "Requests that workers have."),
  requests_timed_out: counter(
    "lars_relay_requests_timed_out_total",
    "Requests without an answer in time, seen by a worker or not.",
  ),
  requests_lost_with_worker: counter(
    "lars_relay_requests_lost_with_worker_total",
    "Requests whose worker went away with them.",
  ),
  waiting_bytes: gauge("lars_relay_waiting_bytes", "Bytes of requests that wait for a worker."),
  oldest_waiting_seconds: gauge(
    "lars_relay_oldest_waiting_seconds",
    "For how long the oldest request has waited for a worker; 0: none waits.",
  ),
  links: gauge("lars_relay_links", "Clients of the original."),
  links_being_made: gauge("lars_relay_links_being_made", "Of these, those not yet connected to."),
  links_registered: counter(
    "lars_relay_links_registered_total",
    "Clients of the original that came.",
  ),
  links_ended: counter("lars_relay_links_ended_total", "Clients of the original that went."),
  links_refused_text: linksRefused("text"),
  links_refused_ports: linksRefused("own_port"),
  links_refused_limit: linksRefused("limit"),
  links_unreachable: linksRefused("unreachable"),
  links_evicted: linksRefused("made_room"),
  bad_frames: counter("lars_relay_bad_frames_total", "Frames of no kind that exists."),
  connections_undecided: gauge(
    "lars_relay_connections_undecided",
    "Connections that have sent nothing yet.",
  ),
  connections_without_a_byte: counter(
    "lars_relay_connections_without_a_byte_total",
    "Connections closed because they sent nothing in time, or to make room.",
  ),
  connections_web: gauge("lars_relay_connections_web", "Connections that are WebSockets."),
  web_upgraded: counter("lars_relay_web_upgraded_total", "WebSockets that were opened."),
  web_broken: counter(
    "lars_relay_web_broken_total",
    "WebSockets closed for a message that was not one frame.",
  ),
  web_foreign: counter(
    "lars_relay_web_foreign_total",
    "WebSockets refused because of the origin of their page.",
  ),
  web_silent: counter(
    "lars_relay_web_silent_total",
    "Connections to the port for WebSockets that sent nothing in time.",
  ),
};
