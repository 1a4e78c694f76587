// Core. The version of this program, stated once in package.json.

import manifest from "../package.json" with { type: "json" };

/** Version of this program, for example `0.1.0`. */
export const VERSION: string = manifest.version;
