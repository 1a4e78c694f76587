// Core. What a caller may ask its agent, and which answer is the one to it.
package lars.client;

import java.nio.charset.StandardCharsets;
import java.util.function.IntFunction;

/**
 * One question.
 *
 * @param isNumbered false when its answer carries no number, so that a late one cannot be told from
 *     the answer to a later one
 * @param datagram its bytes, with the number it goes by
 */
record Question(
    ModuleId module, int answerId, boolean isNumbered, IntFunction<byte[]> datagram) {
  private static final int HELLO_PROTOCOL = 2;

  /** Which node next? A key that is null is none. */
  static Question host(ModuleId module, byte[] key) {
    return new Question(module, MessageIds.GET_HOST_RESPONSE, true, seq -> {
      WireWriter body =
          new WireWriter().uint32(1, seq).int32(2, module.modId()).int32(3, module.cmdId());
      return (key == null ? body : body.bytes(17, key)).frame(MessageIds.GET_HOST_REQUEST);
    });
  }

  /** All nodes of a module. */
  static Question route(ModuleId module) {
    return new Question(module, MessageIds.GET_ROUTE_RESPONSE, false, seq ->
        new WireWriter()
            .int32(1, module.modId())
            .int32(2, module.cmdId())
            .frame(MessageIds.GET_ROUTE_REQUEST));
  }

  /** Do you speak the extensions? */
  static Question hello(ModuleId module) {
    return new Question(module, MessageIds.HELLO, false, seq ->
        new WireWriter()
            .uint32(1, HELLO_PROTOCOL)
            .bytes(2, "lars-java".getBytes(StandardCharsets.UTF_8))
            .bytes(3, "client".getBytes(StandardCharsets.UTF_8))
            .frame(MessageIds.HELLO));
  }

  /** Why is which node picked? From node {@code from} on. */
  static Question explain(ModuleId module, int from) {
    return new Question(module, MessageIds.EXPLAIN_RESPONSE, true, seq ->
        new WireWriter()
            .uint32(1, seq)
            .int32(2, module.modId())
            .int32(3, module.cmdId())
            .uint32(4, from)
            .frame(MessageIds.EXPLAIN_REQUEST));
  }

  /** Message 6: the outcome of one call. A negative time is not known. Nobody answers it. */
  static byte[] report(ModuleId module, int ip, int port, int retcode, long timeMs) {
    byte[] host = new WireWriter().int32(1, ip).int32(2, port).body();
    WireWriter body =
        new WireWriter()
            .int32(1, module.modId())
            .int32(2, module.cmdId())
            .bytes(3, host)
            .int32(4, retcode);
    return (timeMs < 0 ? body : body.present(5, timeMs)).frame(MessageIds.REPORT_REQUEST);
  }

  /** What an answer must have. */
  Answer.Key key(int seq) {
    if (isNumbered) {
      return new Answer.Key(answerId, seq, module);
    }
    // The answer to Hello names nothing: the first one will do.
    return new Answer.Key(answerId, 0, answerId == MessageIds.HELLO ? null : module);
  }
}
