import assert from "node:assert/strict";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { PACK_CHARS_MIN, packedBody, takesGzip } from "./packing.ts";

test("takesGzip() reads Accept-Encoding", () => {
  for (
    const [header, takes] of [
      [undefined, false],
      [null, false],
      ["", false],
      ["gzip", true],
      ["br, GZIP;q=0.5", true],
      ["deflate,gzip ; q=1.0", true],
      ["gzip;q=0", false],
      ["br, gzip; q=0.00", false],
      ["gzip;q=0.001", true],
      ["xgzip, gzip-9", false],
      ["identity", false],
    ] as const
  ) assert.equal(takesGzip(header), takes, String(header));
});

test("packedBody() packs long texts for those who take them so", async () => {
  const long = "é".repeat(PACK_CHARS_MIN);
  const ask = async (text: string, acceptEncoding: string): Promise<[unknown, Headers]> => {
    const headers = new Headers();
    const request = new Request("http://x/", { headers: { "Accept-Encoding": acceptEncoding } });
    return [await packedBody(text, request, headers), headers];
  };
  const [packed, headers] = await ask(long, "gzip");
  assert.ok(packed instanceof Uint8Array && packed.length < 1000);
  assert.equal(gunzipSync(packed).toString(), long);
  assert.deepEqual([headers.get("Content-Encoding"), headers.get("Vary")], [
    "gzip",
    "Accept-Encoding",
  ]);
  const [plain, plainHeaders] = await ask(long, "identity");
  assert.equal(plain, long);
  assert.deepEqual([plainHeaders.get("Content-Encoding"), plainHeaders.get("Vary")], [
    null,
    "Accept-Encoding",
  ]);
  const [short, shortHeaders] = await ask(long.slice(1), "gzip");
  assert.deepEqual([short, [...shortHeaders]], [long.slice(1), []]);
});
