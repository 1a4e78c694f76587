// Core. The configuration keys of dns.

import {
  authSettings,
  reactorSettings,
  storeSettings,
} from "../daemon/settings/common_settings.ts";
import { Section, type SettingsTable } from "../daemon/settings/settings.ts";
import { DEFAULT_PORTS } from "../proto/message_ids.ts";
import { SUBSCRIPTIONS_PER_PEER_MAX } from "../feed/publisher.ts";

const dns = new Section("dns");

/** Every key that dns reads. */
export const dnsSettings = {
  ...reactorSettings(DEFAULT_PORTS.dns),
  ...storeSettings,
  ...authSettings,
  pollIntervalMs: dns.seconds("poll_interval", 1, [0.05, 3600])
    .doc("Time between two looks at the route version in the database."),
  reloadIntervalMs: dns.seconds("reload_interval", 10, [0, 86_400])
    .doc(
      "Time between two full reads of the routes; 0 reads only when the version has " +
        "changed, so that a bare DELETE FROM RouteData stays unseen.",
    ),
  cacheDir: dns.text("cache_dir", "", { shape: "path" })
    .doc(
      "Folder for the routes, so that a dns that starts while the database is away serves those of " +
        "before, and takes no older database for it; empty: none.",
    ),
  subscriptionsMax: dns.integer("subscriptions_max", SUBSCRIPTIONS_PER_PEER_MAX, [1, 1_000_000])
    .doc("Most modules one connection may subscribe to; further ones are answered, not pushed."),
} as const satisfies SettingsTable;
