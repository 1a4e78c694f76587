// Test. The parts without I/O: bytes, options, memory of nodes, budget, kinds of failure, seals, JSON.
package lars.client;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.Test;

public class CoreTest {
  private static final ModuleId MODULE = new ModuleId(1, 1);

  private static byte[] hex(String text) {
    return HexFormat.of().parseHex(text);
  }

  private static byte[] framed(int messageId, byte[] body) {
    byte[] datagram = new byte[WireWriter.HEAD_BYTES + body.length];
    WireWriter.putInt32(datagram, 0, messageId);
    WireWriter.putInt32(datagram, 4, body.length);
    System.arraycopy(body, 0, datagram, WireWriter.HEAD_BYTES, body.length);
    return datagram;
  }

  private static Answer read(int messageId, byte[] body) {
    byte[] datagram = framed(messageId, body);
    return Answer.read(datagram, datagram.length);
  }

  /** Vectors made with the C++ implementation of Protocol Buffers; the build names the file. */
  @SuppressWarnings("unchecked")
  private static List<Map<String, Object>> vectors(String file) throws IOException {
    Path golden = Path.of(System.getProperty("lars.vectors", "../../proto/golden_vectors.json"));
    return (List<Map<String, Object>>) Json.read(Files.readString(golden.resolveSibling(file)));
  }

  @SuppressWarnings("unchecked")
  private static Map<String, Object> object(Map<String, Object> in, String name) {
    return (Map<String, Object>) in.get(name);
  }

  private static int number(Map<String, Object> in, String name) {
    return ((Long) in.get(name)).intValue();
  }

  private static byte[] request(String message, Map<String, Object> value) {
    if (value.containsKey("token")) {
      return null;
    }
    ModuleId module =
        value.containsKey("modId")
            ? new ModuleId(number(value, "modId"), number(value, "cmdId"))
            : MODULE;
    switch (message) {
      case "GetHostRequest":
        String key = (String) value.get("key");
        byte[] bytes = key == null ? null : hex(key);
        return Question.host(module, bytes).datagram().apply(number(value, "seq"));
      case "GetRouteRequest":
        return Question.route(module).datagram().apply(0);
      case "ReportRequest":
        Map<String, Object> host = object(value, "host");
        if (host.containsKey("weight") || host.containsKey("zone")) {
          return null;
        }
        long cost = value.containsKey("timecostMs") ? (Long) value.get("timecostMs") : -1;
        return Question.report(
            module, number(host, "ip"), number(host, "port"), number(value, "retcode"), cost);
      default:
        return null;
    }
  }

  @Test
  public void requestsAreWrittenByteByByte() throws IOException {
    Map<String, Integer> seen = new HashMap<>();
    for (Map<String, Object> vector : vectors("golden_vectors.json")) {
      String message = (String) vector.get("message");
      byte[] datagram = request(message, object(vector, "value"));
      if (datagram != null) {
        seen.merge(message, 1, Integer::sum);
        String body = HexFormat.of().formatHex(datagram, WireWriter.HEAD_BYTES, datagram.length);
        assertEquals((String) vector.get("name"), vector.get("hex"), body);
      }
    }
    assertEquals(Set.of("GetHostRequest", "GetRouteRequest", "ReportRequest"), seen.keySet());
  }

  private static String words(Map<String, Object> host) {
    String address = Host.formatIpv4(number(host, "ip")) + ":" + number(host, "port");
    return address + " " + host.get("weight") + " " + host.getOrDefault("zone", "");
  }

  private static String words(Host host) {
    String weight = host.weight().isPresent() ? "" + host.weight().getAsInt() : "null";
    return host.address() + " " + weight + " " + host.zone();
  }

  @Test
  @SuppressWarnings("unchecked")
  public void answersAreRead() throws IOException {
    int routes = 0;
    int hosts = 0;
    for (Map<String, Object> vector : vectors("golden_vectors.json")) {
      String name = (String) vector.get("name");
      Map<String, Object> value = object(vector, "value");
      byte[] body = hex((String) vector.get("hex"));
      if (vector.get("message").equals("GetRouteResponse")) {
        routes++;
        List<Map<String, Object>> wanted = (List<Map<String, Object>>) value.get("hosts");
        assertEquals(
            name,
            wanted.stream().filter(CoreTest::isNode).map(CoreTest::words).toList(),
            read(MessageIds.GET_ROUTE_RESPONSE, body).hosts.stream().map(CoreTest::words).toList());
      }
      if (vector.get("message").equals("GetHostResponse")) {
        hosts++;
        checkHost(name, value, body);
      }
    }
    assertTrue(routes > 2 && hosts > 2);
  }

