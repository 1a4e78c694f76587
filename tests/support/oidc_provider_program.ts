// Shell. A real OpenID Connect provider, as a process of its own: whoever types an account is that
// person. `GET /accounts?id=ID&name=NAME&groups=A,B` says what one is called and which groups it has.

import type { AddressInfo } from "node:net";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import process from "node:process";
import Provider from "oidc-provider";

const [host, returnUrl, secret] = process.argv.slice(2);

/** `id-token`: groups are in the token; else only the user info has them, as the standard has it. */
const isInToken = process.argv[5] === "id-token";

const accounts = new Map<string, { name: string; groups: string[] }>();

/** @returns true when the request was about accounts. */
function takesAccount(request: IncomingMessage): boolean {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://provider");
  if (pathname !== "/accounts") return false;
  const groups = (searchParams.get("groups") ?? "").split(",").filter((group) => group !== "");
  accounts.set(searchParams.get("id") ?? "", { name: searchParams.get("name") ?? "", groups });
  return true;
}

let handle: (request: IncomingMessage, response: ServerResponse) => unknown = () => {};
const server = createServer((request, response) => handle(request, response));
server.listen(0, host === "localhost" ? "127.0.0.1" : host, () => {
  const issuer = `http://${host}:${(server.address() as AddressInfo).port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: "lars",
      ...(secret === ""
        ? { token_endpoint_auth_method: "none" }
        : { client_secret: secret, token_endpoint_auth_method: "client_secret_basic" }),
      redirect_uris: [returnUrl],
    }],
    pkce: { required: () => true },
    claims: { openid: ["sub"], profile: ["preferred_username", "groups"] },
    conformIdTokenClaims: !isInToken,
    cookies: { keys: ["only for tests"] },
    findAccount: (_context: unknown, id: string) => {
      const { name, groups } = accounts.get(id) ?? { name: id, groups: [] };
      return { accountId: id, claims: () => ({ sub: id, preferred_username: name, groups }) };
    },
    // Nobody is asked whether the console may know who they are.
    // deno-lint-ignore no-explicit-any -- the library's own types are of another package
    loadExistingGrant: async (context: any) => {
      const { provider: made, client, session } = context.oidc;
      const grant = new made.Grant({ clientId: client.clientId, accountId: session.accountId });
      grant.addOIDCScope("openid profile");
      await grant.save();
      return grant;
    },
  });
  const answer = provider.callback();
  handle = (request, response) =>
    takesAccount(request) ? response.end() : answer(request, response);
  console.log(`listening at ${issuer}`);
});
