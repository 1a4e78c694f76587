// Core. Completion scripts for shells, made from a description of the command tree.
//
// The scripts hold all words themselves, so a press of the tab key starts no program.

/** An option with the values it takes, when they are a few known words. */
export interface CompletionOption {
  /** `--state`, and `-c` where there is a short form. */
  readonly names: readonly string[];
  readonly summary: string;
  readonly takesValue: boolean;
  /** Known values; empty: a file name or free text. */
  readonly values: readonly string[];
}

/** A command with its subcommands. */
export interface CompletionNode {
  /** First the name, then aliases. */
  readonly names: readonly string[];
  readonly summary: string;
  readonly children: readonly CompletionNode[];
  readonly options: readonly CompletionOption[];
  /** Known words for the first argument, for example shells. */
  readonly argumentValues: readonly string[];
}

/** Shells for which there is a script. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** One of {@linkcode SHELLS}. */
export type Shell = (typeof SHELLS)[number];

/** One place in the tree: the words typed so far and what may follow. */
interface Place {
  /** `route add`; empty at the top. */
  readonly path: string;
  readonly node: CompletionNode;
}

/** The completion script of a shell for the program `root.names[0]`. */
export function completionScript(shell: Shell, root: CompletionNode): string {
  const places = placesOf(root, "");
  if (shell === "bash") return bashScript(root.names[0], places);
  if (shell === "zsh") return zshScript(root.names[0], places);
  return fishScript(root.names[0], places);
}

function placesOf(node: CompletionNode, path: string): Place[] {
  const below = node.children.flatMap((child) =>
    child.names.flatMap((name) => placesOf(child, path === "" ? name : `${path} ${name}`))
  );
  return [{ path, node }, ...below];
}

function wordsOf(node: CompletionNode): string[] {
  return [...node.children.flatMap(({ names }) => names), ...node.argumentValues];
}

/** Text inside single quotes of any of the shells. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** Options that take a value, so that the value is not mistaken for a subcommand. */
function valueOptions(places: readonly Place[]): string {
  const names = places.flatMap(({ node }) =>
    node.options.filter(({ takesValue }) => takesValue).flatMap(({ names }) => names)
  );
  return [...new Set(names)].join("|") || "-";
}

/** What bash and zsh do alike: find the place word by word, offer values, else what may follow. */
function walkText(
  places: readonly Place[],
  byPlace: readonly string[],
  offerValues: (values: readonly string[]) => string,
): string {
  const deeper = places.filter(({ path }) => path !== "").map(({ path }) =>
    `      ${quoted(path)}) ;;`
  );
  const values = places.flatMap(({ path, node }) =>
    node.options.filter(({ values }) => values.length > 0).flatMap(({ names, values }) =>
      names.map((name) => `    ${quoted(`${path} ${name}`)}) ${offerValues(values)}; return ;;`)
    )
  );
  return `    case "$word" in
      ${valueOptions(places)}) skip=1; continue ;;
      -*) continue ;;
    esac
    next="\${place:+$place }$word"
    case "$next" in
${deeper.join("\n")}
      *) continue ;;
    esac
    place="$next"
  done
  case "$place $previous" in
${values.join("\n")}
    *) ;;
  esac
  case "$place" in
${byPlace.join("\n")}
  esac
`;
}

function bashScript(program: string, places: readonly Place[]): string {
  const byPlace = places.map(({ path, node }) => {
    const options = node.options.flatMap(({ names }) => names);
    return `    ${quoted(path)}) words=${quoted(wordsOf(node).join(" "))}; options=${
      quoted(options.join(" "))
    } ;;`;
  });
  const offerValues = (values: readonly string[]): string =>
    `COMPREPLY=($(compgen -W ${quoted(values.join(" "))} -- "$current"))`;
  return `# Completion of ${program} for bash; load it with: source <(${program} completion bash)
_${program}_complete() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local place="" next word words options skip="" index
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="\${COMP_WORDS[index]}"
    if [ -n "$skip" ]; then skip=""; continue; fi
${walkText(places, byPlace, offerValues)}  if [ -n "$skip" ]; then
    COMPREPLY=($(compgen -f -- "$current"))
  elif [[ "$current" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [ -n "$words" ]; then
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}
complete -o filenames -F _${program}_complete ${program}
`;
}

/** `name:summary`, with the colons of the name kept. */
function zshEntry(name: string, summary: string): string {
  return quoted(`${name.replaceAll(":", "\\:")}:${summary}`);
}

function zshScript(program: string, places: readonly Place[]): string {
  const byPlace = places.map(({ path, node }) => {
    const words = [
      ...node.children.flatMap(({ names, summary }) =>
        names.map((name) => zshEntry(name, summary))
      ),
      ...node.argumentValues.map((value) => zshEntry(value, "")),
    ];
    const options = node.options.flatMap(({ names, summary }) =>
      names.map((name) => zshEntry(name, summary))
    );
    return `    ${quoted(path)}) words_here=(${words.join(" ")}); options_here=(${
      options.join(" ")
    }) ;;`;
  });
  const offerValues = (values: readonly string[]): string =>
    `compadd -- ${values.map(quoted).join(" ")}`;
  return `#compdef ${program}
# Completion of ${program} for zsh; load it with: source <(${program} completion zsh)
_${program}() {
  local place="" next word skip="" previous="\${words[CURRENT-1]}"
  local -a words_here options_here
  for word in "\${(@)words[2,CURRENT-1]}"; do
    if [[ -n "$skip" ]]; then skip=""; continue; fi
${walkText(places, byPlace, offerValues)}  if [[ -n "$skip" ]]; then _files
  elif [[ "$PREFIX" == -* ]]; then _describe option options_here
  elif (( \${#words_here} )); then _describe command words_here
  else _files
  fi
}
compdef _${program} ${program}
`;
}

function fishScript(program: string, places: readonly Place[]): string {
  const lines = places.flatMap(({ path, node }) => {
    const here = `-n ${quoted(`__${program}_at ${path}`.trimEnd())}`;
    const commands = node.children.flatMap(({ names, summary }) =>
      names.map((name) => `complete -c ${program} ${here} -f -a ${name} -d ${quoted(summary)}`)
    );
    const values = node.argumentValues.map((value) =>
      `complete -c ${program} ${here} -f -a ${quoted(value)}`
    );
    const options = node.options.map((option) => fishOption(program, here, option));
    return [...commands, ...values, ...options];
  });
  return `# Completion of ${program} for fish; load it with: ${program} completion fish | source
function __${program}_at
  set -l place
  set -l skip 0
  for word in (commandline -opc)[2..-1]
    if test $skip = 1
      set skip 0
      continue
    end
    switch $word
      case ${valueOptions(places).split("|").map(quoted).join(" ")}
        set skip 1
        continue
      case '-*'
        continue
    end
    set -l next (string join ' ' -- $place $word)
    if contains -- "$next" ${
    places.filter(({ path }) => path !== "").map(({ path }) => quoted(path)).join(" ")
  }
      set place $next
    end
  end
  test "$place" = "$argv"
end
${lines.join("\n")}
`;
}

function fishOption(program: string, here: string, option: CompletionOption): string {
  const names = option.names.map((name) =>
    name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`
  );
  const value = !option.takesValue
    ? ""
    : option.values.length === 0
    ? " -r"
    : ` -x -a ${quoted(option.values.join(" "))}`;
  return `complete -c ${program} ${here} ${names.join(" ")}${value} -d ${quoted(option.summary)}`;
}
