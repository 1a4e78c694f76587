// Core. What the handler of a route is given, and what it may answer.

import type { Actor } from "../control/access/actor.ts";
import type { ParsedOf, ResponseOf, RouteName } from "./contract.ts";

/** One checked request. */
export interface ApiContext<Name extends RouteName> {
  readonly params: ParsedOf<Name, "params">;
  readonly query: ParsedOf<Name, "query">;
  readonly body: ParsedOf<Name, "body">;
  /** Who asks; nobody for public routes. */
  readonly actor: Actor;
  /** Revision in If-Match, without quotes; `*` for any; undefined when not given. */
  readonly ifMatch: string | undefined;
  /** Where the request came from. */
  readonly address: string;
  /** True when it came from this host, by a name of this host, and not through a proxy. */
  readonly isLocal: boolean;
  /** True when who asked at first may still look. */
  stillAllowed(): Promise<boolean>;
  /** Headers of the answer. */
  readonly headers: Headers;
}

/** What a handler answers: the value of the route, or an answer of another kind. */
export type ApiAnswer<Name extends RouteName> = ResponseOf<Name> | Response;

/** A handler for every route of the table. */
export type ApiHandlers = {
  readonly [Name in RouteName]: (
    context: ApiContext<Name>,
  ) => ApiAnswer<Name> | Promise<ApiAnswer<Name>>;
};
