// Shell. The search box that jumps anywhere, the keys, and the list of keys.

import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { systemClock } from "../../../reactor/time/system_clock.ts";
import { call, callProblemOf, session } from "./api.ts";
import { modulePath, plural } from "../parts/format.ts";
import { Icon, type IconName } from "../parts/icons.tsx";
import { isNavOpen, NAV_ITEMS, overlay } from "./layout.tsx";
import { useModuleNames } from "./module_names.ts";
import { withQuery } from "./places.ts";
import { may, navigate, nextTheme, setTheme } from "./state.ts";
import { Dialog } from "../parts/dialogs.tsx";
import type { ResponseOf } from "../../contract.ts";

/** Pause after a key before the server is asked. */
const TYPING_MS = 120;
/** Longest search text. */
const SEARCH_LENGTH_MAX = 64;
/** Time for the second key after `g`. */
const SEQUENCE_MS = 1500;

interface Hit {
  readonly icon: IconName;
  readonly text: string;
  readonly about: string;
  /** True when `about` has a module by its numbers, which have a name perhaps. */
  readonly hasNumbers?: boolean;
  readonly href: string;
}

/** Pages whose name has the text in it. */
function pageHits(text: string): Hit[] {
  const wanted = text.trim().toLowerCase();
  return NAV_ITEMS
    .filter((item) => may(item.role) && item.text.toLowerCase().includes(wanted))
    .map((item) => ({
      icon: item.icon,
      text: item.text,
      about: `page · g ${item.key}`,
      href: item.href,
    }));
}

/** Agents shown among what is found. */
const AGENTS_SHOWN = 5;

async function find(text: string, signal: AbortSignal): Promise<Hit[]> {
  const [{ hits }, { agents }] = await Promise.all([
    call("search", { query: { q: text, limit: "20" }, signal }),
    call("listAgents", { query: { search: text, limit: `${AGENTS_SHOWN}` }, signal }),
  ]);
  return [...hits.map(hitOf), ...agents.map(agentHit)];
}

function agentHit({ address, state }: ResponseOf<"listAgents">["agents"][number]): Hit {
  return {
    icon: "agents",
    text: address,
    about: `agent · ${state}`,
    href: withQuery("/agents", { search: address }),
  };
}

function hitOf(hit: ResponseOf<"search">["hits"][number]): Hit {
  if (hit.kind === "host") {
    return {
      icon: "services",
      text: hit.text,
      about: `host · ${plural(hit.moduleCount, "module")}`,
      href: hit.moduleCount === 1
        ? withQuery(modulePath(hit), { find: hit.text })
        : withQuery("/modules", { search: hit.text }),
    };
  }
  return hit.kind === "node"
    ? {
      icon: "right",
      text: hit.node ?? hit.text,
      about: `node of ${hit.modId} / ${hit.cmdId}`,
      hasNumbers: true,
      href: withQuery(modulePath(hit), { find: hit.node ?? undefined }),
    }
    : {
      icon: "modules",
      text: hit.text,
      about: `module ${hit.modId} / ${hit.cmdId}`,
      href: modulePath(hit),
    };
}

/** What was found for a text; pages at once, the rest when the server has answered. */
function useHits(text: string): { hits: readonly Hit[]; note: string } {
  const [found, setFound] = useState<{ hits: readonly Hit[]; note: string }>({
    hits: [],
    note: "",
  });
  useEffect(() => {
    const wanted = text.trim();
    if (wanted === "") return setFound({ hits: [], note: "" });
    const abort = new AbortController();
    setFound((old) => ({ ...old, note: "Searching …" }));
    const timer = systemClock.setTimer(TYPING_MS, () => {
      find(wanted, abort.signal).then(
        (hits) =>
          setFound({ hits, note: hits.length === 0 ? "No module, node, host or agent" : "" }),
        (error) => {
          if (!abort.signal.aborted) setFound({ hits: [], note: callProblemOf(error).message });
        },
      );
    });
    return () => {
      abort.abort();
      timer.cancel();
    };
  }, [text]);
  const pages = pageHits(text);
  return {
    hits: text.trim() === "" ? pages : [...found.hits, ...pages],
    note: found.note,
  };
}

