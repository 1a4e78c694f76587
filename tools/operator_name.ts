// Core. Who a command works for, as the history of changes names them.

/** What the operating system and the environment say of the user. */
export interface OperatorFacts {
  /** As the runtime tells it; some say "unknown" where the environment names nobody. */
  readonly username: string;
  /** Number of the user; below 0 where there are none. */
  readonly uid: number;
  /** The file of users, as text; empty where there is none. */
  readonly users: string;
}

/** A name for the history: that of the user, else the number, never "unknown". */
export function operatorName({ username, uid, users }: OperatorFacts): string {
  if (username !== "" && username !== "unknown") return username;
  const line = users.split("\n").find((one) => one.split(":")[2] === String(uid));
  const [name = ""] = line?.split(":") ?? [];
  if (name !== "") return name;
  return uid < 0 ? "command line" : `uid ${uid}`;
}
