// Core. The byte vectors as exchanges: what a client writes, and what it makes of bytes it is sent.

import { MessageId } from "../../proto/message_ids.ts";
import type { AgentRule, Exchange, Reply } from "./exchange.ts";

/** The file `vectors.json`. Bodies are hex, without the `seq` at their beginning. */
export interface Vectors {
  /** A command, and the body that must reach the agent. */
  readonly questions: readonly {
    readonly name: string;
    readonly do: string;
    readonly message: number;
    readonly body: string;
  }[];
  /** Answers to `get_host 1 2`, and the result. */
  readonly answers: readonly {
    readonly name: string;
    readonly body: string;
    readonly expect: string;
  }[];
  /** What is no answer to `get_host 1 2`: dropped, and the good one after it is taken. */
  readonly garbage: readonly {
    readonly name: string;
    readonly body?: string;
    readonly datagram?: string;
  }[];
  /** Answers to `get_route 1 2`, and the result. */
  readonly routes: readonly {
    readonly name: string;
    readonly body: string;
    readonly expect: string;
  }[];
}

const PATIENT = "deadline_ms=20000 first_route_ms=0";
const ANY_NODE: readonly AgentRule[] = [
  { on: MessageId.GetHostRequest, reply: [{ host: "10.0.0.9:99" }] },
  { on: MessageId.ApiGetRouteRequest, reply: [{ route: ["10.0.0.9:99"] }] },
];

/** Result of the commands that {@linkcode ANY_NODE} answers, by their first word. */
const ANY_RESULT: Readonly<Record<string, string>> = {
  get_host: "host 10.0.0.9:99",
  get_route: "route 10.0.0.9:99",
  report: "ok",
};

/** One exchange for each vector. */
export function exchangesOfVectors(vectors: Vectors): Exchange[] {
  return [
    ...vectors.questions.map((one): Exchange => ({
      name: `bytes of a question: ${one.name}`,
      why: "the agent reads another question, or none",
      options: PATIENT,
      agent: ANY_NODE,
      steps: [
        { do: one.do, expect: ANY_RESULT[one.do.split(" ")[0]] },
        { questions: { message: one.message, bodies: [one.body] } },
      ],
    })),
    ...vectors.answers.map((one): Exchange => ({
      name: `bytes of an answer: ${one.name}`,
      why: "an agent of another build is misunderstood",
      options: PATIENT,
      agent: [rule(MessageId.GetHostRequest, [answer(one.body)])],
      steps: [{ do: "get_host 1 2", expect: one.expect }],
    })),
    ...vectors.garbage.map((one): Exchange => ({
      name: `bytes that are none: ${one.name}`,
      why: "bytes from anywhere become a node, or end the wait for the good answer",
      options: PATIENT,
      agent: [rule(MessageId.GetHostRequest, [
        one.datagram === undefined ? answer(one.body ?? "") : { datagram: one.datagram },
        { host: "10.0.0.9:99" },
      ])],
      steps: [{ do: "get_host 1 2", expect: "host 10.0.0.9:99" }, {
        until: "stats",
        expect: "stats garbage=1",
      }],
    })),
    ...vectors.routes.map((one): Exchange => ({
      name: `bytes of a route: ${one.name}`,
      why: "an agent of another build is misunderstood",
      options: PATIENT,
      agent: [rule(MessageId.ApiGetRouteRequest, [{
        body: one.body,
        message: MessageId.ApiGetRouteResponse,
        withSeq: false,
      }])],
      steps: [{ do: "get_route 1 2", expect: one.expect }],
    })),
  ];
}

function answer(body: string): Reply {
  return { body, message: MessageId.GetHostResponse };
}

function rule(on: number, reply: readonly Reply[]): AgentRule {
  return { on, reply };
}
