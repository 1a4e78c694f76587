// Shell. Nodes that discovery holds in their route though they seem to be lost, and the word that they are.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import type { HeldNodes } from "../../../control/schemas.ts";
import { call } from "../shell/api.ts";
import { useModuleNames } from "../shell/module_names.ts";
import { may, notify } from "../shell/state.ts";
import { Confirm } from "../parts/dialogs.tsx";
import { modulePath, plural } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { Ago, WriteButton } from "../parts/widgets.tsx";

function ConfirmLossesDialog(
  props: { held: HeldNodes; name: string; onClose: () => void; onDone: () => void },
): JSX.Element {
  const { modId, cmdId, heldCount } = props.held;
  return (
    <Confirm
      title="The nodes are lost"
      action="They are lost"
      danger
      onClose={props.onClose}
      onConfirm={async () => {
        const params = { modId: String(modId), cmdId: String(cmdId) };
        await call("confirmLosses", { params });
        notify("ok", `Nodes of ${props.name} that seem to be lost go out within a second`);
        props.onDone();
        props.onClose();
      }}
    >
      <p>
        {plural(heldCount, "node")} of {props.name}{" "}
        leave the route. One that lives after all registers again by itself.
      </p>
    </Confirm>
  );
}

/** What is held back, with the button that confirms it; nothing when nothing is. */
export function HeldNodesBox(
  props: { held: readonly HeldNodes[]; onDone: () => void },
): JSX.Element | null {
  const names = useModuleNames();
  const [confirming, setConfirming] = useState<HeldNodes>();
  if (props.held.length === 0) return null;
  return (
    <div class="box warn" role="alert">
      <Icon name="warn" />
      <div>
        <p class="strong">Nodes seem to be lost and stay in their routes</p>
        <p>
          So many at once that something between them and discovery is more likely to have broken.
          They go when their hosts refuse connections, or when somebody says that they are lost.
        </p>
        {props.held.map((held) => (
          <p key={`${held.modId}/${held.cmdId}`}>
            <a href={modulePath(held)}>{names.of(held)}</a>: {held.heldCount} of{" "}
            {plural(held.liveCount, "node")}, held since <Ago atMs={held.sinceMs} />
            {held.isConfirmed ? " (confirmed)" : may("operator") && (
              <>
                {" "}
                <WriteButton
                  class="small"
                  aria-label={`They are lost: ${names.of(held)}`}
                  onClick={() => setConfirming(held)}
                >
                  They are lost …
                </WriteButton>
              </>
            )}
          </p>
        ))}
        {confirming !== undefined && (
          <ConfirmLossesDialog
            held={confirming}
            name={names.of(confirming)}
            onClose={() => setConfirming(undefined)}
            onDone={props.onDone}
          />
        )}
      </div>
    </div>
  );
}
