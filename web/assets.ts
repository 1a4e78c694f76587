// Core. The files of the pages, embedded in the program: there is no build step for a user.

/** One file. */
export interface Asset {
  readonly type: string;
  readonly text: string;
}

const PLACEHOLDER = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Lars console</title>
<h1>Lars console</h1>
<p>The REST interface is at <a href="/api/v1/openapi.json">/api/v1</a>.
`;

/** Files by their path; `/` is served for every address that is no file, as pages have their own. */
export const ASSETS: ReadonlyMap<string, Asset> = new Map([
  ["/", { type: "text/html; charset=utf-8", text: PLACEHOLDER }],
]);
