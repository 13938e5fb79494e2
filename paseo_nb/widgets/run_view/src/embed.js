/** A widget of the kernel's inside another one. */

/**
 * Its view, to be put into the page; `remove()` takes it out again. Throws where the host has no
 * place for it (a page without a kernel, a front end without ipywidgets' manager).
 * @param {any} model of the widget that it is shown in @param {string} id @returns {Promise<{el: HTMLElement, remove: () => void}>}
 */
export async function viewOf(model, id) {
  const manager = model.widget_manager;
  return manager.create_view(await manager.get_model(id));
}