  private static boolean isNode(Map<String, Object> host) {
    return number(host, "port") >= 1 && number(host, "port") <= 65535;
  }

  private static void checkHost(String name, Map<String, Object> value, byte[] body) {
    Map<String, Object> host = object(value, "host");
    int retcode = number(value, "retcode");
    if (retcode == 0 && (host == null || !isNode(host))) {
      assertThrows(
          name, ProtocolException.class, () -> read(MessageIds.GET_HOST_RESPONSE, body));
      return;
    }
    Answer answer = read(MessageIds.GET_HOST_RESPONSE, body);
    ModuleId module = new ModuleId(number(value, "modId"), number(value, "cmdId"));
    Answer.Key key =
        new Answer.Key(MessageIds.GET_HOST_RESPONSE, number(value, "seq"), module);
    assertEquals(name, key, answer.key);
    assertEquals(name, retcode, answer.retcode);
    assertEquals(name, retcode == 0 ? words(host) : null, retcode == 0 ? words(answer.host) : null);
  }

  @Test
  public void whatBreaksTheRulesIsAProtocolException() {
    Map<String, String> bodies = new HashMap<>();
    bodies.put("varint of 11 bytes", "08" + "80".repeat(10) + "00");
    bodies.put("ends inside a varint", "0880");
    bodies.put("length beyond the end", "2a05aabb");
    bodies.put("length of over 31 bits", "2affffffff0f");
    bodies.put("field number 0", "0001");
    bodies.put("tag of over 32 bits", "888080801000");
    bodies.put("wire type 6", "0e");
    bodies.put("group without end", "3b0801");
    bodies.put("group with another end", "3b080144");
    bodies.put("end without a group", "3c");
    bodies.put("groups 200 deep", "3b".repeat(200) + "3c".repeat(200));
    bodies.put("success without a node", "080110011801");
    bodies.put("a zone that is no text", "2a06080110508a0101ff");
    bodies.forEach(
        (name, body) ->
            assertThrows(
                name,
                ProtocolException.class,
                () -> read(MessageIds.GET_HOST_RESPONSE, hex(body))));
    byte[] good = framed(MessageIds.GET_HOST_RESPONSE, new byte[0]);
    assertThrows(ProtocolException.class, () -> Answer.read(good, 0));
    assertThrows(ProtocolException.class, () -> Answer.read(good, 7));
    assertThrows(ProtocolException.class, () -> Answer.read(Arrays.copyOf(good, 9), 9));
    assertThrows(ProtocolException.class, () -> read(9, new byte[0]));
  }

  @Test
  public void randomBytesEndInAnAnswerOrAProtocolException() {
    Random chance = new Random(7);
    byte[] good = hex("0801100118012a040801105020");
    int[] ids = {5, 8, 64, 77, 9};
    int readCount = 0;
    for (int i = 0; i < 50_000; i++) {
      byte[] body = Arrays.copyOf(good, chance.nextInt(good.length) + 1);
      for (int j = chance.nextInt(4); j > 0; j--) {
        body[chance.nextInt(body.length)] = (byte) chance.nextInt();
      }
      try {
        read(ids[chance.nextInt(ids.length)], body);
        readCount++;
      } catch (ProtocolException error) {
        assertNotNull(error.getMessage());
      }
    }
    assertTrue("" + readCount, readCount > 1000);
  }

  @Test
  public void whatNobodyKnowsIsSkippedAndInnerMessagesAreMerged() {
    byte[] body = hex("0801" + "1001" + "1801" + "3b08013c" + "fd0100000000" + "2a020801" + "2a021050");
    assertEquals("0.0.0.1:80", read(MessageIds.GET_HOST_RESPONSE, body).host.address());
  }

