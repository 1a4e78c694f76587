// Shell. The public interface of the reactor.

export * from "./address.ts";
export {
  BatchLoop,
  FAULTS_MAX,
  PROMISE_STEPS_MAX,
  serveLoop,
  SOCKETS_MAX,
  WakeUp,
} from "./batch_loop.ts";
export * from "./batch_tcp.ts";
export * from "./batch_udp.ts";
export * from "./buffer_pool.ts";
export * from "./clock.ts";
export * from "./config_file.ts";
export * from "./errors.ts";
export * from "./frame.ts";
export { CLOSE_FLUSH_MS, HIGH_WATER_BYTES } from "./framed_link.ts";
export * from "./log.ts";
export * from "./loop_clock.ts";
export * from "./loop_pool.ts";
export * from "./manual_clock.ts";
export * from "./message_router.ts";
export * from "./output_buffer.ts";
export * from "./reconnect_schedule.ts";
export * from "./rng.ts";
export * from "./run_loop.ts";
export * from "./runtime/mod.ts";
export * from "./shared_ring.ts";
export * from "./system_clock.ts";
export * from "./system_rng.ts";
export * from "./tcp_client.ts";
export * from "./tcp_server.ts";
export * from "./udp_client.ts";
export * from "./udp_server.ts";
