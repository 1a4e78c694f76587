// Shell. A change that agents hold back: what it is, and the word that it is meant.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { call } from "../shell/api.ts";
import { whyPart } from "../changes/change_dialog.tsx";
import { formatSpan, moduleTitle, plural } from "../parts/format.ts";
import { type HeldRoute, heldRoutes } from "./held_routes.ts";
import { Icon } from "../parts/icons.tsx";
import { useLoad } from "../shell/live.ts";
import { may, notify } from "../shell/state.ts";
import { FormDialog, useAction } from "../parts/dialogs.tsx";
import { faultOf, WhyField } from "../parts/fields.tsx";
import { WriteButton } from "../parts/widgets.tsx";

/** The console asks its agent this often; asking the console more often shows nothing new. */
const REFRESH_MS = 3000;

/** Agents that are looked at: the change is the same for all. */
const HOLDING_MAX = "100";
/** Agents that are named. */
const AGENTS_NAMED = 3;

interface ModuleName {
  readonly modId: number;
  readonly cmdId: number;
  readonly name?: string;
}

/** Says that a route is meant as it is stored. */
export function ConfirmRouteDialog(
  props: { module: ModuleName; onClose: () => void; onDone?: () => void },
): JSX.Element {
  const { module, onClose } = props;
  const { isBusy, problem, run } = useAction();
  const [why, setWhy] = useState("");
  const submit = (): void =>
    run(async () => {
      const { modId, cmdId } = module;
      const params = { modId: String(modId), cmdId: String(cmdId) };
      const { told } = await call("confirmModule", { params, body: whyPart(why) });
      const deaf = told.filter((one) => !one.told).map(({ address }) => address);
      if (deaf.length > 0) {
        notify("warn", `Stored as meant; ${deaf.join(", ")} sees it at its next poll`);
      } else notify("ok", `Stored as meant, ${plural(told.length, "dns", "dns")} told`);
      props.onDone?.();
      onClose();
    });
  return (
    <FormDialog
      title="The route is meant"
      action="It is meant"
      isReady={!isBusy}
      problem={problem}
      lead={
        <p>
          Every agent that holds back a change of {moduleTitle(module)}{" "}
          takes the route as it is stored now. Nothing in the route changes.
        </p>
      }
      onClose={onClose}
      onSubmit={submit}
    >
      <WhyField
        hint="Kept in the audit."
        fault={faultOf(problem, "why")}
        value={why}
        onText={setWhy}
      />
    </FormDialog>
  );
}

function Held({ held }: { held: HeldRoute }): JSX.Element {
  const { agent, nodesAfter, nodesBefore, heldMs } = held;
  return (
    <p>
      The agent at <code>{agent}</code> goes on with the {plural(nodesBefore, "node")}{" "}
      it had: the route stored now would leave it{" "}
      {nodesAfter === 0 ? "none" : nodesAfter}, and nobody said that this is meant. It has been so
      for {formatSpan(heldMs)}.
    </p>
  );
}

/** Shows when an agent holds a change of a module back; nothing else. */
export function HeldBox({ module }: { module: ModuleName }): JSX.Element | null {
  const [isOpen, setOpen] = useState(false);
  const agents = useLoad(
    "held routes",
    (signal) => call("listAgents", { query: { state: "holding", limit: HOLDING_MAX }, signal }),
    REFRESH_MS,
    true,
  );
  const held = heldRoutes(agents.value?.agents ?? [])
    .filter(({ modId, cmdId }) => modId === module.modId && cmdId === module.cmdId);
  if (held.length === 0) return null;
  return (
    <div class="box warn" role="alert">
      <Icon name="warn" />
      <div>
        <p class="strong">A change of this route is held back</p>
        {held.slice(0, AGENTS_NAMED).map((one) => <Held key={one.agent} held={one} />)}
        {held.length > AGENTS_NAMED && (
          <p>
            So do <a href="/agents?state=holding">other agents</a>.
          </p>
        )}
        {may("operator")
          ? (
            <>
              <p>If it was a mistake, put the nodes back, and nobody will have noticed.</p>
              <WriteButton onClick={() => setOpen(true)}>It is meant …</WriteButton>
            </>
          )
          : <p>An operator can say that it is meant, or put the nodes back.</p>}
        {isOpen && (
          <ConfirmRouteDialog
            module={module}
            onClose={() => setOpen(false)}
            onDone={agents.reload}
          />
        )}
      </div>
    </div>
  );
}
