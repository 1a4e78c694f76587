// Core. Which clients have names, which groups they belong to, and who wants to hear of it.

import { MAIL_NAME_PATTERN } from "../../sql/mail/mail_store.ts";

/** Groups that one client may belong to. */
export const GROUPS_PER_CLIENT_MAX = 100;

/** Clients that may watch who comes and goes; a further one is refused. */
export const WATCHERS_MAX = 1_000;

/** A client with a name as others see it. */
export interface SeenMember {
  readonly name: string;
  readonly sid: number;
  /** When it came, by the wall clock, in milliseconds. */
  readonly sinceMs: number;
  /** Where its relay is. @default {here} */
  readonly relay?: string;
}

/** A client with a name. */
export interface Member extends SeenMember {
  /** Another connection has taken its name. It is out of the directory already. */
  replaced(): void;
  /** Somebody whose name it watches has come or gone. */
  tell(member: SeenMember, gone: boolean): void;
}

/** True for what may be the name of a client or a group. */
export function isClientName(text: string): boolean {
  return MAIL_NAME_PATTERN.test(text);
}

/** Whoever tells other relays who is here. */
export interface DirectoryEvents {
  came(member: Member): void;
  went(member: Member): void;
  /** A group has so many members here. */
  groupChanged(group: string, members: number): void;
}

/** Names of clients that are here. The newest connection has a name; an older one loses it. */
export class Directory {
  readonly #members = new Map<string, Member>();
  readonly #groups = new Map<string, Set<Member>>();
  readonly #groupsOf = new Map<Member, Set<string>>();
  /** What each watcher's names begin with. */
  readonly #watchers = new Map<Member, string>();
  readonly #events: DirectoryEvents | undefined;

  constructor(events?: DirectoryEvents) {
    this.#events = events;
  }

  /** Clients that have names. */
  get size(): number {
    return this.#members.size;
  }

  /** Groups with at least one member. */
  get groupCount(): number {
    return this.#groups.size;
  }

  /** Clients that have names, in order of their coming. */
  get members(): Iterable<Member> {
    return this.#members.values();
  }

  /** Groups and their members. */
  get groups(): ReadonlyMap<string, ReadonlySet<Member>> {
    return this.#groups;
  }

  /** The client of this name. */
  find(name: string): Member | undefined {
    return this.#members.get(name);
  }

  /** A client has come. */
  add(member: Member): void {
    const older = this.#members.get(member.name);
    if (older !== undefined) {
      this.remove(older);
      older.replaced();
    }
    this.#members.set(member.name, member);
    this.#events?.came(member);
    this.tell(member, false);
  }

  /** A client is gone, with its groups and what it watched. Harmless when repeated. */
  remove(member: Member): void {
    for (const group of [...this.#groupsOf.get(member) ?? []]) this.leave(member, group);
    this.#watchers.delete(member);
    if (this.#members.get(member.name) !== member) return;
    this.#members.delete(member.name);
    this.#events?.went(member);
    this.tell(member, true);
  }

  /** A client belongs to a group; false: to too many. */
  join(member: Member, group: string): boolean {
    const own = this.#groupsOf.get(member) ?? new Set();
    if (own.size >= GROUPS_PER_CLIENT_MAX && !own.has(group)) return false;
    own.add(group);
    this.#groupsOf.set(member, own);
    const members = this.#groups.get(group) ?? new Set();
    const size = members.size;
    this.#groups.set(group, members.add(member));
    if (members.size > size) this.#events?.groupChanged(group, members.size);
    return true;
  }

  /** A client belongs to a group no more. */
  leave(member: Member, group: string): void {
    const own = this.#groupsOf.get(member);
    own?.delete(group);
    if (own?.size === 0) this.#groupsOf.delete(member);
    const members = this.#groups.get(group);
    const isChanged = members?.delete(member) === true;
    if (members?.size === 0) this.#groups.delete(group);
    if (isChanged) this.#events?.groupChanged(group, members?.size ?? 0);
  }

  /** Members of a group that are here. */
  groupMembers(group: string): Iterable<Member> {
    return this.#groups.get(group) ?? [];
  }

  /** Those whose names begin with `prefix`, at most `limit`, in order of their coming. */
  who(prefix: string, limit: number): { members: Member[]; cut: boolean } {
    const members: Member[] = [];
    for (const member of this.#members.values()) {
      if (!member.name.startsWith(prefix)) continue;
      if (members.length >= limit) return { members, cut: true };
      members.push(member);
    }
    return { members, cut: false };
  }

  /** Tells a client of those who come and go; false: too many watch. */
  watch(watcher: Member, prefix: string): boolean {
    if (this.#watchers.size >= WATCHERS_MAX && !this.#watchers.has(watcher)) return false;
    this.#watchers.set(watcher, prefix);
    return true;
  }

  /** Tells those who watch names like this one; also of clients of other relays. */
  tell(member: SeenMember, gone: boolean): void {
    for (const [watcher, prefix] of [...this.#watchers]) {
      if (member.name.startsWith(prefix)) watcher.tell(member, gone);
    }
  }
}
