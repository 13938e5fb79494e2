/** A workflow run's widget: shows the HTML that `page.py` renders, and says what was clicked. */

export default {
  /** @param {{model: any, el: HTMLElement}} context */
  render({ model, el }) {
    el.classList.add("paseo-alive");
    const root = document.createElement("div");
    el.append(root);
    const show = () => putInPlace(root, model.get("page"));
    root.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("button[data-do]") : null;
      if (button) {
        button.textContent = "Stopping…";
        button.disabled = true;
        model.send({ k: button.dataset.do });
      }
    });
    root.addEventListener("toggle", (event) => {
      const step = event.target instanceof HTMLElement ? event.target.dataset.step : null;
      if (step) model.send({ k: event.target.open ? "open" : "shut", step });
    }, true);
    model.on("change:page", show);
    show();
    return () => model.off("change:page", show);
  },
};
