// Shell. The icons: one stroke weight, one grid of 16, drawn in the colour of the text.

import type { JSX } from "preact";

const PATHS = {
  overview: "M2.5 8.5 8 3l5.5 5.5M4.5 7v6h7V7",
  modules: "M2.5 4.5 8 2l5.5 2.5L8 7zM2.5 8 8 10.5 13.5 8M2.5 11.5 8 14l5.5-2.5",
  history: "M2 13.5h12M2.5 11 6 7l2.5 2.5 5-6",
  changes:
    "M4 2.5v8M4 13.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3M12 5.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3M12 5.5c0 3-3 3-8 5",
  alerts: "M8 2a4 4 0 0 1 4 4c0 4 1.5 5 1.5 5h-11S4 10 4 6a4 4 0 0 1 4-4M6.5 13.5h3",
  events: "M5.5 4h8M5.5 8h8M5.5 12h8M2.5 4h.5M2.5 8h.5M2.5 12h.5",
  agents: "M8 2.5v3M8 5.5 3.5 9M8 5.5 12.5 9M8 5.5V9M2 9.5h3v4H2zM6.5 9.5h3v4h-3zM11 9.5h3v4h-3z",
  leases: "M8 13.5a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11M8 5v3.2l2.2 1.3",
  followers: "M3 3.5h4v4H3zM7 5.5h3.5M10.5 5.5v6M7 11.5h3.5M3 9.5h4v4H3zM10.5 8.5h3",
  relay: "M2 3.5h3v3H2zM2 9.5h3v3H2zM11 6.5h3v3h-3zM5 5l4 3-4 3M9 8h2",
  services: "M2.5 2.5h11v4h-11zM2.5 9.5h11v4h-11zM5 4.5h.5M5 11.5h.5",
  transfer: "M5 13V3M2.5 5.5 5 3l2.5 2.5M11 3v10M8.5 10.5 11 13l2.5-2.5",
  audit: "M4 2.5h6l2.5 2.5v8.5H4zM6.5 7h3.5M6.5 9.5h3.5",
  users:
    "M6 7.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5M1.5 13.5c0-3 2-4 4.5-4s4.5 1 4.5 4M10.5 2.8a2.5 2.5 0 0 1 0 4.4M12 9.8c1.5.5 2.5 1.7 2.5 3.7",
  account: "M8 7.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5M3 13.5c0-3 2.2-4 5-4s5 1 5 4",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10M10.7 10.7 14 14",
  plus: "M8 3v10M3 8h10",
  close: "M4 4l8 8M12 4l-8 8",
  menu: "M2.5 4h11M2.5 8h11M2.5 12h11",
  sun:
    "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6M8 1.5v1M8 13.5v1M1.5 8h1M13.5 8h1M3.4 3.4l.7.7M11.9 11.9l.7.7M12.6 3.4l-.7.7M4.1 11.9l-.7.7",
  moon: "M13 9.5A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.5",
  keyboard: "M1.5 4h13v8h-13zM4 6.5h.5M7 6.5h.5M10 6.5h.5M12 6.5h.5M5 9.5h6",
  ok: "M3 8.5 6.5 12 13 4.5",
  warn: "M8 2.5 14 13H2zM8 6.5v3M8 11.2v.2",
  crit: "M5.5 2h5L14 5.5v5L10.5 14h-5L2 10.5v-5zM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
  info: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12M8 7.5v3.5M8 5v.2",
  idle: "M8 13A5 5 0 1 0 8 3a5 5 0 0 0 0 10M5.8 8h4.4",
  empty: "M8 13A5 5 0 1 0 8 3a5 5 0 0 0 0 10M4.5 11.5l7-7",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  off: "M8 2.5v5M4.5 4.5a5 5 0 1 0 7 0",
  play: "M5 3.5v9l7-4.5z",
  edit: "M3 13l.5-3L10.5 3 13 5.5l-7 7z",
  trash: "M3 4.5h10M6 4.5v-2h4v2M4.5 4.5l.5 9h6l.5-9",
  undo: "M3 6.5h6.5a3.5 3.5 0 0 1 0 7H6M3 6.5 5.8 3.7M3 6.5l2.8 2.8",
  right: "M6 3.5 10.5 8 6 12.5",
  download: "M8 2.5v8M4.5 7.5 8 11l3.5-3.5M3 13.5h10",
  up: "M3.5 10 8 5.5l4.5 4.5",
  down: "M3.5 6 8 10.5 12.5 6",
  copy: "M5.5 5.5h8v8h-8zM3 10.5h-.5v-8h8V3",
  bell_off:
    "M4.5 4.5A4 4 0 0 0 4 6c0 4-1.5 5-1.5 5H11M6.5 13.5h3M6 2.6A4 4 0 0 1 12 6c0 1.5.2 2.6.5 3.4M2 2l12 12",
} as const;

/** Name of an icon. */
export type IconName = keyof typeof PATHS;

/** An icon; says nothing to screen readers, so that a text must stand beside it. */
export function Icon({ name }: { readonly name: IconName }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
