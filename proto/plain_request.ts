// Core. The request for a route as peers of the original are sent it.

import { WireWriter } from "./wire.ts";

/**
 * Body of GetRouteRequest with both numbers written, 0 too. Without them the question for module
 * (0,0) has no body, and the original's dns ends on a frame without one. Anybody can read it.
 */
export function encodePlainRouteRequest(modId: number, cmdId: number): Uint8Array {
  const writer = new WireWriter();
  [modId, cmdId].forEach((value, index) => {
    const field = index + 1;
    if ((value | 0) === 0) writer.optionalUint32(field, 0);
    else writer.int32(field, value);
  });
  return writer.finish();
}
