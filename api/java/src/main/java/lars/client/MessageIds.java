// Core. Ids of the messages that callers and agents exchange.
package lars.client;

final class MessageIds {
  static final int GET_HOST_REQUEST = 4;
  static final int GET_HOST_RESPONSE = 5;
  static final int REPORT_REQUEST = 6;
  static final int GET_ROUTE_REQUEST = 7;
  static final int GET_ROUTE_RESPONSE = 8;
  static final int HELLO = 64;
  static final int EXPLAIN_REQUEST = 76;
  static final int EXPLAIN_RESPONSE = 77;

  private MessageIds() {}
}
