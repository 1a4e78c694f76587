// Shell. Asks an agent for made-up modules from eight sockets, as a program of its own, so that whoever
// measures beside it is not held up. Arguments: first port of the agent, questions a second.

import { createSocket } from "node:dgram";
import process from "node:process";
import { frameGetHostRequest } from "../../proto/codec.ts";
import { agentPortIndex } from "../../proto/message_ids.ts";
import { paced } from "./soak.ts";

const SOCKETS = 8;
/** Made-up modules are counted up from here, elsewhere in each run; all numbers stay below 2^31. */
const FIRST_MADE_UP = 1_000_000 + (process.pid % 1000) * 2_000_000;

const [port, rate] = process.argv.slice(2).map(Number);
const sockets = Array.from({ length: SOCKETS }, () => createSocket("udp4"));
for (const socket of sockets) socket.on("message", () => {}).on("error", () => {});
let asked = 0;
paced(rate, () => {
  const modId = FIRST_MADE_UP + asked++;
  const question = frameGetHostRequest({ seq: asked, modId, cmdId: 1 });
  sockets[asked % SOCKETS].send(question, port + agentPortIndex(modId, 1), "127.0.0.1");
});
