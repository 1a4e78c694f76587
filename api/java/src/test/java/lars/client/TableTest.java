// Test. Picks from a table in shared memory, and outcomes in batches.
package lars.client;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class TableTest {
  private static final Duration PATIENT = Duration.ofSeconds(20);

  /** A record of a batch. */
  private record Outcome(int modId, int cmdId, long node, int retcode, int timeMs) {}

  @Rule public final TemporaryFolder folder = new TemporaryFolder();
  private FakeAgent agent;
  private final List<LarsClient> clients = new ArrayList<>();
  private int files;

  @Before
  public void startAgent() throws IOException {
    agent = new FakeAgent(FakeAgent::oneNode);
  }

  @After
  public void end() {
    clients.forEach(LarsClient::close);
    agent.close();
  }

  private TableFile file(long... entries) {
    Path path = folder.getRoot().toPath().resolve("table" + files++);
    TableFile file = new TableFile(path, agent.ports[0]);
    long[] three = {TableFile.word(1, 80, 0), TableFile.word(2, 80, 0), TableFile.word(3, 80, 0)};
    return file.setSchedule(1, 1, entries.length == 0 ? three : entries);
  }

  private static TableReader reader(TableFile file) {
    Batch batch = new Batch(new Counters(), address -> null);
    return new TableReader(file.path.toString(), 9, batch, (modId, cmdId, host) -> true);
  }

  private LarsClient client(TableFile file, Duration deadline) {
    LarsClient client =
        agent
            .client()
            .sharedTable(file.path.toString())
            .deadline(deadline)
            .firstRoute(Duration.ZERO)
            .build();
    clients.add(client);
    return client;
  }

  private List<Outcome> records() {
    List<Outcome> found = new ArrayList<>();
    for (FakeAgent.Received one : agent.of(Batch.MESSAGE_ID)) {
      WireReader body = new WireReader(one.datagram(), WireWriter.HEAD_BYTES, one.datagram().length);
      while (body.next()) {
        if (body.is(3, WireReader.BYTES)) {
          ByteBuffer bytes = body.content().order(ByteOrder.LITTLE_ENDIAN);
          while (bytes.hasRemaining()) {
            found.add(
                new Outcome(
                    bytes.getInt(), bytes.getInt(), bytes.getLong(), bytes.getInt(),
                    bytes.getInt()));
          }
        }
      }
    }
    return found;
  }

  private List<Outcome> outcomes() {
    return records().stream().filter(one -> one.node() != 0).toList();
  }

  @Test
  public void aTurnOutlivesMorePicksByKeyThanAnIntHolds() {
    Cursors.Turn turn = new Cursors(this).add(1, 1, 0);
    turn.setHosts(new Host[] {Host.of(1, 80), Host.of(2, 80)});
    turn.next = Integer.MAX_VALUE;
    turn.next++;
    assertEquals(Host.of(1, 80), turn.nextHost());
    assertEquals(Host.of(2, 80), turn.nextHost());
  }

  @Test
  @SuppressWarnings("unchecked")
  public void theNumbersOfTheContract() throws IOException {
    Path golden = Path.of(System.getProperty("lars.vectors"));
    String text = Files.readString(golden.resolveSibling("shared_table_vectors.json"));
    Map<String, Object> all = (Map<String, Object>) Json.read(text);
    for (Map<String, Object> one : (List<Map<String, Object>>) all.get("moduleHashes")) {
      int modId = ((Long) one.get("modId")).intValue();
      int cmdId = ((Long) one.get("cmdId")).intValue();
      assertEquals(((Long) one.get("hash")).intValue(), TableImage.hash(modId, cmdId));
    }
    for (Map<String, Object> one : (List<Map<String, Object>>) all.get("keys")) {
      int key = TableImage.tableKey(HexFormat.of().parseHex((String) one.get("bytes")));
      assertEquals(one.get("tableKey"), (long) key);
      assertEquals(one.get("maglevSkip"), (long) TableImage.maglevSkip(key));
    }
    for (Map<String, Object> one : (List<Map<String, Object>>) all.get("entries")) {
      long word = Long.parseUnsignedLong((String) one.get("word"), 16);
      assertEquals(one.get("port"), (long) TableImage.portOf(word));
      assertEquals(one.get("refused"), (word & TableImage.REFUSED) != 0);
    }
  }

  @Test
  public void aWalkThroughTheScheduleFromAnyPlace() throws IOException {
    TableFile file = file().write();
    Set<String> starts = new HashSet<>();
    for (int i = 0; i < 40; i++) {
      TableReader reader = reader(file);
      List<String> ips = new ArrayList<>();
      for (int pick = 0; pick < 6; pick++) {
        ips.add(reader.pick(1, 1, null).ip());
      }
      assertEquals(ips.subList(0, 3), ips.subList(3, 6));
      assertEquals(Set.of("0.0.0.1", "0.0.0.2", "0.0.0.3"), new HashSet<>(ips));
      starts.add(ips.get(0));
      reader.close();
    }
    assertEquals("callers do not walk in step", 3, starts.size());
  }

  @Test
  public void whatTheTableDoesNotHaveIsAskedFor() throws IOException {
    LarsClient client = client(file().setSchedule(2, 1).write(), PATIENT);
    assertTrue(client.getHost(1, 1).ip().startsWith("0.0.0."));
    assertEquals(0, agent.of(MessageIds.GET_HOST_REQUEST).size());
    assertEquals("10.0.0.1", client.getHost(9, 9).ip());
    assertEquals("10.0.0.1", client.getHost(2, 1).ip());
    assertEquals("10.0.0.1", client.getHost(-1, 7).ip());
    assertThrows(IllegalArgumentException.class, () -> client.getHost(1L << 32, 1));
  }

  @Test
  public void aRefusalIsOverloadAndIsTold() throws Exception {
    LarsClient client = client(file(TableFile.word(0, 0, 4)).write(), PATIENT);
    assertThrows(OverloadException.class, () -> client.getHost(1, 1));
    assertEquals(RetCode.OVERLOAD, client.tryGetHost(1, 1).retcode());
    client.close();
    Outcome refusal = new Outcome(1, 1, 0, 1, -1);
    FakeAgent.until("both refusals", () -> records().stream().filter(refusal::equals).count() == 2);
  }

  @Test
  public void changesInPlaceAreSeenAndANewFileIsMapped() throws Exception {
    TableFile file = file().write();
    TableReader reader = reader(file);
    assertEquals(80, reader.pick(1, 1, null).port());
    file.setSchedule(1, 1, TableFile.word(7, 70, 0)).rewrite();
    assertEquals("0.0.0.7:70", reader.pick(1, 1, null).address());
    TableFile newer = new TableFile(file.path, 9);
    newer.setSchedule(1, 1, TableFile.word(8, 88, 0)).write();
    FakeAgent.until(
        "the new table",
        () -> {
          rewritten(newer.beat(0));
          Host host = reader.pick(1, 1, null);
          return host != null && host.address().equals("0.0.0.8:88");
        });
    reader.close();
  }

  private static void rewritten(TableFile file) {
    try {
      file.rewrite();
    } catch (IOException error) {
      throw new AssertionError(error);
    }
  }

  @Test
  public void aRetiredOrOldTableIsNotUsed() throws Exception {
    List<Consumer<TableFile>> ends =
        List.of(TableFile::retire, one -> one.beat(5000), one -> one.beat(-5000));
    for (Consumer<TableFile> spoil : ends) {
      TableFile file = file().write();
      TableReader reader = reader(file);
      assertNotNull(reader.pick(1, 1, null));
      spoil.accept(file);
      file.rewrite();
      FakeAgent.until("the end of its use", () -> reader.pick(1, 1, null) == null);
    }
  }

  @Test
  public void aFileThatIsNoTableIsLeftAlone() throws IOException {
    long[][] faults = {
      {0, 1}, {8, 2 | 4096L << 32}, {16, 4096}, {32, 15 | 32L << 32}, {32, 16 | 24L << 32}, {40, 1}
    };
    for (long[] fault : faults) {
      TableFile file = file();
      file.data.putLong((int) fault[0], fault[1]);
      assertNull("" + fault[0], reader(file.write()).pick(1, 1, null));
    }
    for (long schedule : new long[] {1 | 1L << 32, 1 << 30 | 5L << 32, 600 | 0xffffffffL << 32}) {
      TableFile file = file();
      file.data.putLong(file.slot(1, 1) + 8, schedule);
      TableReader reader = reader(file.write());
      assertNull(reader.pick(1, 1, null));
      assertFalse(reader.isUsable());
    }
    assertNull(new TableReader(folder.getRoot().toString(), 9, null, null).pick(1, 1, null));
    assertNull(new TableReader("/nowhere/table", 9, null, null).pick(1, 1, null));
  }

  @Test
  public void aFileThatOthersMayWriteIsLeftAlone() throws IOException {
    TableFile file = file().write();
    Files.setPosixFilePermissions(file.path, PosixFilePermissions.fromString("rw--w----"));
    assertNull(reader(file).pick(1, 1, null));
    String sockets =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
            + "  12: 0100007F:22B8 00000000:0000 07 00000000:00000000 00:00000000 00000000  1001 0\n";
    assertTrue(TableOwner.ownsPort(sockets, "1001", 8888));
    assertFalse(TableOwner.ownsPort(sockets, "1001", 8889));
    assertFalse(TableOwner.ownsPort(sockets, "0", 8888));
  }

  @Test
  public void keysOfARing() throws IOException {
    long[] hashes = {100, 1 << 30, (1L << 31) - 5};
    TableFile file =
        file()
            .setKeyed(
                1, 1, TableImage.KIND_RING | 3L << 32, hashes[0] | hashes[1] << 32, hashes[2],
                TableFile.word(11, 80, 0), TableFile.word(12, 80, 0), TableFile.word(13, 80, 0));
    TableReader reader = reader(file.write());
    Set<String> seen = new TreeSet<>();
    for (int i = 0; i < 200; i++) {
      byte[] key = ("user-" + i).getBytes(StandardCharsets.UTF_8);
      int wanted = 11;
      for (int at = hashes.length - 1; at >= 0; at--) {
        wanted = hashes[at] >= TableImage.tableKey(key) ? 11 + at : wanted;
      }
      String ip = reader.pick(1, 1, key).ip();
      assertEquals("0.0.0." + wanted, ip);
      seen.add(ip);
    }
    assertTrue("" + seen, seen.size() >= 2);
  }

  @Test
  public void keysOfMaglevPassOverNodesThatAreOut() throws IOException {
    int count = 7;
    long[] words = new long[count + 1];
    words[0] = TableImage.KIND_MAGLEV | (long) count << 32;
    for (int i = 0; i < count; i++) {
      words[i + 1] = TableFile.word(20 + i, 80, i % 2 * 2);
    }
    TableReader reader = reader(file().setKeyed(1, 1, words).write());
    for (int i = 0; i < 100; i++) {
      byte[] key = ("user-" + i).getBytes(StandardCharsets.UTF_8);
      int hash = TableImage.tableKey(key);
      int at = hash % count;
      int step = TableImage.maglevSkip(hash) % (count - 1) + 1;
      while (at % 2 == 1) {
        at = (at + step) % count;
      }
      assertEquals("0.0.0." + (20 + at), reader.pick(1, 1, key).ip());
    }
  }

  @Test
  public void whatAKeyedTableCannotSayIsAskedFor() throws IOException {
    byte[] key = {'a'};
    long[] ring = {TableImage.KIND_RING | 1L << 32, 5, TableFile.word(11, 80, 0)};
    assertNull(reader(file().setKeyed(1, 1, ring).write()).pick(1, 1, new byte[] {(byte) 0xff}));
    assertNull(reader(file().setKeyed(1, 1, 3 | 1L << 32, 5).write()).pick(1, 1, key));
    assertNull(reader(file().setKeyed(1, 1, 1 | 1L << 63, 5).write()).pick(1, 1, key));
    TableFile flagged = file().setKeyed(1, 1, ring);
    flagged.data.putInt(flagged.slot(1, 1) + 24, TableImage.KEYED_BY_AGENT);
    assertNull(reader(flagged.write()).pick(1, 1, key));
    TableFile probe = file(TableFile.word(5, 80, 1)).setKeyed(1, 1, ring);
    assertEquals("0.0.0.5", reader(probe.write()).pick(1, 1, key).ip());
    TableFile refused = file(TableFile.word(0, 0, 4)).setKeyed(1, 1, ring);
    assertSame(TableReader.REFUSAL, reader(refused.write()).pick(1, 1, key));
  }

  @Test
  public void anOldTableIsTheBestMemoryOfNodes() throws Exception {
    TableFile file =
        file(
            TableFile.word(0, 0, 4), TableFile.word(1, 80, 0), TableFile.word(2, 80, 1),
            TableFile.word(3, 80, 0));
    LarsClient client = client(file.write(), Duration.ofMillis(100));
    client.tryGetHost(1, 1);
    agent.close();
    file.retire();
    file.rewrite();
    FakeAgent.until(
        "the first old node",
        () -> {
          Host host = client.tryGetHost(1, 1).host();
          return host != null && host.stale();
        });
    Set<String> seen = new HashSet<>();
    for (int i = 0; i < 20; i++) {
      seen.add(client.getHost(1, 1, Options.none()).ip());
    }
    assertEquals("no probes, no refusals", Set.of("0.0.0.1", "0.0.0.3"), seen);
    client.report(1, 1, "0.0.0.1", 80, 111);
    for (int i = 0; i < 5; i++) {
      assertEquals("0.0.0.3", client.tryGetHost(1, 1).host().ip());
    }
    try (FakeAgent again = new FakeAgent(FakeAgent::oneNode, agent.ports)) {
      assertEquals(agent.ports[0], again.ports[0]);
      FakeAgent.until("the agent", () -> client.tryGetHost(1, 1).host().ip().equals("10.0.0.1"));
    }
  }

  @Test
  public void outcomesGoOutTogetherInOrderEachOnce() throws Exception {
    LarsClient client = client(file().write(), PATIENT);
    client.getHost(1, 1);
    int count = 5 * Batch.RECORDS_MAX;
    for (int i = 0; i < count; i++) {
      client.report(1, 1, "0.0.0.1", 80, 0, Duration.ofMillis(i));
    }
    client.report(1, 1, "0.0.0.2", 80, 0);
    client.close();
    FakeAgent.until("all outcomes", () -> outcomes().size() == count + 1);
    List<Outcome> all = outcomes();
    for (int i = 0; i < count; i++) {
      assertEquals(new Outcome(1, 1, TableFile.word(1, 80, 0), 0, i), all.get(i));
    }
    assertEquals(new Outcome(1, 1, TableFile.word(2, 80, 0), 0, -1), all.get(count));
    assertTrue(agent.of(Batch.MESSAGE_ID).size() < count / 4);
    assertEquals(0, agent.of(MessageIds.REPORT_REQUEST).size());
  }

  @Test
  public void theFirstFailureOfANodeGoesOutAtOnceAndASingleOutcomeSoon() throws Exception {
    LarsClient client = client(file().write(), PATIENT);
    client.getHost(1, 1);
    client.report(1, 1, "0.0.0.1", 80, 0);
    FakeAgent.until("the single outcome", () -> outcomes().size() == 1);
    Batch batch = new Batch(new Counters(), address -> null);
    batch.open(0x7f000001, agent.ports[0], false);
    synchronized (batch) { // its thread cannot send meanwhile
      batch.add(7, 7, 1 | 80L << 32, 0, 1);
      batch.add(7, 7, 1 | 80L << 32, 111, 1);
      FakeAgent.until("the failure", () -> outcomes().size() == 3);
      batch.add(7, 7, 1 | 80L << 32, 111, 1);
      batch.add(7, 7, 1 | 80L << 32, 0, 1);
      batch.add(7, 7, 1 | 80L << 32, -5, 1);
      FakeAgent.until("the next first failure", () -> outcomes().size() == 6);
    }
    batch.close();
    List<Integer> codes = outcomes().stream().map(Outcome::retcode).toList();
    assertEquals(List.of(0, 0, 111, 111, 0, -5), codes);
  }

  /** A success that took 3 ms, of a node by its address. */
  private static void success(Batch batch, int modId, int ip, int timeMs) {
    batch.add(modId, 1, ip | 80L << 32, 0, timeMs);
  }

  private static Outcome run(int ip, int count) {
    return new Outcome(1, 1, ip | 80L << 32 | Batch.RUN, count, 3);
  }

  @Test
  public void equalOutcomesAreOneRecordWhereTheAgentTakesSuch() throws Exception {
    Batch batch = new Batch(new Counters(), address -> null);
    batch.open(0x7f000001, agent.ports[0], true);
    Outcome failure = new Outcome(1, 1, 2 | 80L << 32, 111, 3);
    synchronized (batch) { // its thread cannot send meanwhile
      for (int ip : new int[] {1, 2, 1, 1, 2, 1}) {
        success(batch, 1, ip, 3);
      }
      success(batch, 1, 1, 4);
      success(batch, 2, 1, 3);
      batch.add(1, 1, 0, 0, -1);
      batch.add(1, 1, 0, 0, -1);
      batch.add(1, 1, failure.node(), 111, 3);
      success(batch, 1, 1, 3);
      success(batch, 1, 1, 3);
      batch.add(1, 1, failure.node(), 111, 3);
      success(batch, 1, 1, 3);
      batch.flush();
      FakeAgent.until("all records", () -> records().size() == 10);
    }
    batch.close();
    List<Outcome> wanted =
        List.of(
            run(1, 4),
            run(2, 2),
            new Outcome(1, 1, 1 | 80L << 32, 0, 4),
            new Outcome(2, 1, 1 | 80L << 32, 0, 3),
            new Outcome(1, 1, 0, 0, -1),
            new Outcome(1, 1, 0, 0, -1),
            failure,
            run(1, 2),
            failure,
            new Outcome(1, 1, 1 | 80L << 32, 0, 3));
    assertEquals(wanted, records());
  }

  @Test
  public void aBatchHasNoMoreOutcomesThanAnAgentTakes() throws Exception {
    Batch batch = new Batch(new Counters(), address -> null);
    batch.open(0x7f000001, agent.ports[0], true);
    synchronized (batch) { // its thread cannot send meanwhile
      for (int i = 0; i < 65_541; i++) {
        success(batch, 1, 1, 3);
      }
      batch.flush();
      FakeAgent.until("all records", () -> records().size() == 2);
    }
    batch.close();
    assertEquals(List.of(run(1, 65_536), run(1, 5)), records());
  }

  @Test
  public void aCallerThatOnlyPicksSaysSo() throws Exception {
    LarsClient client = client(file().write(), PATIENT);
    for (int i = 0; i < 10; i++) {
      client.getHost(1, 1);
    }
    FakeAgent.until("the use", () -> !records().isEmpty());
    assertEquals(List.of(new Outcome(1, 1, 0, 0, -1)), records());
  }
}
