/**
 * The dashboard as anywidget wants it: one store per model, one view per element. A function, as
 * anywidget calls it once per model and wraps the model anew for each hook.
 */

import { Store } from "./store.js";
import { View } from "./view.js";

export default () => {
  /** @type {Store | null} */
  let store = null;
  return {
    /** @param {{model: any}} context */
    initialize({ model }) {
      store = new Store(model);
      return () => store?.close();
    },

    /** @param {{el: HTMLElement}} context */
    render({ el }) {
      if (!store) return;
      const view = new View(store, el);
      return () => view.close();
    },
  };
};
