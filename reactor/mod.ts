// Shell. The public interface of the reactor.

export * from "./address.ts";
export {
  BatchLoop,
  FAULTS_MAX,
  PROMISE_STEPS_MAX,
  serveLoop,
  SOCKETS_MAX,
  WakeUp,
} from "./fast/batch_loop.ts";
export * from "./fast/batch_tcp.ts";
export * from "./fast/batch_udp.ts";
export * from "./tcp/buffer_pool.ts";
export * from "./time/clock.ts";
export * from "./config_file.ts";
export * from "./errors.ts";
export * from "./frame.ts";
export { CLOSE_FLUSH_MS, HIGH_WATER_BYTES } from "./tcp/framed_link.ts";
export * from "./log.ts";
export * from "./fast/loop_clock.ts";
export * from "./loops/loop_pool.ts";
export * from "./time/manual_clock.ts";
export * from "./message_router.ts";
export * from "./tcp/output_buffer.ts";
export * from "./time/rng.ts";
export * from "./loops/run_loop.ts";
export * from "./runtime/mod.ts";
export * from "./fast/shared_ring.ts";
export * from "./time/system_clock.ts";
export * from "./time/system_rng.ts";
export * from "./tcp/tcp_client.ts";
export * from "./tcp/tcp_server.ts";
export * from "./udp/udp_client.ts";
export * from "./udp/udp_server.ts";
