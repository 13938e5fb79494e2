/** The panel's icon: a run's open ring with its mark, in the colour of JupyterLab's own. */

import { LabIcon } from "@jupyterlab/ui-components";

export const paseoIcon = new LabIcon({
  name: "paseo-nb:panel",
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 16 16"><g class="jp-icon3" style="fill:none" stroke="#616161" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round"><path d="M8 2a6 6 0 1 0 6 6"/><path d="M6.5 5.6L10 8l-3.5 2.4z"/><path d="M11.2 2.4l2.4 2.4M13.6 2.4l-2.4 2.4"/></g></svg>',
});
