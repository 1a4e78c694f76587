// Core. A route as the frames an in-process client is sent: one, or parts when it is large.

import { MessageId } from "../../proto/message_ids.ts";
import { encodeGetRouteResponse, encodeRoutePart, type HostInfo } from "../../proto/codec.ts";
import { encodeFrame, FRAME_BODY_BYTES_MAX } from "../../reactor/frame.ts";
import { type PackedRoute, unpackNodes } from "../routes/packed_route.ts";

/** Bytes that the fields around the nodes take at most: four numbers of up to 11, a policy's head. */
const FIELDS_BYTES = 64;

/** Bytes of a node without its zone at most: tag and length 4, ip 11, port 4, weight 5, zone 4. */
const NODE_BYTES = 28;

/** The frames of a route, one behind the other. */
export function framesOfRoute(
  route: PackedRoute,
  bodyBytesMax = FRAME_BODY_BYTES_MAX,
): Uint8Array {
  const { modId, cmdId, policy } = route;
  // A UTF-16 unit takes at most three bytes.
  const parts = partsOf(route, bodyBytesMax - FIELDS_BYTES - 3 * policy.length);
  if (parts.length === 1) {
    const body = encodeGetRouteResponse({ modId, cmdId, hosts: parts[0], policy });
    return encodeFrame(MessageId.GetRouteResponse, body);
  }
  const frames = parts.map((hosts, part) =>
    encodeFrame(
      MessageId.RoutePart,
      encodeRoutePart({ modId, cmdId, hosts, part, partCount: parts.length, policy }),
    )
  );
  return concat(frames);
}

function partsOf(route: PackedRoute, bytesMax: number): HostInfo[][] {
  const parts: HostInfo[][] = [[]];
  let bytes = 0;
  for (const { ip, port, weight, zone = "", state } of unpackNodes(route)) {
    // A UTF-16 unit takes at most three bytes. A zone that fits no frame is left out.
    const zoneBytes = 3 * zone.length;
    const host: HostInfo = NODE_BYTES + zoneBytes <= bytesMax && zone !== ""
      ? { ip, port, weight, zone }
      : { ip, port, weight };
    if (state === "drain") host.state = state;
    const hostBytes = NODE_BYTES + (host.zone === undefined ? 0 : zoneBytes);
    if (bytes + hostBytes > bytesMax) {
      parts.push([]);
      bytes = 0;
    }
    bytes += hostBytes;
    parts[parts.length - 1].push(host);
  }
  return parts;
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(pieces.reduce((bytes, piece) => bytes + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}
