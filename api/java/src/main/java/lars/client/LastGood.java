// Core. Nodes the agent named lately, for the time when it does not answer.
package lars.client;

import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The nodes each module got last, in the order in which their turns come. A node that fails is passed
 * over for a while and never forgotten for it: whoever has nothing better tries it again, so that an
 * outage of all nodes ends when they are back.
 */
final class LastGood {
  /** Modules remembered; the one not used for longest is forgotten for a new one. */
  static final int MODULES_MAX = 1024;
  /** Nodes remembered for each module; the one named longest ago is forgotten for a new one. */
  static final int HOSTS_MAX = 8;

  /** A node whose call failed rests so long, twice as long after each further failure. */
  private static final long REST_MS = 1000;
  private static final long REST_MS_MAX = 30_000;

  private static final class Memory {
    final Host host;
    final long atMs;
    int failures;
    long restEndMs = Long.MIN_VALUE;

    Memory(Host host, long atMs) {
      this.host = host;
      this.atMs = atMs;
    }
  }

  private final long keepMs;
  private final Map<ModuleId, LinkedHashMap<String, Memory>> modules = new LinkedHashMap<>();
  /** A node has failed lately: only then a success says something new. */
  private volatile boolean hasFailures;

  /** {@code keepMs}: for how long a node may be handed out again; 0 remembers nothing. */
  LastGood(long keepMs) {
    this.keepMs = keepMs;
  }

  /** False when nothing is remembered. */
  boolean isOn() {
    return keepMs > 0;
  }

  boolean hasFailures() {
    return hasFailures;
  }

  /** True for a node whose call failed a moment ago. */
  synchronized boolean rests(ModuleId module, Host host, long nowMs) {
    Map<String, Memory> hosts = modules.get(module);
    Memory memory = hosts == null ? null : hosts.get(host.address());
    return memory != null && memory.restEndMs > nowMs;
  }

  /** Remembers a node that is not known yet, so that it can be judged. */
  synchronized void learn(ModuleId module, Host host, long nowMs) {
    Map<String, Memory> hosts = modules.get(module);
    if (hosts == null || !hosts.containsKey(host.address())) {
      remember(module, host, nowMs);
    }
  }

  synchronized int size() {
    return modules.size();
  }

  /** Notes that the agent named this node. */
  synchronized void remember(ModuleId module, Host host, long nowMs) {
    if (keepMs == 0) {
      return;
    }
    // These maps keep the order of insertion: taking out first makes this one the youngest.
    LinkedHashMap<String, Memory> hosts = modules.remove(module);
    hosts = hosts == null ? new LinkedHashMap<>() : hosts;
    modules.put(module, hosts);
    hosts.remove(host.address());
    hosts.put(host.address(), new Memory(host, nowMs));
    if (hosts.size() > HOSTS_MAX) {
      removeFirst(hosts);
    }
    if (modules.size() > MODULES_MAX) {
      removeFirst(modules);
    }
  }

  /** Notes how a call of this node went. */
  synchronized void judge(ModuleId module, String address, boolean isWell, long nowMs) {
    Map<String, Memory> hosts = modules.get(module);
    Memory memory = hosts == null ? null : hosts.get(address);
    if (memory == null) {
      return;
    }
    if (isWell) {
      memory.failures = 0;
      memory.restEndMs = Long.MIN_VALUE;
      hasFailures =
          modules.values().stream()
              .anyMatch(all -> all.values().stream().anyMatch(one -> one.failures > 0));
      return;
    }
    hasFailures = true;
    memory.restEndMs = nowMs + Math.min(REST_MS << Math.min(memory.failures, 5), REST_MS_MAX);
    memory.failures++;
  }

  /** Remembers a node that is not known yet, while there is room; false when there is none. */
  synchronized boolean fill(ModuleId module, Host host, long nowMs) {
    Map<String, Memory> hosts = modules.get(module);
    if (keepMs == 0 || hosts != null && hosts.size() >= HOSTS_MAX) {
      return false;
    }
    learn(module, host, nowMs);
    return true;
  }

  /**
   * A node that is young enough, in turn: one that has not failed a moment ago, else any; null when
   * there is none.
   */
  synchronized Host next(ModuleId module, long nowMs) {
    LinkedHashMap<String, Memory> hosts = modules.get(module);
    if (hosts == null) {
      return null;
    }
    hosts.values().removeIf(one -> nowMs - one.atMs > keepMs);
    Memory chosen = null;
    for (Memory one : hosts.values()) {
      if (chosen == null) {
        chosen = one;
      }
      if (one.restEndMs <= nowMs) {
        chosen = one;
        break;
      }
    }
    if (chosen == null) {
      return null;
    }
    hosts.remove(chosen.host.address());
    hosts.put(chosen.host.address(), chosen);
    return chosen.host;
  }

  private static void removeFirst(Map<?, ?> map) {
    Iterator<?> entries = map.entrySet().iterator();
    entries.next();
    entries.remove();
  }
}
