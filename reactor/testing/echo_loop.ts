// Shell. The body of the loops that the loop pool's tests start.

import { messageOf } from "../errors.ts";
import { silentLogger } from "../log.ts";
import { MessageRouter } from "../message_router.ts";
import { runLoop, type RunningLoop } from "../loops/run_loop.ts";
import { systemClock } from "../time/system_clock.ts";
import { type Connection, TcpServer } from "../tcp/tcp_server.ts";

/** Start value of a loop. */
export interface EchoInit {
  /** Text that comes back with each note. */
  readonly label: string;
  /** Throw this instead of starting. */
  readonly failure?: string;
}

/** What the tests ask of a loop. */
export type EchoTask =
  | { readonly type: "say"; readonly text: string }
  | { readonly type: "size"; readonly bytes: Uint8Array }
  | { readonly type: "listen"; readonly port: number }
  | { readonly type: "throw"; readonly text: string }
  | { readonly type: "throwLater"; readonly text: string }
  | { readonly type: "rejectLater"; readonly text: string }
  | { readonly type: "neverStop" };

/** What a loop tells. */
export type EchoNote =
  | { readonly type: "said"; readonly text: string }
  | { readonly type: "listening"; readonly port: number }
  | { readonly type: "accepted" }
  | { readonly type: "stopping" };

runLoop<EchoInit, EchoTask, EchoNote>({
  start(init, loop): Promise<RunningLoop<EchoTask>> {
    if (init.failure !== undefined) throw new Error(init.failure);
    let server: TcpServer | undefined;
    let stops = true;
    const listen = async (port: number): Promise<void> => {
      const router = new MessageRouter<Connection>()
        .add(1, (body, peer) => void peer.send(1, Uint8Array.of(loop.index, ...body)));
      server = new TcpServer({
        hostname: "127.0.0.1",
        port,
        reusePort: true,
        router,
        clock: systemClock,
        log: silentLogger,
        onAccept: () => loop.note({ type: "accepted" }),
      });
      try {
        loop.note({ type: "listening", port: (await server.listen()).port });
      } catch (error) {
        loop.note({ type: "said", text: messageOf(error) });
      }
    };
    const onTask = (task: EchoTask): void => {
      if (task.type === "say") {
        loop.note({ type: "said", text: `${init.label} ${loop.index}: ${task.text}` });
      } else if (task.type === "size") {
        loop.note({ type: "said", text: `${task.bytes.length} bytes` });
      } else if (task.type === "listen") {
        void listen(task.port);
      } else if (task.type === "throw") {
        throw new Error(task.text);
      } else if (task.type === "throwLater") {
        systemClock.setTimer(0, () => {
          throw new Error(task.text);
        });
      } else if (task.type === "rejectLater") {
        void Promise.reject(new Error(task.text));
      } else {
        stops = false;
      }
    };
    return Promise.resolve({
      onTask,
      async stop(): Promise<void> {
        loop.note({ type: "stopping" });
        if (!stops) await new Promise(() => {});
        await server?.close();
      },
    });
  },
});
