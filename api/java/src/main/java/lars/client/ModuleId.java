// Core. A module: its two numbers as they are on the wire.
package lars.client;

/** Both numbers as ints: from 2^31 up they are negative. */
record ModuleId(int modId, int cmdId) {
  static final int PORTS_PER_AGENT = 3;

  /**
   * From numbers of callers, who may write those from 2^31 up as negative ones as well.
   *
   * @throws IllegalArgumentException when one is not a number of 32 bits
   */
  static ModuleId of(long modId, long cmdId) {
    return new ModuleId(check("modId", modId), check("cmdId", cmdId));
  }

  private static int check(String name, long value) {
    if (value >= Integer.MIN_VALUE && value <= 0xffffffffL) {
      return (int) value;
    }
    throw new IllegalArgumentException(
        name + " must be a whole number from 0 to 4294967295: current value is " + value);
  }

  /** Which of the agent's ports serves it: by the signed numbers, never negative. */
  int portIndex() {
    return (int) Math.floorMod((long) modId + cmdId, (long) PORTS_PER_AGENT);
  }

  @Override
  public String toString() {
    return Integer.toUnsignedString(modId) + "," + Integer.toUnsignedString(cmdId);
  }
}
