// Shell. Finds out which three UDP ports in a row the agent can have.

import { AGENT_PORT_COUNT } from "../../proto/message_ids.ts";
import { BindError } from "../../reactor/errors.ts";
import type { Logger } from "../../reactor/log.ts";
import type { Clock } from "../../reactor/time/clock.ts";
import { UdpServer } from "../../reactor/udp/udp_server.ts";

/** Tries to find three free ports in a row. */
const FREE_PORT_TRIES = 50;

/**
 * Finds out whether the ports can be had, here, where the error can be told well.
 *
 * @param port First of three; 0 = find three free ones.
 * @returns the first port.
 * @throws {BindError} when one is taken.
 */
export async function claimPorts(
  hostname: string,
  port: number,
  clock: Clock,
  log: Logger,
): Promise<number> {
  for (let attempt = 1;; attempt++) {
    const servers: UdpServer[] = [];
    const bind = async (wanted: number): Promise<number> => {
      const server = new UdpServer({ hostname, port: wanted, clock, log, onDatagram: () => {} });
      servers.push(server);
      return (await server.bind()).port;
    };
    try {
      const first = await bind(port);
      for (let i = 1; i < AGENT_PORT_COUNT; i++) await bind(first + i);
      return first;
    } catch (error) {
      // A free port may have no free neighbours, or be too near to 65535.
      const again = port === 0 && attempt < FREE_PORT_TRIES;
      if (!again || !(error instanceof BindError || error instanceof RangeError)) throw error;
    } finally {
      for (const server of servers) await server.close();
    }
  }
}
