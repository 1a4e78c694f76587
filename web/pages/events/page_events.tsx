// Shell. What happened everywhere.

import type { JSX } from "preact";
import { EventFeed } from "./event_feed.tsx";
import { query, setQuery } from "../shell/state.ts";
import { PageHead } from "../parts/widgets.tsx";

/** Beginnings of kinds, as the server takes them. */
const KINDS = [
  ["", "Everything"],
  ["node.", "Nodes kept out and back"],
  ["alert.", "Alerts"],
  ["scale.", "Scaling"],
  ["route.", "Routes"],
  ["service.", "Services"],
] as const;

/** All events. */
export function EventsPage(): JSX.Element {
  const kind = KINDS.find(([value]) => value === query.value.get("kind"))?.[0] ?? "";
  return (
    <>
      <PageHead title="Events" about="What happened, newest first, as it happens" />
      <div class="filters">
        <select
          aria-label="Kind"
          data-key="f"
          value={kind}
          onInput={(event) => setQuery({ kind: event.currentTarget.value })}
        >
          {KINDS.map(([value, text]) => <option key={value} value={value}>{text}</option>)}
        </select>
      </div>
      <EventFeed kind={kind} />
    </>
  );
}
