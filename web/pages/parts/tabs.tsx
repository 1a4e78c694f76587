// Shell. The parts of a page, one of which is shown; the address of the page says which.

import type { JSX } from "preact";
import { query, setQuery } from "../shell/state.ts";

/** The part that the address names; the first one where it names none. */
export function tabOf<Name extends string>(
  tabs: readonly (readonly [Name, string])[],
): Name {
  return (tabs.find(([name]) => name === query.value.get("tab")) ?? tabs[0])[0];
}

/** The address of the page with another part; the rest of it stays. */
function addressOf(name: string | undefined): string {
  const parts = new URLSearchParams(query.value);
  parts.delete("tab");
  if (name !== undefined) parts.set("tab", name);
  return `?${parts.toString()}`;
}

/** Links to the parts of a page: name and text of each, the usual one first. */
export function Tabs<Name extends string>(
  props: { label: string; tabs: readonly (readonly [Name, string])[]; tab: Name },
): JSX.Element {
  const [[usual]] = props.tabs;
  return (
    <nav class="tabs" aria-label={props.label}>
      {props.tabs.map(([name, text]) => (
        <a
          key={name}
          href={addressOf(name === usual ? undefined : name)}
          aria-current={name === props.tab ? "page" : undefined}
          onClick={(event) => {
            event.preventDefault();
            setQuery({ tab: name === usual ? undefined : name });
          }}
        >
          {text}
        </a>
      ))}
    </nav>
  );
}
