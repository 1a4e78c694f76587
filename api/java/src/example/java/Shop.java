// Shell. Calls the sample module `shop` of `lars up` five times, with a second try at another node.

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import lars.client.Attempt;
import lars.client.LarsClient;
import lars.client.Options;
import lars.client.Outcomes;

/** A caller: {@code java -cp lars-client.jar Shop.java}. */
public final class Shop {
  private static final HttpClient HTTP = HttpClient.newHttpClient();

  private Shop() {}

  /** Prints what five nodes said. */
  public static void main(String[] args) throws Exception {
    Options options = Options.none().retries(1).timeout(Duration.ofSeconds(5));
    try (LarsClient client = LarsClient.create()) {
      for (int i = 0; i < 5; i++) {
        String text = client.call(1, 2, Shop::fetch, options);
        System.out.println(text);
      }
    }
  }

  private static String fetch(Attempt node) throws Exception {
    URI uri = URI.create("http://" + node.address() + "/");
    HttpRequest request = HttpRequest.newBuilder(uri).timeout(node.left()).build();
    HttpResponse<String> response = HTTP.send(request, HttpResponse.BodyHandlers.ofString());
    Outcomes.checkStatus(response.statusCode());
    return node.address() + " says " + response.body().strip();
  }
}
