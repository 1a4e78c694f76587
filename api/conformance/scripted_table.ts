// Shell. The table of a scripted agent, as a file: kept alive, left to grow old, retired, replaced.

import { closeSync, fchmodSync, openSync, renameSync, writeSync } from "node:fs";
import { TableField } from "../../proto/table_layout.ts";
import { monotonicMs } from "../../reactor/fast/shared_file.ts";
import { parseIpv4 } from "../../reactor/address.ts";
import { setRepeating, type Timer } from "../../reactor/time/clock.ts";
import { systemClock } from "../../reactor/time/system_clock.ts";
import { changedWords, tableImage, type TableScript } from "./table_script.ts";

const BEAT_MS = 200;

/** By how much a heartbeat that is to be old is. */
const OLD_BY_MS = 60_000;

/** One path, and the file that is there. */
export class ScriptedTable {
  readonly path: string;
  readonly #ip: number;
  #file: number | undefined;
  #image: Uint8Array = new Uint8Array();
  #changes = 1;
  #beat: Timer | undefined;

  /** `address`: where the agent listens. */
  constructor(path: string, address: string) {
    this.path = path;
    this.#ip = parseIpv4(address);
  }

  /** Puts another file in the place of what is there, which is retired; or changes what is there. */
  write(script: TableScript, port: number): void {
    if (script.inPlace === true) this.#change(script, port);
    else this.#replace(script, port);
  }

  #change(script: TableScript, port: number): void {
    const file = this.#file;
    if (file === undefined) throw new RangeError("There must be a table to be changed");
    const image = tableImage(script, port, 0, ++this.#changes, this.#ip);
    for (const word of changedWords(this.#image, image)) {
      writeSync(file, image, word * 8, 8, word * 8);
    }
    this.#image = image;
  }

  #replace(script: TableScript, port: number): void {
    const isOld = script.old === true;
    const beatMs = monotonicMs() - (isOld ? OLD_BY_MS : 0);
    const image = tableImage(script, port, beatMs, 1, this.#ip);
    const beside = `${this.path}.new`;
    const file = openSync(beside, "w");
    writeSync(file, image);
    fchmodSync(file, script.writable === true ? 0o666 : 0o640);
    renameSync(beside, this.path);
    this.retire();
    this.close();
    this.#file = file;
    this.#image = image;
    this.#changes = 1;
    if (!isOld) this.revive();
  }

  /** Says that this file is written no more. */
  retire(): void {
    this.#write(TableField.Retired, 1);
  }

  /** The heartbeat stops, and is long ago. */
  age(): void {
    this.#beat?.cancel();
    this.#writeBeat(monotonicMs() - OLD_BY_MS);
  }

  /** The heartbeat goes on. */
  revive(): void {
    this.#writeBeat(monotonicMs());
    this.#beat?.cancel();
    this.#beat = setRepeating(systemClock, BEAT_MS, () => this.#writeBeat(monotonicMs()));
  }

  /** Leaves the file alone. */
  close(): void {
    this.#beat?.cancel();
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  #writeBeat(ms: number): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(Math.max(0, Math.trunc(ms))), true);
    if (this.#file !== undefined) writeSync(this.#file, bytes, 0, 8, TableField.Heartbeat);
  }

  #write(at: number, value: number): void {
    const bytes = new Uint8Array(4);
    new DataView(bytes.buffer).setUint32(0, value, true);
    if (this.#file !== undefined) writeSync(this.#file, bytes, 0, 4, at);
  }
}
