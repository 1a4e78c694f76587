// Core. The Debian packages: what is in each, who owns it, and what is done when it comes and goes.

/** Where a file of a package comes from: a text, or a file made before. */
export type DebianSource = { readonly text: string } | { readonly from: string };

/** One file of a package. */
export interface DebianFile {
  /** Where it is put, from the root. */
  readonly path: string;
  readonly mode: number;
  readonly source: DebianSource;
}

/** One package. */
export interface DebianPackage {
  readonly name: string;
  readonly files: readonly DebianFile[];
  /** Files of the directory DEBIAN by name. */
  readonly control: Readonly<Record<string, string>>;
}

/** What the packages are made of. */
export interface DebianParts {
  readonly version: string;
  /** Of Debian: `amd64`, `arm64`. */
  readonly architecture: string;
  readonly maintainer: string;
  readonly licence: string;
  /** Compiled programs by name: where they are. */
  readonly programs: Readonly<Record<string, string>>;
  /** systemd units by file name, as deploy/systemd has them. */
  readonly units: Readonly<Record<string, string>>;
  /** Manual pages by file name, as roff. */
  readonly manuals: Readonly<Record<string, string>>;
  /** Example configurations by name. */
  readonly configs: Readonly<Record<string, string>>;
  /** Files of the C client: headers and libraries, by the path below /usr. */
  readonly library: Readonly<Record<string, DebianSource>>;
  readonly changelog: string;
  /** Unix seconds of the release. */
  readonly releasedAt: number;
}

/**
 * Services of the package `lars-server`. All are enabled; the units of the last three start only where
 * there is a configuration for them.
 */
export const SERVER_SERVICES = ["dns", "reporter", "web", "discovery", "relay", "export"] as const;

/** Group whose programs may pick from the agent's table in shared memory. */
const CALLERS_GROUP = "lars-callers";

const HEAD = "#!/bin/sh\nset -e\n";

/** Enables and (re)starts units, as init-system-helpers do it; nothing where no systemd runs. */
function afterInstall(units: readonly string[], before = ""): string {
  const enable = units.map((unit) =>
    `  if deb-systemd-helper --quiet was-enabled ${unit}; then deb-systemd-helper enable ${unit} >/dev/null || true
  else deb-systemd-helper update-state ${unit} >/dev/null || true; fi`
  );
  return `${HEAD}if [ "$1" = configure ]; then
${before}${enable.join("\n")}
  if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
    if [ -n "$2" ]; then action=restart; else action=start; fi
    deb-systemd-invoke $action ${units.join(" ")} >/dev/null || true
  fi
fi
`;
}

/** Stops units when the package goes, and not for an upgrade: the new one restarts them. */
function beforeRemove(units: readonly string[]): string {
  return `${HEAD}if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  deb-systemd-invoke stop ${units.join(" ")} >/dev/null || true
fi
`;
}

/** Forgets units and, with purge, what the service has written. */
function afterRemove(units: readonly string[], states: readonly string[]): string {
  const folders = states.flatMap((name) => [`/var/lib/${name}`, `/var/lib/private/${name}`]);
  return `${HEAD}if [ "$1" = remove ]; then
  if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
fi
if [ "$1" = purge ]; then
  if command -v deb-systemd-helper >/dev/null; then deb-systemd-helper purge ${
    units.join(" ")
  } >/dev/null || true; fi
  rm -rf ${folders.join(" ")}
  rmdir --ignore-fail-on-non-empty /etc/lars 2>/dev/null || true
fi
`;
}

interface Description {
  readonly depends: string;
  readonly section: string;
  readonly short: string;
  readonly long: readonly string[];
}

function controlOf(parts: DebianParts, name: string, about: Description): string {
  const { version, architecture, maintainer } = parts;
  return [
    `Package: ${name}`,
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    `Maintainer: ${maintainer}`,
    `Section: ${about.section}`,
    "Priority: optional",
    ...about.depends === "" ? [] : [`Depends: ${about.depends}`],
    `Description: ${about.short}`,
    ...about.long.map((line) => ` ${line}`),
    "",
  ].join("\n");
}

const text = (path: string, content: string, mode = 0o644): DebianFile => ({
  path,
  mode,
  source: { text: content },
});

/** Files that every package has, and its manual pages. */
function documents(parts: DebianParts, name: string, manuals: readonly string[]): DebianFile[] {
  const copyright = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n" +
    `\nFiles: *\nCopyright: 2026 the Lars authors\nLicense: MIT\n` +
    parts.licence.trim().split("\n").map((line) => line === "" ? " ." : ` ${line}`).join("\n") +
    "\n";
  return [
    text(`usr/share/doc/${name}/copyright`, copyright),
    text(`usr/share/doc/${name}/changelog`, debianChangelog(parts)),
    text(`usr/share/doc/${name}/CHANGELOG.md`, parts.changelog),
    ...manuals.map((page) => text(`usr/share/man/man${page.at(-1)}/${page}`, parts.manuals[page])),
  ];
}

/** The changelog in Debian's form, which names the one that people read. */
function debianChangelog({ version, maintainer, releasedAt }: DebianParts): string {
  const date = new Date(releasedAt * 1000).toUTCString().replace("GMT", "+0000");
  return `lars (${version}) unstable; urgency=medium\n\n  * See CHANGELOG.md beside this file.\n\n` +
    ` -- ${maintainer}  ${date}\n`;
}

