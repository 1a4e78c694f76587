// Shell. The worker of `bare_main.ts`: sends datagrams back, on the socket of the runtime.

import { type Address, formatAddress } from "../reactor/address.ts";
import { runtime, type UdpSocket } from "../reactor/runtime/mod.ts";

async function serve(port: number): Promise<void> {
  const socket: UdpSocket = await runtime.bindUdp({
    hostname: "127.0.0.1",
    port,
    onDatagram: (bytes: Uint8Array, from: Address): void => void socket.send(bytes, from),
    onError: () => undefined, // A caller that went away.
  });
  const addresses = [formatAddress(socket.address)];
  runtime.writeStdout(JSON.stringify({ event: "ready", addresses }) + "\n");
}

globalThis.addEventListener("message", (event) => {
  void serve((event as MessageEvent<number>).data);
});
