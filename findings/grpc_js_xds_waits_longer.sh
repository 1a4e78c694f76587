#!/usr/bin/env bash
# @grpc/grpc-js-xds 1.14.1: each stream to the xDS server that ends makes the next one wait longer, for
# the life of the program, although every one of them was answered.
#
# Expected: once a stream has had an answer the wait begins anew, at about a second, as that of its load
#   reports does and as in the gRPC of C++.
# Seen: a stream may follow the one before 1 s, then 1.6 s, 2.6 s, 4.1 s and so on after that one began, up
#   to two minutes. The function that would begin anew, `onAdsStreamReceivedMessage`, is called by nobody.
# Why it matters: when a server is restarted several times in a row, a program hears of no change for up to
#   two minutes although the server is there; one that was connected for longer than that comes at once.
set -u
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT && cd "$folder" || exit 2
npm install --silent --no-save --no-audit --no-fund @grpc/grpc-js@1.14.7 @grpc/grpc-js-xds@1.14.1 >/dev/null 2>&1 || { echo "grpc-js-xds could not be installed"; exit 2; }
cat > streams.cjs <<'JS'
const grpc = require("@grpc/grpc-js");
const raw = (bytes) => bytes;
const beganAtMs = [];
// DiscoveryResponse: version "1", the type of listeners, nonce "1", and none of them: the name is unknown.
const type = "type.googleapis.com/envoy.config.listener.v3.Listener";
const text = (field, value) => Buffer.concat([Buffer.from([field << 3 | 2, value.length]), Buffer.from(value)]);
const answer = Buffer.concat([text(1, "1"), text(4, type), text(5, "1")]);
const server = new grpc.Server();
server.addService({
  Ads: {
    path: "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources",
    requestStream: true,
    responseStream: true,
    requestSerialize: raw,
    requestDeserialize: raw,
    responseSerialize: raw,
    responseDeserialize: raw,
  },
}, {
  Ads: (stream) => {
    beganAtMs.push(performance.now());
    stream.once("data", () => {
      stream.write(answer);
      setTimeout(() => stream.end(), 100);
    });
    stream.on("error", () => {});
  },
});
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) process.exit(2);
  process.env.GRPC_XDS_BOOTSTRAP_CONFIG = JSON.stringify({
    xds_servers: [{ server_uri: `127.0.0.1:${port}`, channel_creds: [{ type: "insecure" }], server_features: ["xds_v3"] }],
    node: { id: "a", locality: { zone: "" } },
  });
  require("@grpc/grpc-js-xds").register();
  const client = new grpc.Client("xds:///shop", grpc.credentials.createInsecure());
  client.getChannel().getConnectivityState(true);
  setInterval(() => {
    client.getChannel().getConnectivityState(true);
    if (beganAtMs.length < 6) return;
    const waits = beganAtMs.slice(1).map((at, index) => ((at - beganAtMs[index]) / 1000).toFixed(1));
    console.log(`seconds from the begin of a stream to that of the next: ${waits.join(", ")}`);
    process.exit(Number(waits.at(-1)) > 3 * Number(waits[0]) ? 0 : 1);
  }, 100);
  setTimeout(() => process.exit(2), 60_000);
});
JS
node streams.cjs
case $? in
  0) echo "as described" ;;
  1) echo "changed: the waits do not grow"; exit 1 ;;
  *) echo "no six streams came"; exit 2 ;;
esac