/** A unit with the programs where packages put them. */
function unitFile(parts: DebianParts, name: string): DebianFile {
  const content = parts.units[name].replaceAll("/usr/local/bin/", "/usr/bin/");
  return text(`usr/lib/systemd/system/${name}`, content);
}

/** A compiled program, and what Debian's checker may pass over: its runtime brings all it needs. */
function programFiles(parts: DebianParts, name: string): DebianFile[] {
  const passed = ["unstripped-binary-or-object", "embedded-library", "hardening-no-pie"];
  const overrides = [...passed, "hardening-no-relro"].map((tag) => `${name}: ${tag}`);
  return [
    { path: `usr/bin/${name}`, mode: 0o755, source: { from: parts.programs[name] } },
    text(
      `usr/share/lintian/overrides/${name}`,
      "# The sources are appended to a runtime: without its symbols it would lose them.\n" +
        overrides.join("\n") + "\n",
    ),
  ];
}

function agentPackage(parts: DebianParts): DebianPackage {
  const units = ["lars-agent.socket", "lars-agent.service"];
  const group =
    `  getent group ${CALLERS_GROUP} >/dev/null || groupadd --system ${CALLERS_GROUP}\n`;
  return {
    name: "lars-agent",
    files: [
      ...programFiles(parts, "lars-agent"),
      ...units.map((unit) => unitFile(parts, unit)),
      text("etc/lars/agent.conf", parts.configs["agent.conf"]),
      ...documents(parts, "lars-agent", ["lars-agent.8"]),
    ],
    control: {
      control: controlOf(parts, "lars-agent", {
        depends: "libc6, passwd",
        section: "net",
        short: "which node next: the agent of Lars on every host",
        long: [
          "Programs ask it over UDP, or pick from its table in shared memory, which",
          "node of a service to call next, and tell it how calls went; it keeps bad",
          "nodes out.",
          ".",
          `Members of the group ${CALLERS_GROUP} may pick from shared memory.`,
        ],
      }),
      conffiles: "/etc/lars/agent.conf\n",
      postinst: afterInstall(units, group),
      prerm: beforeRemove([...units].reverse()),
      postrm: afterRemove(units, ["lars-agent"]),
    },
  };
}

function serverPackage(parts: DebianParts): DebianPackage {
  const units = SERVER_SERVICES.map((name) => `lars-${name}.service`);
  const wrappers = SERVER_SERVICES.map((name) => {
    const words = name === "relay" || name === "export" ? `${name} run` : name;
    return text(`usr/bin/lars-${name}`, `#!/bin/sh\nexec /usr/bin/lars ${words} "$@"\n`, 0o755);
  });
  return {
    name: "lars-server",
    files: [
      ...wrappers,
      ...units.map((unit) => unitFile(parts, unit)),
      text("etc/lars/lars.conf", parts.configs["lars.conf"]),
      ...documents(parts, "lars-server", SERVER_SERVICES.map((name) => `lars-${name}.8`)),
    ],
    control: {
      control: controlOf(parts, "lars-server", {
        depends: `lars (= ${parts.version})`,
        section: "net",
        short: "routes, results and console of Lars",
        long: [
          "dns serves routes from SQL and pushes each change, reporter writes call",
          "results back, the console edits routes, shows status and raises alerts. An",
          "embedded database is used until /etc/lars/lars.conf names MariaDB or MySQL.",
          "Discovery, relay and exports are there too, and start when they have a",
          "configuration.",
        ],
      }),
      conffiles: "/etc/lars/lars.conf\n",
      postinst: afterInstall(units),
      prerm: beforeRemove(units),
      postrm: afterRemove(units, ["lars"]),
    },
  };
}

function toolPackage(parts: DebianParts): DebianPackage {
  return {
    name: "lars",
    files: [...programFiles(parts, "lars"), ...documents(parts, "lars", ["lars.1"])],
    control: {
      control: controlOf(parts, "lars", {
        depends: "libc6",
        section: "admin",
        short: "command of Lars, load balancing by real call outcomes",
        long: [
          "Lists and changes routes, drains nodes, shows status and events, explains",
          "picks, simulates faults, and runs a whole system for a trial.",
        ],
      }),
    },
  };
}

function libraryPackage(parts: DebianParts): DebianPackage {
  const files = Object.entries(parts.library).map(([path, source]): DebianFile => ({
    path: `usr/${path}`,
    mode: 0o644,
    source,
  }));
  return {
    name: "liblarsclient-dev",
    files: [...files, ...documents(parts, "liblarsclient-dev", [])],
    control: {
      control: controlOf(parts, "liblarsclient-dev", {
        depends: "libc6-dev",
        section: "libdevel",
        short: "clients of Lars for C and C++",
        long: [
          "lars.h with liblars for C, lars.hpp for C++, and lars_api.h with",
          "liblarsclient, against which callers of the original compile unchanged.",
          "The libraries are static.",
        ],
      }),
    },
  };
}

/** All packages, in the order in which they can be installed. */
export function debianPackages(parts: DebianParts): DebianPackage[] {
  return [toolPackage, serverPackage, agentPackage, libraryPackage].map((make) => make(parts));
}
