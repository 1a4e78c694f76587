// Core. Completion scripts for shells, made from a description of the command tree.
//
// The scripts hold all words themselves; only for what a database holds (names of modules, zones,
// nodes) a press of the tab key asks the program.

/** What the program is asked for when the tab key is pressed. */
export const LOOKUPS = ["modules", "zones", "nodes"] as const;

/** One of {@linkcode LOOKUPS}. */
export type Lookup = (typeof LOOKUPS)[number];

/** Options that say where names are looked up; the script passes them on. */
const WHERE_OPTIONS = "--store|--data|--server|--token-file";

/** An option with the values it takes, when they are a few known words. */
export interface CompletionOption {
  /** `--state`, and `-c` where there is a short form. */
  readonly names: readonly string[];
  readonly summary: string;
  readonly takesValue: boolean;
  /** Known values; empty: a file name or free text. */
  readonly values: readonly string[];
  /** Values that a database holds. */
  readonly lookup?: Lookup | undefined;
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
  /** What the first arguments are, as far as a database holds them; a module may be two numbers. */
  readonly argumentLookups?: readonly Lookup[];
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

/** What a shell offers: known words, or what the program says. */
interface Offers {
  values(values: readonly string[]): string;
  lookup(lookup: Lookup): string;
}

/** What bash and zsh do alike: find the place word by word, offer values, else what may follow. */
function walkText(
  places: readonly Place[],
  byPlace: readonly string[],
  offers: Offers,
): string {
  const deeper = places.filter(({ path }) => path !== "").map(({ path }) =>
    `      ${quoted(path)}) ;;`
  );
  const values = places.flatMap(({ path, node }) =>
    node.options.flatMap(({ names, values, lookup }) => {
      if (lookup === undefined && values.length === 0) return [];
      const offer = lookup === undefined ? offers.values(values) : offers.lookup(lookup);
      return names.map((name) => `    ${quoted(`${path} ${name}`)}) ${offer}; return ;;`);
    })
  );
  const operands = places.flatMap(({ path, node }) =>
    (node.argumentLookups ?? []).map((lookup, at) =>
      `    ${quoted(`${path} ${at}`)}) ${offers.lookup(lookup)}; return ;;`
    )
  );
  return `    if [[ -n "$skip" ]]; then
      case "$skip" in ${WHERE_OPTIONS}) where+=("$skip" "$word") ;; esac
      skip=""; continue
    fi
    case "$word" in
      ${valueOptions(places)}) skip="$word"; continue ;;
      ${
    WHERE_OPTIONS.split("|").map((name) => `${name}=*`).join("|")
  }) where+=("$word"); continue ;;
      -*) continue ;;
    esac
    next="\${place:+$place }$word"
    case "$next" in
${deeper.join("\n")}
      *)
        # The first number of a module, whose second one follows.
        if [[ -z "$half" && "$operands" == 0 && "$word" != *[!0-9]* ]]; then half=+
        else half=""; operands=$((operands + 1))
        fi
        continue ;;
    esac
    place="$next"
  done
  case "$place $previous" in
${values.join("\n")}
    *) ;;
  esac
  if [[ -z "$skip" && "$current" != -* ]]; then
  case "$place $operands$half" in
${operands.join("\n")}
    *) ;;
  esac
  fi
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
  const offers: Offers = {
    values: (values) => `_${program}_offer_words "$current" ${quoted(values.join(" "))}`,
    lookup: (lookup) =>
      `_${program}_offer "$current" "$("\${COMP_WORDS[0]}" completion words ${lookup} ` +
      `"\${where[@]}" 2>/dev/null)"`,
  };
  // Words that hold = or : are pieces to bash: they are put together again, and the reply is what
  // follows the last of those signs. Names come from a database: nothing of them is expanded.
  return `# Completion of ${program} for bash; load it with: source <(${program} completion bash)
_${program}_offer() {
  local current="$1" one cut=""
  if [[ "$COMP_WORDBREAKS" == *[=:]* ]]; then cut="\${current%"\${current##*[=:]}"}"; fi
  while IFS= read -r one; do
    if [[ -n "$one" && "$one" == "$current"* ]]; then COMPREPLY+=("\${one#"$cut"}"); fi
  done <<< "$2"
  if [[ \${#COMPREPLY[@]} -eq 1 && "\${COMPREPLY[0]}" == *= ]]; then
    compopt -o nospace 2>/dev/null
  fi
  return 0
}
_${program}_offer_words() { _${program}_offer "$1" "\${2// /$'\\n'}"; }
_${program}_complete() {
  local place="" next word words options skip="" index operands=0 half="" glue=""
  local -a line=() where=()
  COMPREPLY=()
  for ((index = 0; index <= COMP_CWORD; index++)); do
    word="\${COMP_WORDS[index]}"
    if [[ "$word" == [=:] && $index -gt 0 ]]; then line[\${#line[@]}-1]+="$word"; glue=1
    elif [[ -n "$glue" ]]; then line[\${#line[@]}-1]+="$word"; glue=""
    else line+=("$word")
    fi
  done
  local count=\${#line[@]}
  local current="\${line[count-1]}" previous="\${line[count-2]}"
  for ((index = 1; index < count - 1; index++)); do
    word="\${line[index]}"
${walkText(places, byPlace, offers)}  if [ -n "$skip" ]; then
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
  const offers: Offers = {
    // What is to be gone on with, such as errRate=, is followed by no space.
    values: (values) => {
      const [open, whole] = [true, false].map((isOpen) =>
        values.filter((value) => value.endsWith("=") === isOpen).map(quoted).join(" ")
      );
      return [
        ...(open === "" ? [] : [`compadd -S '' -- ${open}`]),
        ...(whole === "" ? [] : [`compadd -- ${whole}`]),
      ].join("; ");
    },
    lookup: (lookup) =>
      `found=("\${(@f)$("\${words[1]}" completion words ${lookup} "\${where[@]}" 2>/dev/null)}"); ` +
      `compadd -- "\${(@)found:#}"`,
  };
  return `#compdef ${program}
# Completion of ${program} for zsh; load it with: source <(${program} completion zsh)
_${program}() {
  local place="" next word skip="" previous="\${words[CURRENT-1]}" current="$PREFIX"
  local operands=0 half=""
  local -a words_here options_here where found
  for word in "\${(@)words[2,CURRENT-1]}"; do
${walkText(places, byPlace, offers)}  if [[ -n "$skip" ]]; then _files
  elif [[ "$PREFIX" == -* ]]; then _describe option options_here
  elif (( \${#words_here} )); then _describe command words_here
  else _files
  fi
}
compdef _${program} ${program}
`;
}

/** What fish may offer at one place. */
function fishLines(program: string, { path, node }: Place): string[] {
  const here = `-n ${quoted(`__${program}_at ${path}`.trimEnd())}`;
  const commands = node.children.flatMap(({ names, summary }) =>
    names.map((name) => `complete -c ${program} ${here} -f -a ${name} -d ${quoted(summary)}`)
  );
  const operand = (at: number): string =>
    `-n ${quoted(`__${program}_operand ${at} ${path}`.trimEnd())}`;
  const values = node.argumentValues.map((value) =>
    `complete -c ${program} ${operand(0)} -f -a ${quoted(value)}`
  );
  for (const [at, lookup] of (node.argumentLookups ?? []).entries()) {
    values.push(`complete -c ${program} ${operand(at)} -f -a '(__${program}_words ${lookup})'`);
  }
  const options = node.options.map((option) => fishOption(program, here, option));
  return [...commands, ...values, ...options];
}

function fishScript(program: string, places: readonly Place[]): string {
  return `# Completion of ${program} for fish; load it with: ${program} completion fish | source
function __${program}_words
  set -l where
  set -l option
  for word in (commandline -opc)[2..-1]
    if test -n "$option"
      set -a where $option $word
      set option
      continue
    end
    switch $word
      case ${WHERE_OPTIONS.split("|").join(" ")}
        set option $word
      case ${WHERE_OPTIONS.split("|").map((name) => `'${name}=*'`).join(" ")}
        set -a where $word
    end
  end
  set -l words (commandline -opc)
  $words[1] completion words $argv[1] $where 2>/dev/null
end
function __${program}_at
  set -l place
  set -l skip 0
  set -g __${program}_operands 0
  set -l half 0
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
    else if test $half = 0 -a $__${program}_operands = 0; and string match -qr '^[0-9]+$' -- $word
      # The first number of a module, whose second one follows.
      set half 1
    else
      set half 0
      set -g __${program}_operands (math $__${program}_operands + 1)
    end
  end
  if test $half = 1
    set -g __${program}_operands half
  end
  test "$place" = "$argv"
end
function __${program}_operand
  __${program}_at $argv[2..-1]; and test "$__${program}_operands" = $argv[1]
end
${places.flatMap((place) => fishLines(program, place)).join("\n")}
`;
}

function fishOption(program: string, here: string, option: CompletionOption): string {
  const names = option.names.map((name) =>
    name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`
  );
  const value = !option.takesValue
    ? ""
    : option.lookup !== undefined
    ? ` -x -a '(__${program}_words ${option.lookup})'`
    : option.values.length === 0
    ? " -r"
    : ` -x -a ${quoted(option.values.join(" "))}`;
  return `complete -c ${program} ${here} ${names.join(" ")}${value} -d ${quoted(option.summary)}`;
}
