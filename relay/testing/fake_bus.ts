// Core. What relays reach each other by, in memory, for tests: it loses messages and breaks as it is told.

import type { RelayBus } from "../cluster/relay_bus.ts";

/** All relays of one test. */
export class FakeHub {
  readonly buses: FakeBus[] = [];

  /** The way of one more relay. */
  connect(): FakeBus {
    const bus = new FakeBus(this);
    this.buses.push(bus);
    return bus;
  }
}

/** One relay's way to the others. */
export class FakeBus implements RelayBus {
  /** True: what it publishes is lost, without a word. */
  losesAll = false;
  #connected = true;
  readonly #hub: FakeHub;
  readonly #listeners: ((connected: boolean) => void)[] = [];
  readonly #handlers = new Map<string, (body: Uint8Array) => void>();

  constructor(hub: FakeHub) {
    this.#hub = hub;
  }

  get connected(): boolean {
    return this.#connected;
  }

  set connected(connected: boolean) {
    if (this.#connected === connected) return;
    this.#connected = connected;
    for (const hear of this.#listeners) hear(connected);
  }

  publish(subject: string, body: Uint8Array): boolean {
    if (!this.#connected) return false;
    if (this.losesAll) return true;
    const copy = body.slice();
    for (const bus of this.#hub.buses) {
      queueMicrotask(() => {
        if (bus.#connected) bus.#handlers.get(subject)?.(copy);
      });
    }
    return true;
  }

  subscribe(subject: string, onMessage: (body: Uint8Array) => void): void {
    this.#handlers.set(subject, onMessage);
  }

  onState(hear: (connected: boolean) => void): void {
    this.#listeners.push(hear);
  }
}
