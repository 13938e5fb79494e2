/**
 * A code to scan, as long as it is of use. It comes by a message and stays in this element: nothing
 * of it is in the widget's state, which may be saved with the notebook.
 */

function p(...children) {
  const made = document.createElement("p");
  made.style.margin = "8px 0";
  made.append(...children);
  return made;
}

function code(text) {
  const made = document.createElement("code");
  made.textContent = text;
  return made;
}

export default {
  render({ model, el }) {
    const box = document.createElement("div");
    box.className = "paseo-pairing";
    el.append(box);
    let timer;
    const gone = (said) => {
      clearTimeout(timer);
      box.replaceChildren(p(said));
    };
    const take = (message) => {
      if (message?.k === "gone") gone(String(message.said));
      if (message?.k !== "code") return;
      clearTimeout(timer);
      const hide = document.createElement("button");
      hide.textContent = "Hide";
      hide.onclick = () => gone("Hidden. Run the cell again for another code.");
      const told = p();
      const shown = [told, hide];
      if (message.svg) {
        const image = document.createElement("img");
        image.src = `data:image/svg+xml;base64,${btoa(message.svg)}`;
        image.alt = "The code to scan";
        image.style.cssText = "width:260px;max-width:100%;display:block";
        shown.unshift(image);
        told.append("Scan it, or open ", code(message.url), " and give this token: ", code(message.token));
      } else told.append("Token: ", code(message.token));
      box.replaceChildren(...shown);
      // Also where the kernel is gone by then.
      timer = setTimeout(() => gone("The code is shown no longer. Run the cell again for another."), Number(message.left_ms) + 3000);
    };
    model.on("msg:custom", take);
    model.send({ k: "hello" });
    return () => {
      clearTimeout(timer);
      model.off("msg:custom", take);
    };
  },
};
