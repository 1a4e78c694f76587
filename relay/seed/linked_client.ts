// Core. A client of the original: requests come over L1, answers go over L2, in frames of 200 bytes.

import { RelayStatus } from "../../proto/message_ids.ts";
import type { ModuleKey } from "../../model/module.ts";
import type { Stream, StreamHandlers } from "../../reactor/runtime/types.ts";
import {
  FramedLink,
  type FramedLinkSettings,
  type LinkOwner,
} from "../../reactor/tcp/framed_link.ts";
import type { Broker } from "../broker/broker.ts";
import type { BrokerClient } from "../broker/broker_parts.ts";
import type { ClientPort, ReplyOrder } from "../broker/broker_ports.ts";
import type { MessageRefusal } from "../broker/ledger.ts";
import type { TableLink } from "./link_table.ts";
import {
  RELAY_DATA_BYTES,
  RELAY_FRAME_BYTES,
  type RelayFrame,
  RelayFrameCutter,
  RelayFrameKind,
  writeRelayFrame,
} from "./relay_frame.ts";

/** A frame that has begun and is not whole after this many looks of a second ends the links. */
export const PARTIAL_LOOKS_MAX = 10;

/** What a {@linkcode LinkedClient} tells whoever keeps it. */
export interface LinkedClientOwner {
  readonly broker: Broker;
  readonly linkSettings: FramedLinkSettings;
  /** Whose workers answer. */
  readonly module: ModuleKey;
  /** A frame for another client. */
  onTransit(from: LinkedClient, frame: RelayFrame): void;
  /** A frame of a kind that does not exist. */
  onBadFrame(): void;
  /** Its links are ended. Called once. */
  onEnded(client: LinkedClient, reason: string): void;
  /** The socket of L1 or L2 is closed. Called once for each that was given. */
  onSocketGone(): void;
}

/** Both links of one client. It is a client of the broker while both stand. */
export class LinkedClient implements StreamHandlers, LinkOwner, ClientPort, TableLink {
  readonly kind = "original";
  readonly wantsLate = false;
  readonly waitsForWorkers = true;
  readonly hostname: string;
  readonly port1: number;
  readonly #owner: LinkedClientOwner;
  readonly #l1: Stream;
  readonly #cutter = new RelayFrameCutter();
  #l2: FramedLink | undefined;
  #client: BrokerClient | undefined;
  #ended = false;
  #framesSeen = 0;
  #framesAtLook = 0;
  #partialLooks = 0;

  /** Starts L1, from which nothing is read before {@linkcode LinkedClient.open}. */
  constructor(owner: LinkedClientOwner, l1: Stream, hostname: string, port1: number) {
    this.#owner = owner;
    this.#l1 = l1;
    this.hostname = hostname;
    this.port1 = port1;
    l1.start(this);
    l1.pause();
  }

  get label(): string {
    return `${this.hostname}:${this.port1}`;
  }

  /** Its number; 0 before {@linkcode LinkedClient.open}. */
  get sid(): number {
    return this.#client?.sid ?? 0;
  }

  /** True once its links are ended. */
  get ended(): boolean {
    return this.#ended;
  }

  /** L2 stands as well: requests are read from now on. */
  open(l2: Stream): void {
    this.#l2 = new FramedLink(l2, this.#owner.linkSettings, this);
    this.#client = this.#owner.broker.addClient(this);
    this.#l1.resume();
  }

  /** Sends a frame; false when the client reads too slowly. */
  send(frame: RelayFrame): boolean {
    const l2 = this.#l2;
    const start = l2?.reserveBytes(RELAY_FRAME_BYTES) ?? -1;
    if (l2 === undefined || start < 0) return false;
    writeRelayFrame(l2.reserved, frame, start);
    return true;
  }

  /** Called by the broker. */
  takeReply({ cpid, number, status, data }: ReplyOrder): MessageRefusal | undefined {
    // The protocol has no word for these; the caller will find its time over.
    if (status === RelayStatus.Failed) return "failed";
    if (status !== RelayStatus.Ok) return undefined;
    if (data.length > RELAY_DATA_BYTES) return "oversize";
    const frame = { kind: RelayFrameKind.Request, cpid, sid: this.sid, msgid: number, data };
    return this.send(frame) ? undefined : "slow";
  }

  /** Ends both links at once. */
  cut(reason: string): void {
    this.#end(reason, false);
  }

  /** Ends both links; what has been sent still leaves. */
  close(reason: string): void {
    this.#end(reason, true);
  }

  /** To be called once a second: a frame has to become whole in time. */
  look(): void {
    const isStuck = this.#cutter.pendingBytes > 0 && this.#framesSeen === this.#framesAtLook;
    this.#framesAtLook = this.#framesSeen;
    this.#partialLooks = isStuck ? this.#partialLooks + 1 : 0;
    if (this.#partialLooks >= PARTIAL_LOOKS_MAX) this.cut("half a frame, and no more");
  }

  /** Called by L1. */
  onData(chunk: Uint8Array): void {
    this.#cutter.push(chunk, this.#onFrame);
  }

  /** Called by L1. */
  onEnd(): void {
    this.close("the client ended L1");
  }

  /** Called by L1. */
  onClose(reason: string): void {
    this.close(`L1: ${reason}`);
  }

  /** Called by L2. */
  onFrame(): void {
    this.cut("the client wrote to L2, which it has to read");
  }

  /** Called by L2. */
  onFault(): void {
    this.onFrame();
  }

  /** Called by L2, of which nobody waits to hear it. */
  onDrain(): void {}

  /** Called by L2. */
  onLost(reason: string): void {
    this.close(`L2: ${reason}`);
  }

  /** Called by L2. */
  onGone(): void {
    this.#owner.onSocketGone();
    // Also when the link was closed below, as a slow reader.
    this.close("L2 is gone");
  }

  readonly #onFrame = (frame: RelayFrame): boolean => {
    const client = this.#client;
    if (client === undefined || this.#ended) return false;
    this.#framesSeen++;
    const { broker, module: { modId, cmdId } } = this.#owner;
    if (frame.kind === RelayFrameKind.Request) {
      const { cpid, msgid: number, data } = frame;
      broker.request(client, { modId, cmdId, cpid, number, ttlMs: 0, data });
    } else if (frame.kind === RelayFrameKind.Transit) {
      this.#owner.onTransit(this, frame);
    } else {
      this.#owner.onBadFrame();
    }
    return !this.#ended;
  };

  #end(reason: string, flush: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#l1.close();
    this.#owner.onSocketGone();
    if (this.#client !== undefined) this.#owner.broker.removeClient(this.#client);
    this.#owner.onEnded(this, reason);
    if (flush) this.#l2?.finish();
    else this.#l2?.destroy();
  }
}
