// Core. The bill of materials of a release (CycloneDX 1.6): which packages of npm its programs hold.

/** What of `deno.lock` is read. */
export interface LockFile {
  /** Specifier to version: `npm:hono@4.13.19` to `4.13.19`. */
  readonly specifiers: Readonly<Record<string, string>>;
  readonly npm: Readonly<Record<string, LockedPackage>>;
}

/** One package in the lock file; its key is `name@version`, with `_peer@version` behind it. */
export interface LockedPackage {
  /** `sha512-` and base64. */
  readonly integrity?: string;
  /** Names, with `@version` where there are several versions. */
  readonly dependencies?: readonly string[];
  readonly optionalDependencies?: readonly string[];
}

/** What a bill is made of. */
export interface SbomParts {
  readonly name: string;
  readonly version: string;
  readonly lock: LockFile;
  /** Names and versions that programs import, as `package.json` has them. */
  readonly dependencies: Readonly<Record<string, string>>;
  /** Licence of a package as it says itself; undefined: it says none. */
  licenceOf(name: string, version: string): string | undefined;
  /** Unix seconds of the release. */
  readonly releasedAt: number;
}

interface Part {
  readonly key: string;
  readonly name: string;
  readonly version: string;
  readonly locked: LockedPackage;
}

function partOf(key: string, locked: LockedPackage): Part {
  const at = key.indexOf("@", 1);
  return { key, name: key.slice(0, at), version: key.slice(at + 1).split("_")[0], locked };
}

function purlOf({ name, version }: Part): string {
  return `pkg:npm/${name.replace(/^@/, "%40")}@${version}`;
}

/** All packages that are needed, with the keys of those that each needs. */
function reachable({ lock, dependencies }: SbomParts): Map<string, string[]> {
  const keys = Object.keys(lock.npm);
  const find = (wanted: string): string => {
    if (Object.hasOwn(lock.npm, wanted)) return wanted;
    const [found, ...more] = keys.filter((key) =>
      key.startsWith(`${wanted}@`) || key.startsWith(`${wanted}_`)
    );
    if (found === undefined || more.length > 0) {
      throw new Error(`deno.lock has ${found === undefined ? "no" : "more than one"} ${wanted}`);
    }
    return found;
  };
  const needs = new Map<string, string[]>();
  const visit = (key: string): void => {
    if (needs.has(key)) return;
    const { dependencies: all = [], optionalDependencies: optional = [] } = lock.npm[key];
    const own = [...all, ...optional].map(find);
    needs.set(key, own);
    own.forEach(visit);
  };
  for (const [name, version] of Object.entries(dependencies)) visit(find(`${name}@${version}`));
  return needs;
}

/** The bill as JSON text; the same for the same parts. @throws {Error} when the lock lacks a package. */
export function sbomOf(parts: SbomParts): string {
  const { name, version, lock, licenceOf, releasedAt } = parts;
  const needs = reachable(parts);
  const found = [...needs.keys()].sort().map((key) => partOf(key, lock.npm[key]));
  const purls = new Map(found.map((part) => [part.key, purlOf(part)]));
  const own = `pkg:generic/${name}@${version}`;
  const refsOf = (keys: readonly string[]): string[] =>
    [...new Set(keys.map((key) => purls.get(key) ?? ""))].sort();
  const components = found.map((part) => {
    const licence = licenceOf(part.name, part.version);
    const digest = part.locked.integrity?.replace(/^sha512-/, "");
    return {
      "type": "library",
      "bom-ref": purlOf(part),
      "name": part.name,
      "version": part.version,
      "purl": purlOf(part),
      ...licence === undefined ? {} : { licenses: [{ expression: licence }] },
      ...digest === undefined ? {} : { hashes: [{ alg: "SHA-512", content: hexOf(digest) }] },
    };
  });
  const direct = Object.entries(parts.dependencies).map(([one, at]) =>
    `pkg:npm/${one.replace(/^@/, "%40")}@${at}`
  );
  const bill = {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: {
      timestamp: new Date(releasedAt * 1000).toISOString(),
      component: { "type": "application", "bom-ref": own, name, version, "purl": own },
    },
    components,
    dependencies: [
      { ref: own, dependsOn: direct.sort() },
      ...found.map((part) => ({ ref: purlOf(part), dependsOn: refsOf(needs.get(part.key) ?? []) })),
    ],
  };
  return JSON.stringify(bill, null, 2) + "\n";
}

function hexOf(base64: string): string {
  return [...atob(base64)].map((char) => char.charCodeAt(0).toString(16).padStart(2, "0")).join("");
}