  @Test
  public void portsOfModulesAreNeverNegative() {
    assertEquals(2, ModuleId.of(1, 1).portIndex());
    assertEquals(0, ModuleId.of(0, 0).portIndex());
    assertEquals(2, ModuleId.of(4294967295L, 0).portIndex());
    assertEquals(1, ModuleId.of(2147483648L, 0).portIndex());
    assertEquals(2, ModuleId.of(2147483647, 2147483647).portIndex());
    assertEquals(ModuleId.of(-1, 7), ModuleId.of(4294967295L, 7));
    assertThrows(IllegalArgumentException.class, () -> ModuleId.of(4294967296L, 1));
    assertThrows(IllegalArgumentException.class, () -> ModuleId.of(1, -2147483649L));
  }

  @Test
  public void addresses() {
    assertEquals((int) 3232235953L, Host.parseIpv4("192.168.1.177"));
    assertEquals("192.168.1.177", Host.formatIpv4((int) 3232235953L));
    for (String text :
        List.of("", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.04", "1.2.3.-1", "a.b.c.d", "1..2.3")) {
      assertThrows(text, IllegalArgumentException.class, () -> Host.parseIpv4(text));
    }
  }

  @Test
  public void aNodeThatFailedIsPassedOverAndNotForgotten() {
    LastGood memory = new LastGood(Long.MAX_VALUE);
    Host one = Host.of(1, 80);
    Host two = Host.of(2, 80);
    memory.remember(MODULE, one, 0);
    memory.remember(MODULE, two, 0);
    memory.judge(MODULE, one.address(), false, 0);
    for (int i = 0; i < 3; i++) {
      assertEquals(two, memory.next(MODULE, 999));
    }
    assertEquals(Set.of(one, two), Set.of(memory.next(MODULE, 1000), memory.next(MODULE, 1000)));
    memory.judge(MODULE, one.address(), false, 1000);
    memory.judge(MODULE, two.address(), false, 1000);
    assertEquals(Set.of(one, two), Set.of(memory.next(MODULE, 1001), memory.next(MODULE, 1001)));
  }

  @Test
  public void lastGoodIsBoundedAndGrowsOld() {
    LastGood memory = new LastGood(100);
    for (int i = 0; i < LastGood.HOSTS_MAX + 3; i++) {
      memory.remember(MODULE, Host.of(i, 80), 0);
    }
    Set<Host> seen = new HashSet<>();
    for (int i = 0; i < 30; i++) {
      seen.add(memory.next(MODULE, 50));
    }
    assertEquals(LastGood.HOSTS_MAX, seen.size());
    assertFalse(seen.contains(Host.of(0, 80)));
    assertNull(memory.next(MODULE, 101));
    for (int i = 0; i < LastGood.MODULES_MAX + 5; i++) {
      memory.remember(new ModuleId(2, i), Host.of(1, 80), 0);
    }
    assertEquals(LastGood.MODULES_MAX, memory.size());
  }

  @Test
  public void retriesHaveABudget() {
    RetryBudgets budgets = new RetryBudgets(0.2, 0);
    assertFalse(budgets.take(MODULE, 0));
    for (int i = 0; i < 10; i++) {
      budgets.addCall(MODULE, -5);
    }
    assertTrue(budgets.take(MODULE, 0) && budgets.take(MODULE, 0) && !budgets.take(MODULE, 0));
    budgets.giveBack(MODULE, 0);
    assertTrue(budgets.take(MODULE, 0));
    budgets.addCall(new ModuleId(2, 2), 0);
    assertFalse(budgets.take(new ModuleId(2, 2), 11_000));
    assertTrue(new RetryBudgets(0, 0.1).take(MODULE, 0));
  }

  @Test
  public void exceptionsHaveTheCodeOfTheirKind() {
    assertEquals(111, Outcomes.retcodeOf(new java.net.ConnectException("refused")));
    assertEquals(111, Outcomes.retcodeOf(new UncheckedIOException(new SocketException("reset"))));
    assertEquals(110, Outcomes.retcodeOf(new SocketTimeoutException()));
    assertEquals(110, Outcomes.retcodeOf(new LarsTimeoutException("late")));
    assertEquals(2, Outcomes.retcodeOf(new IOException("other")));
    assertEquals(
        503, Outcomes.retcodeOf(new IOException(new StatusException("busy", 503))));
    for (int status : new int[] {200, 304, 404}) {
      Outcomes.checkStatus(status);
    }
    for (int status : new int[] {408, 429, 500}) {
      assertThrows(StatusException.class, () -> Outcomes.checkStatus(status));
    }
  }

  @Test
  public void sealsAreThoseOfTheVectors() throws IOException {
    for (Map<String, Object> vector : vectors("seal_vectors.json")) {
      String what = (String) vector.get("what");
      Sealer sealer =
          new Sealer(hex((String) vector.get("secret")), hex((String) vector.get("sender")));
      byte[] sealed = {};
      for (int count = 0; count < number(vector, "number"); count++) {
        sealed = sealer.seal(hex((String) vector.get("message")), (Long) vector.get("wallMs"));
      }
      assertEquals(what, vector.get("sealed"), HexFormat.of().formatHex(sealed));
      byte[] answer = hex((String) vector.get("answer"));
      assertTrue(what, sealer.isAnswer(answer, answer.length));
      assertFalse(what, sealer.isAnswer(sealed, sealed.length));
    }
  }

  @Test
  public void onlyASealedAnswerToThisSenderIsOne() {
    byte[] secret = {1, 2, 3};
    byte[] sender = {1, 2, 3, 4, 5, 6, 7, 8};
    Sealer sealer = new Sealer(secret, sender);
    byte[] bare = Question.route(MODULE).datagram().apply(0);
    byte[] sealed = sealer.seal(bare, 5);
    assertEquals(bare.length + Sealer.SEAL_BYTES, sealed.length);
    assertFalse(Arrays.equals(sealed, sealer.seal(bare, 5)));
    int macAt = sealed.length - Sealer.MAC_BYTES;
    assertArrayEquals(
        Sealer.macOf("lars question", sealed, macAt, secret),
        Arrays.copyOfRange(sealed, macAt, sealed.length));
    assertFalse("a question is no answer", sealer.isAnswer(sealed, sealed.length));
    byte[] answer = sealed.clone();
    byte[] mac = Sealer.macOf("lars answer", answer, macAt, secret);
    System.arraycopy(mac, 0, answer, macAt, mac.length);
    assertTrue(sealer.isAnswer(answer, answer.length));
    assertFalse(new Sealer(secret, new byte[8]).isAnswer(answer, answer.length));
    assertFalse(new Sealer(new byte[] {9}, sender).isAnswer(answer, answer.length));
    assertFalse(sealer.isAnswer(bare, bare.length));
  }

  @Test
  public void jsonIsReadOrRefused() {
    assertEquals(
        Map.of("a", List.of(1L, -2.5, "x\"\u00e9\n"), "b", Map.of("c", true)),
        Json.read(" {\"a\" : [1, -2.5, \"x\\\"\\u00e9\\n\"], \"b\": {\"c\": true}} "));
    assertNull(Json.read("null"));
    for (String text :
        List.of("", "{", "[1,]", "{\"a\"}", "\"\\x\"", "tru", "1 2", "-", "[".repeat(200))) {
      assertThrows(text, ProtocolException.class, () -> Json.read(text));
    }
  }

  @Test
  public void optionsOutOfRange() {
    List<Runnable> bad =
        List.of(
            () -> LarsClient.builder().hostname("a:1"),
            () -> LarsClient.builder().port(65534),
            () -> LarsClient.builder().port(0),
            () -> LarsClient.builder().deadline(Duration.ZERO),
            () -> LarsClient.builder().deadline(Duration.ofHours(1)),
            () -> LarsClient.builder().firstRoute(Duration.ofSeconds(-1)),
            () -> LarsClient.builder().token(new byte[0]),
            () -> LarsClient.builder().token(new byte[1025]),
            () -> LarsClient.builder().lastGood(Duration.ofSeconds(-1)),
            () -> LarsClient.builder().pendingMax(0),
            () -> LarsClient.builder().retryShare(1.1),
            () -> LarsClient.builder().retryShare(Double.NaN),
            () -> LarsClient.builder().retryFloorPerSecond(1001),
            () -> Options.none().key(""),
            () -> Options.none().key(new byte[257]),
            () -> Options.none().retries(11),
            () -> Options.none().timeout(Duration.ZERO));
    for (Runnable one : bad) {
      assertThrows(IllegalArgumentException.class, one::run);
    }
  }
}
