/**
 * The run view as anywidget wants it: one store per model, one view per element.
 *
 * A function, as anywidget calls it once per model; `initialize` and `render` each get a wrapper of
 * the model of their own, so the model itself cannot be the key to what they share.
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
      if (store.synced) store.greet();
      else store.hello();
      return () => view.close();
    },
  };
};
