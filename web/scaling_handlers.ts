// Shell. What the routes of scaling do.

import type { ScaleSettings } from "../control/scaling/scale_settings.ts";
import type { ApiHandlers } from "./api_context.ts";
import type { scalingRoutes } from "./contract.ts";

/** What the handlers of scaling work with. */
export interface ScalingHandlerParts {
  readonly scaling: ScaleSettings;
}

/** A handler for every route of scaling. */
export function scalingHandlers(
  { scaling }: ScalingHandlerParts,
): Pick<ApiHandlers, keyof typeof scalingRoutes> {
  return {
    listScaling: async ({ query: { modId, cmdId } }) => {
      if (modId === undefined || cmdId === undefined) {
        const modules = await scaling.modules();
        return { modules: modules.filter((one) => modId === undefined || one.modId === modId) };
      }
      const one = await scaling.find({ modId, cmdId });
      return { modules: one === undefined ? [] : [one] };
    },
    getScaling: ({ params }) => scaling.tracked(params),
    putScaling: ({ actor, params, body: { rule, why } }) => scaling.put(actor, params, rule, why),
    async deleteScaling({ actor, params, query: { why } }): Promise<undefined> {
      await scaling.remove(actor, params, why);
    },
  };
}
