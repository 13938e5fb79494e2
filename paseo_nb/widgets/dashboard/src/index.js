/** The dashboard as anywidget wants it: one store per model, one view per element. */

import { Store } from "./store.js";
import { View } from "./view.js";

/** @type {WeakMap<object, Store>} */
const stores = new WeakMap();

/** @param {any} model */
function storeOf(model) {
  let store = stores.get(model);
  if (!store) stores.set(model, (store = new Store(model)));
  return store;
}

export default {
  /** @param {{model: any}} context */
  initialize({ model }) {
    const store = storeOf(model);
    return () => {
      store.close();
      stores.delete(model);
    };
  },

  /** @param {{model: any, el: HTMLElement}} context */
  render({ model, el }) {
    const view = new View(storeOf(model), el);
    return () => view.close();
  },
};
