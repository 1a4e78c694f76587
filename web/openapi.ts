// Core. The OpenAPI 3.1 document of the REST interface, made from the table of routes.

import * as z from "zod";
import { VERSION } from "../daemon/version.ts";
import {
  API_PREFIX,
  API_ROUTES,
  type ApiRoute,
  CSRF_HEADER,
  type ProblemName,
  PROBLEMS,
  problemsOf,
  SESSION_COOKIE,
} from "./contract.ts";
import { ProblemDetails } from "../control/schemas.ts";

type Json = Record<string, unknown>;

/** JSON Schema of what a client sends (`input`) or gets (`output`). */
function schemaOf(shape: z.ZodType, io: "input" | "output"): Json {
  const { $schema: _dialect, ...schema } = z.toJSONSchema(shape, { io, unrepresentable: "any" });
  return schema as Json;
}

function parametersOf(route: ApiRoute): Json[] {
  const list: Json[] = [];
  for (const [place, shape] of [["path", route.params], ["query", route.query]] as const) {
    if (shape === undefined) continue;
    const { properties = {}, required = [] } = schemaOf(shape, "input") as {
      properties?: Record<string, Json>;
      required?: string[];
    };
    for (const [name, { description, ...schema }] of Object.entries(properties)) {
      list.push({
        name,
        in: place,
        required: place === "path" || required.includes(name),
        ...(description === undefined ? {} : { description }),
        schema,
      });
    }
  }
  if (route.ifMatch !== undefined) {
    list.push({
      name: "If-Match",
      in: "header",
      required: route.ifMatch === "required",
      description: "ETag of the module as it was read, or * for any",
      schema: { type: "string" },
    });
  }
  return list;
}

function successOf(route: ApiRoute): Json {
  const status = String(route.status ?? (route.response === null ? 204 : 200));
  const { response } = route;
  if (response === null) return { [status]: { description: "Done" } };
  const content = typeof response === "string"
    ? { [response]: { schema: { type: "string" } } }
    : { "application/json": { schema: schemaOf(response, "output") } };
  return { [status]: { description: "Done", content } };
}

/** Errors of a route; kinds that share a status are described together. */
function faultsOf(route: ApiRoute): Json {
  const byStatus = new Map<number, ProblemName[]>();
  for (const name of new Set(problemsOf(route))) {
    const { status } = PROBLEMS[name];
    byStatus.set(status, [...byStatus.get(status) ?? [], name]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, names]) => [String(status), {
      description: names.map((name) => `${name}: ${PROBLEMS[name].title}`).join("; "),
      content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
    }]),
  );
}

function operationOf(name: string, route: ApiRoute): Json {
  const isOpen = route.role === "public";
  const writes = route.method !== "GET";
  return {
    operationId: name,
    tags: [route.tag],
    summary: route.summary,
    description: isOpen ? "Needs no login." : `Needs the role ${route.role}.`,
    parameters: parametersOf(route),
    ...(route.body === undefined ? {} : {
      requestBody: {
        required: true,
        content: { "application/json": { schema: schemaOf(route.body, "input") } },
      },
    }),
    responses: { ...successOf(route), ...faultsOf(route) },
    security: isOpen ? [] : [{ token: [] }, writes ? { cookie: [], csrf: [] } : { cookie: [] }],
  };
}

/** The whole document, as a JSON value. */
export function openApiDocument(): Json {
  const paths: Record<string, Json> = {};
  for (const [name, route] of Object.entries(API_ROUTES) as [string, ApiRoute][]) {
    const path = API_PREFIX + route.path;
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(name, route) };
  }
  return {
    openapi: "3.1.0",
    info: { title: "Lars console", version: VERSION },
    paths,
    components: {
      schemas: { Problem: schemaOf(ProblemDetails, "output") },
      securitySchemes: {
        token: { type: "http", scheme: "bearer" },
        cookie: { type: "apiKey", in: "cookie", name: SESSION_COOKIE },
        csrf: { type: "apiKey", in: "header", name: CSRF_HEADER },
      },
    },
  };
}
