// Shell. What happened everywhere.

import type { JSX } from "preact";
import { EventFeed } from "./event_feed.tsx";
import { query, setQuery } from "./state.ts";
import { PageHead } from "./widgets.tsx";

/** All events. */
export function EventsPage(): JSX.Element {
  const severity = query.value.get("severity") ?? "";
  return (
    <>
      <PageHead title="Events" about="What happened, newest first, as it happens" />
      <div class="filters">
        <select
          aria-label="How bad"
          data-key="f"
          value={severity}
          onInput={(event) => setQuery({ severity: event.currentTarget.value })}
        >
          <option value="">Any severity</option>
          {["info", "warning", "critical"].map((value) => (
            <option key={value} value={value}>{value}</option>
          ))}
        </select>
      </div>
      <EventFeed severity={severity} />
    </>
  );
}
