// Shell. One loop of task_server.ts: a TCP server of its own, and tasks from the main program.

import {
  type Connection,
  formatAddress,
  MessageRouter,
  runLoop,
  type RunningLoop,
  systemClock,
  TcpServer,
} from "../mod.ts";
import { exampleLog } from "./example_program.ts";

/** Start value of a loop. */
export interface TaskLoopInit {
  readonly hostname: string;
}

/** What the main program asks. */
export type TaskLoopTask =
  | { readonly type: "listen"; readonly port: number }
  | { readonly type: "greet"; readonly text: string };

/** What a loop tells. */
export type TaskLoopNote =
  | { readonly type: "listening"; readonly port: number }
  | { readonly type: "accepted"; readonly remote: string }
  | { readonly type: "greeted"; readonly connections: number };

/** Message ids as in echo_server.ts: 1 is echoed, 101 comes unasked. */
const ECHO = 1;
const GREETING = 101;

runLoop<TaskLoopInit, TaskLoopTask, TaskLoopNote>({
  start(init, loop): Promise<RunningLoop<TaskLoopTask>> {
    let server: TcpServer | undefined;
    const listen = async (port: number): Promise<void> => {
      server = new TcpServer({
        hostname: init.hostname,
        port,
        reusePort: true,
        clock: systemClock,
        log: exampleLog,
        router: new MessageRouter<Connection>({ log: exampleLog, clock: systemClock })
          .add(ECHO, (body, peer) => void peer.send(ECHO, body))
          .add(2, () => {}),
        onAccept: ({ remote }) => loop.note({ type: "accepted", remote: formatAddress(remote) }),
      });
      loop.note({ type: "listening", port: (await server.listen()).port });
    };
    const greet = (text: string): void => {
      const body = new TextEncoder().encode(text);
      for (const connection of server?.connections() ?? []) connection.send(GREETING, body);
      loop.note({ type: "greeted", connections: server?.connectionCount ?? 0 });
    };
    return Promise.resolve({
      onTask: (task): void => task.type === "listen" ? void listen(task.port) : greet(task.text),
      stop: (): Promise<void> => server?.close() ?? Promise.resolve(),
    });
  },
});
