// Shell. Why is which node picked? The agent's explanation, asked for page by page.
package lars.client;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

final class Explanations {
  private final Lines lines;
  /** Ports of the agent that have said Hello. */
  private final Set<Integer> greeted = ConcurrentHashMap.newKeySet();

  Explanations(Lines lines) {
    this.lines = lines;
  }

  /** Null when the agent does not know the module. */
  Map<String, Object> explain(ModuleId module, long deadlineNanos) {
    greet(module, deadlineNanos);
    Map<String, Object> whole = null;
    List<Object> nodes = new ArrayList<>();
    while (true) {
      String text = lines.ask(Question.explain(module, nodes.size()), deadlineNanos).text;
      if (text.isEmpty()) {
        return null;
      }
      Map<String, Object> page = readPage(text);
      whole = whole == null ? page : whole;
      Map<String, Object> content = object(page.get("module"));
      if (content == null) {
        break;
      }
      List<?> here = (List<?>) content.get("nodes");
      nodes.addAll(here);
      // The route may shrink between two pages; then the next one is empty.
      if (here.isEmpty() || nodes.size() >= (Long) content.get("nodeCount")) {
        break;
      }
    }
    Map<String, Object> content = object(whole.get("module"));
    if (content != null) {
      content.put("nodes", nodes);
      content.remove("nodeCount");
    }
    return whole;
  }

  /** Our own messages are for an agent that has said Hello; it is asked once for each port. */
  private void greet(ModuleId module, long deadlineNanos) {
    if (!greeted.contains(module.portIndex())) {
      lines.ask(Question.hello(module), deadlineNanos);
      greeted.add(module.portIndex());
    }
  }

  private static Map<String, Object> readPage(String text) {
    Map<String, Object> page = object(Json.read(text));
    Map<String, Object> content = page == null ? null : object(page.get("module"));
    boolean isGood =
        page != null
            && page.get("state") instanceof String
            && (content != null
                ? content.get("nodes") instanceof List && content.get("nodeCount") instanceof Long
                : page.get("module") == null);
    if (!isGood) {
      throw new ProtocolException("Explanation must have a state, and nodes with their number");
    }
    return page;
  }

  @SuppressWarnings("unchecked")
  private static Map<String, Object> object(Object value) {
    return value instanceof Map ? (Map<String, Object>) value : null;
  }
}
