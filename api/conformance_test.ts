// One suite for every client: see client_conformance.ts.

import { LarsClient } from "./client.ts";
import { clientConformance } from "./testing/client_conformance.ts";
import { InProcessClient } from "./in_process_client.ts";

clientConformance({
  name: "LarsClient",
  agent: true,
  open: ({ agentPort }, deadlineMs) => new LarsClient({ port: agentPort, deadlineMs }),
  openVain: (deadlineMs) => new LarsClient({ port: 1, deadlineMs }),
});

clientConformance({
  name: "InProcessClient, local",
  agent: true,
  open: ({ agentPort }, deadlineMs) =>
    new InProcessClient({ agents: [`127.0.0.1:${agentPort}`], deadlineMs }),
  openVain: (deadlineMs) => new InProcessClient({ agents: ["127.0.0.1:1"], deadlineMs }),
});

clientConformance({
  name: "InProcessClient, direct",
  agent: false,
  open: ({ dns, reporter }, deadlineMs) =>
    new InProcessClient({
      mode: "direct",
      dns: [`127.0.0.1:${dns.port}`],
      reporters: [`127.0.0.1:${reporter.port}`],
      deadlineMs,
    }),
  openVain: (deadlineMs) =>
    new InProcessClient({
      mode: "direct",
      dns: ["127.0.0.1:1"],
      reporters: ["127.0.0.1:1"],
      deadlineMs,
    }),
});
