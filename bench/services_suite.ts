// Shell. Dns and reporter as their callers see them; the place of --peer-dns and --peer-reporter.

import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { MessageId } from "../proto/message_ids.ts";
import {
  decodeGetRouteResponse,
  encodeGetRouteRequest,
  encodeReportStatusRequest,
} from "../proto/codec.ts";
import type { Address } from "../reactor/address.ts";
import { messageOf } from "../reactor/errors.ts";
import { encodeFrame, FrameDecoder } from "../reactor/frame.ts";
import { systemClock } from "../reactor/time/system_clock.ts";
import { fillStore } from "./fill_store.ts";
import type { Bench, Suite } from "./harness.ts";
import { pidOfPort } from "./machine.ts";
import { REST_MODULES, REST_NODES } from "./rest_suite.ts";
import { missingRow, type Row, rowOf } from "./rows.ts";

const DNS_ROW = "dns: get_route of 20 nodes, 16 in flight: server CPU";
const REPORTER_ROW = "reporter: report of 20 results taken from TCP: server CPU";

const WINDOW = 16;
/** Reports of one measurement; the reporter keeps the latest of each node. */
const REPORTS = 5000;
/** Time in which a server has to accept and to answer. */
const ANSWER_MS_MAX = 2000;
/** Time in which a reporter has to take all reports. */
const SEND_MS_MAX = 30_000;
/** Time in which a reporter takes what is on its way. */
const REPORTER_SETTLE_MS = 500;

interface Server {
  readonly name: string;
  readonly address: Address;
  readonly pid: number | undefined;
}

/**
 * Runs `work` with a connection, until it calls `done`.
 *
 * @param ms A connection that lives longer is ended as one without an answer.
 */
async function talk(
  { hostname, port }: Address,
  ms: number,
  work: (socket: Socket, done: () => void) => void,
): Promise<void> {
  const socket = connect(port, hostname);
  const timer = systemClock.setTimer(ms, () => socket.destroy(new Error("no answer in time")));
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", () => work(socket, resolve));
      socket.on("error", reject);
      socket.on("close", () => reject(new Error("closed by the server")));
    });
  } finally {
    timer.cancel();
    socket.destroy();
  }
}

function requestFrame(modId: number): Uint8Array {
  return encodeFrame(MessageId.GetRouteRequest, encodeGetRouteRequest({ modId, cmdId: 1 }));
}

/** Asks for routes for `ms`; gives the number of answers with nodes. */
async function askRoutes({ address }: Server, ms: number): Promise<number> {
  const decoder = new FrameDecoder();
  const endMs = systemClock.nowMs() + ms;
  let next = 0;
  let answered = 0;
  await talk(address, ms + ANSWER_MS_MAX, (socket, done) => {
    const ask = (): void => {
      next = next % REST_MODULES + 1;
      socket.write(requestFrame(next));
    };
    socket.on("data", (chunk: Uint8Array) => {
      decoder.push(chunk, (msgId, body) => {
        if (msgId !== MessageId.GetRouteResponse) return;
        if (decodeGetRouteResponse(body).hosts.length > 0) answered++;
        if (systemClock.nowMs() < endMs) ask();
        else done();
      });
    });
    for (let i = 0; i < WINDOW; i++) ask();
  });
  if (answered === 0) throw new Error(`no route of the modules (1, 1) to (${REST_MODULES}, 1)`);
  return answered;
}

function reportFrame(modId: number): Uint8Array {
  const results = Array.from({ length: REST_NODES }, (_, i) => ({
    ip: 0xc0a80001 + i,
    port: 7777,
    succ: 10,
    err: 1,
    overload: false,
  }));
  const ts = Math.floor(systemClock.wallMs() / 1000);
  return encodeFrame(
    MessageId.ReportStatusRequest,
    encodeReportStatusRequest({ modId, cmdId: 1, caller: 0x7f000001, results, ts }),
  );
}

async function sendReports(bench: Bench, { address }: Server): Promise<number> {
  const reports = bench.smoke ? 50 : REPORTS;
  const settleMs = bench.smoke ? 20 : REPORTER_SETTLE_MS;
  await talk(address, SEND_MS_MAX, (socket, done) => {
    for (let i = 1; i < reports; i++) socket.write(reportFrame(i % REST_MODULES + 1));
    socket.write(reportFrame(REST_MODULES), () => systemClock.setTimer(settleMs, done));
  });
  return reports;
}

/** Microseconds of processor time of the server for each of what `work` counts. */
async function cost(bench: Bench, server: Server, work: () => Promise<number>): Promise<number> {
  const before = await bench.cpuSeconds(server.pid ?? 0);
  const count = await work();
  const after = await bench.cpuSeconds(server.pid ?? 0);
  return ((after ?? NaN) - (before ?? NaN)) / count * 1e6;
}

async function startOurs(bench: Bench, service: "dns" | "reporter"): Promise<Server[]> {
  return await Promise.all(bench.subjects.map(async (on): Promise<Server> => {
    const url = `sqlite:${join(bench.directory, `${service}-${on.name}.db`)}`;
    await fillStore(url, REST_MODULES, REST_NODES);
    const server = await bench.startService(service, on, url);
    return { name: on.name, address: server.addresses[0], pid: server.pid };
  }));
}

async function rowsOf(
  bench: Bench,
  service: "dns" | "reporter",
  name: string,
  work: (server: Server) => Promise<number>,
): Promise<Row[]> {
  if (!bench.wants("services", name)) return [];
  const servers = await startOurs(bench, service);
  const rows: Row[] = [];
  const address = bench.peers[service];
  if (address !== undefined) {
    const peer = { name: "peer", address, pid: pidOfPort(address, "tcp") };
    try {
      await work(peer);
      servers.push(peer);
    } catch (error) {
      rows.push(missingRow(name, "peer", messageOf(error)));
    }
  }
  const samples = await bench.interleave(servers.map((server) => ({
    name: server.name,
    measure: () => cost(bench, server, () => work(server)),
  })));
  await bench.stopServers();
  const reference = { reference: "peer", referenceValues: samples.get("peer") };
  return [
    ...servers.map((server) =>
      rowOf({
        name,
        subject: server.name,
        unit: "us",
        values: samples.get(server.name) ?? [],
        ...(server.name === "peer" ? {} : reference),
      })
    ),
    ...rows,
  ];
}

/** Rows of dns and reporter. */
export const servicesSuite: Suite = {
  name: "services",
  rows: [DNS_ROW, REPORTER_ROW],
  async run(bench): Promise<Row[]> {
    return [
      ...await rowsOf(bench, "dns", DNS_ROW, (server) => askRoutes(server, bench.roundMs)),
      ...await rowsOf(bench, "reporter", REPORTER_ROW, (server) => sendReports(bench, server)),
    ];
  },
};
