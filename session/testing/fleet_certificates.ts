// Shell. A certificate authority and certificates of it, for tests.

import { systemClock } from "../../reactor/time/system_clock.ts";
import { type MadePair, makeAuthority, makeCertificate } from "../tls/certificate_maker.ts";
import type { TlsMaterial } from "../tls/tls_identity.ts";

/** An authority and what it gives out. */
export class FleetCertificates {
  readonly authority: MadePair;

  private constructor(authority: MadePair) {
    this.authority = authority;
  }

  static async make(name = "fleet"): Promise<FleetCertificates> {
    const nowMs = systemClock.wallMs();
    return new FleetCertificates(await makeAuthority({ name, days: 30, nowMs }));
  }

  /** A certificate of some roles; `days` below 0 make one that has expired. */
  pair(name: string, roles: readonly string[], days = 10, nowMs?: number): Promise<MadePair> {
    const hosts = ["localhost", "127.0.0.1"];
    const wish = { name, roles, hosts, days, nowMs: nowMs ?? systemClock.wallMs() };
    return makeCertificate(this.authority, wish);
  }

  /** All of what one with some roles shows and believes; everybody has to speak TLS. */
  async material(
    roles: readonly string[],
    more: Partial<TlsMaterial> = {},
  ): Promise<TlsMaterial> {
    const pair = await this.pair(roles.join("-"), roles);
    return { ...pair, ca: this.authority.cert, refused: [], plain: "off", ...more };
  }
}
