// Core. The two requests that callers make all the time, answered where they lie: no object is made
// for a pick or a report. Everything else is for `shard.ts`.

import { NO_TURN, type RouteLb } from "../../balancer/mod.ts";
import { ANSWER_GROWTH_MAX } from "../../proto/answer_growth.ts";
import { hotMessageId, HotReader, writeGetHostResponse } from "../../proto/hot_codec.ts";
import { MessageId, RetCode } from "../../proto/message_ids.ts";
import { HEAD_BYTES } from "../../proto/wire.ts";

/** Not handled: the datagram is for the ordinary handlers, which also say what is wrong with it. */
const PASS_ON = -1;

const SUCCESS = RetCode.Success;

/** Of one shard. */
export class HotPath {
  readonly #lb: RouteLb;
  readonly #tokenWanted: boolean;
  readonly #reader = new HotReader();

  /** `tokenWanted`: datagrams from beyond loopback go to the ordinary handlers, which check it. */
  constructor(lb: RouteLb, tokenWanted: boolean) {
    this.#lb = lb;
    this.#tokenWanted = tokenWanted;
  }

  /** As `QuickHandler` of the reactor says: length of the answer, 0 for none, -1 to pass on. */
  handle(
    bytes: Uint8Array,
    start: number,
    end: number,
    fromLoopback: boolean,
    fromPort: number,
    nowMs: number,
    answer: Uint8Array,
    answerStart: number,
  ): number {
    if (fromLoopback) return this.#handle(bytes, start, end, fromPort, nowMs, answer, answerStart);
    if (this.#tokenWanted) return PASS_ON;
    const length = this.#handle(bytes, start, end, fromPort, nowMs, answer, answerStart);
    return length > (end - start) * ANSWER_GROWTH_MAX ? 0 : length;
  }

  #handle(
    bytes: Uint8Array,
    start: number,
    end: number,
    fromPort: number,
    nowMs: number,
    answer: Uint8Array,
    answerStart: number,
  ): number {
    const reader = this.#reader;
    const msgId = hotMessageId(bytes, start, end);
    if (msgId === MessageId.GetHostRequest) {
      if (!reader.readGetHost(bytes, start + HEAD_BYTES, end)) return PASS_ON;
      const { seq, modId, cmdId } = reader;
      const turn = this.#lb.nextTurn(modId, cmdId, nowMs);
      if (turn !== NO_TURN) {
        const ip = this.#lb.turnIp(turn);
        const port = this.#lb.turnPort(turn);
        this.#lb.given(fromPort, modId, cmdId, ip, port);
        return writeGetHostResponse(answer, answerStart, seq, modId, cmdId, SUCCESS, ip, port);
      }
      const picked = this.#lb.getHost(modId, cmdId, nowMs);
      if (typeof picked === "number") {
        return writeGetHostResponse(answer, answerStart, seq, modId, cmdId, picked, 0, 0);
      }
      const { signedIp, port } = picked;
      this.#lb.given(fromPort, modId, cmdId, signedIp, port);
      return writeGetHostResponse(answer, answerStart, seq, modId, cmdId, SUCCESS, signedIp, port);
    }
    if (msgId === MessageId.ReportRequest) {
      if (!reader.readReport(bytes, start + HEAD_BYTES, end)) return PASS_ON;
      const { modId, cmdId, ip, port, retcode, timecostMs } = reader;
      this.#lb.report(modId, cmdId, ip, port, retcode, timecostMs, nowMs, fromPort);
      return 0;
    }
    return PASS_ON;
  }
}
