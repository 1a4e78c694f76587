// Shell. Certificates of a fleet as files, for services that talk over TLS alone.

import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { FleetCertificates } from "../../session/testing/fleet_certificates.ts";

/** Files of certificates, one folder for all, and the settings that name them. */
export class TlsFiles {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  path(name: string): string {
    return join(this.#directory, name);
  }

  /** Puts a file in the place of the old one, whole. */
  write(name: string, text: string): void {
    writeFileSync(this.path(`${name}.new`), text);
    renameSync(this.path(`${name}.new`), this.path(name));
  }

  async pair(fleet: FleetCertificates, name: string, ...roles: string[]): Promise<void> {
    const { cert, key } = await fleet.pair(name, roles);
    this.write(`${name}.pem`, cert + key);
  }

  flags(name: string): string[] {
    return [
      `--tls-cert=${this.path(`${name}.pem`)}`,
      `--tls-ca=${this.path("ca.pem")}`,
      "--tls-plain=off",
    ];
  }

  env(name: string): Record<string, string> {
    return {
      LARS_TLS_CERT: this.path(`${name}.pem`),
      LARS_TLS_CA: this.path("ca.pem"),
      LARS_TLS_PLAIN: "off",
    };
  }
}
