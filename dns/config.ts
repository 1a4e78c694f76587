// Core. The configuration keys of dns.

import {
  authSettings,
  reactorSettings,
  storeSettings,
} from "../daemon/settings/common_settings.ts";
import { integer, seconds, type SettingsTable } from "../daemon/settings/settings.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import { SUBSCRIPTIONS_PER_PEER_MAX } from "../feed/publisher.ts";

/** Every key that dns reads. */
export const dnsSettings = {
  ...reactorSettings(DEFAULT_PORTS.dns),
  ...storeSettings,
  ...authSettings,
  pollIntervalMs: seconds("dns", "poll_interval", {
    default: 1,
    min: 0.05,
    max: 3600,
    doc: "Time between two looks at the route version in the database.",
  }),
  reloadIntervalMs: seconds("dns", "reload_interval", {
    default: 10,
    min: 0,
    max: 86_400,
    doc: "Time between two full reads of the routes; 0 reads only when the version has changed, " +
      "so that a bare DELETE FROM RouteData stays unseen.",
  }),
  subscriptionsMax: integer("dns", "subscriptions_max", {
    default: SUBSCRIPTIONS_PER_PEER_MAX,
    min: 1,
    max: 1_000_000,
    doc: "Most modules one connection may subscribe to; further ones are answered, not pushed.",
  }),
} as const satisfies SettingsTable;