/** The search box over the page. */
function SearchBox(): JSX.Element {
  const names = useModuleNames();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const { hits, note } = useHits(text);
  const list = useRef<HTMLUListElement>(null);
  const close = (): void => void (overlay.value = "none");
  const open = (hit: Hit | undefined): void => {
    if (hit === undefined) return;
    close();
    navigate(hit.href);
  };
  const chosen = Math.min(at, Math.max(0, hits.length - 1));
  useEffect(() => {
    list.current?.querySelector('[aria-selected="true"]')?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <Dialog title="Search" onClose={close}>
      <div class="palette">
        <input
          type="text"
          role="combobox"
          aria-label="Search modules, nodes, hosts, agents and pages"
          aria-expanded={hits.length > 0}
          aria-controls="hits"
          aria-activedescendant={hits.length > 0 ? `hit-${chosen}` : undefined}
          placeholder="Name, numbers, address, page"
          maxLength={SEARCH_LENGTH_MAX}
          autoFocus
          spellcheck={false}
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={(event) => {
            if (event.key === "ArrowDown") setAt(Math.min(chosen + 1, hits.length - 1));
            else if (event.key === "ArrowUp") setAt(Math.max(chosen - 1, 0));
            else if (event.key === "Enter") open(hits[chosen]);
            else return;
            event.preventDefault();
          }}
        />
        <ul id="hits" role="listbox" aria-label="Found" ref={list}>
          {hits.map((hit, index) => (
            <li
              key={`${hit.href} ${hit.about}`}
              id={`hit-${index}`}
              role="option"
              aria-selected={index === chosen}
              onClick={() => open(hit)}
              onMouseMove={() => setAt(index)}
            >
              <Icon name={hit.icon} />
              <span class="cut">{hit.text}</span>
              <span class="muted">
                {hit.hasNumbers === true ? names.inText(hit.about) : hit.about}
              </span>
            </li>
          ))}
        </ul>
        <p class="muted small" role="status">
          {note === "" ? "Arrow keys choose, Enter opens, Escape closes." : note}
        </p>
      </div>
    </Dialog>
  );
}

const KEYS: readonly (readonly [string, string])[] = [
  ["/, Ctrl K", "search modules, nodes, hosts, agents, pages"],
  ["?", "this list"],
  ["t", "light or dark colours"],
  ["j, k", "next and previous row of a table"],
  ["Enter", "open the row"],
  ["n", "add: a node, a rule, a user, as the page has it"],
  ["e", "edit the module"],
  ["f", "the filter of the page"],
  ["Esc", "close what is open"],
];

function KeyList(): JSX.Element {
  return (
    <Dialog title="Keys" wide onClose={() => overlay.value = "none"}>
      <div class="body key-list">
        <dl>
          {KEYS.map(([keys, text]) => (
            <div key={keys}>
              <dt>
                <kbd>{keys}</kbd>
              </dt>
              <dd>{text}</dd>
            </div>
          ))}
        </dl>
        <dl>
          {NAV_ITEMS.filter(({ role }) => may(role)).map((item) => (
            <div key={item.page}>
              <dt>
                <kbd>g {item.key}</kbd>
              </dt>
              <dd>{item.text}</dd>
            </div>
          ))}
        </dl>
      </div>
    </Dialog>
  );
}

/** What lies over the page, if anything. */
export function Overlay(): JSX.Element | null {
  if (overlay.value === "search") return <SearchBox />;
  return overlay.value === "keys" ? <KeyList /> : null;
}

/** Moves the focus to the next or previous row; rows are reached by their first link. */
function moveRow(step: 1 | -1): void {
  const links = [...document.querySelectorAll<HTMLElement>("main tbody tr [data-row]")];
  if (links.length === 0) return;
  const row = document.activeElement?.closest("tr");
  const at = links.findIndex((link) => link.closest("tr") === row);
  const next = at < 0 ? (step > 0 ? 0 : links.length - 1) : at + step;
  links[Math.min(Math.max(next, 0), links.length - 1)].focus();
}

/** Presses what the page marks with a key: `data-key="n"`. */
function pressMarked(key: string): boolean {
  const target = document.querySelector<HTMLElement>(`main [data-key="${key}"]`);
  if (target === null) return false;
  if (target instanceof HTMLInputElement) target.focus();
  else target.click();
  return true;
}

let sequenceMs = -SEQUENCE_MS;

function onKey(event: KeyboardEvent): void {
  const user = session.peek();
  if (!user || user.mustChangePassword) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    if (document.querySelector("dialog[open]") === null) overlay.value = "search";
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]") !== null) return;
  const target = event.target;
  if (target instanceof Element && target.matches("input, textarea, select")) {
    if (event.key === "Escape" && target instanceof HTMLElement) target.blur();
    return;
  }
  const isSecond = systemClock.nowMs() - sequenceMs < SEQUENCE_MS;
  sequenceMs = -SEQUENCE_MS;
  const page = isSecond
    ? NAV_ITEMS.find(({ key, role }) => key === event.key && may(role))
    : undefined;
  if (page !== undefined) navigate(page.href);
  else if (event.key === "g") sequenceMs = systemClock.nowMs();
  else if (event.key === "/") overlay.value = "search";
  else if (event.key === "?") overlay.value = "keys";
  else if (event.key === "t") setTheme(nextTheme());
  else if (event.key === "j") moveRow(1);
  else if (event.key === "k") moveRow(-1);
  else if (event.key === "Escape") isNavOpen.value = false;
  else if (!["n", "e", "f"].includes(event.key) || !pressMarked(event.key)) return;
  event.preventDefault();
}

/** Listens to the keys of the whole console. */
export function listenToKeys(): void {
  document.addEventListener("keydown", onKey);
}
