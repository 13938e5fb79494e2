/**
 * Photos to go along with the next prompt: chosen or taken, made as small as agents take them, and
 * sent to the server at once. Drawn anew, so that nothing of what a camera writes into its files
 * (the place, the time) goes along.
 */

import { h } from "./dom.js";
import { Refused } from "./server.js";
import { sha256 } from "./sha256.js";

const SIDE = 2000; // pixels; models scale larger ones down themselves
const PIECE = 1 << 20;
const MOST = 8;

export class Photos {
  /** @param {import("./server.js").Server} server */
  constructor(server) {
    this.server = server;
    /** @type {{name: string, blob: Promise<string | null>, el: HTMLElement, url: string}[]} */
    this.all = [];
    this.trouble = ""; // why the server took none
    this.input = h("input.sr", { type: "file", accept: "image/*", multiple: true, onchange: () => this.take() });
    this.list = h("ul.shots");
    this.said = h("span.f2.t12", { role: "status" });
    this.el = h("div.photos", null, h("label.btn", null, "Add a photo", this.input), this.list, this.said);
  }

  take() {
    const files = [...this.input.files].slice(0, MOST - this.all.length);
    this.said.textContent = this.input.files.length > files.length ? `${MOST} photos at most.` : "";
    for (const file of files) this.add(file);
    this.input.value = "";
  }

  add(file) {
    const url = URL.createObjectURL(file);
    const name = `photo-${this.all.length + 1}.jpg`;
    const out = h("button.btn", { type: "button", "aria-label": `Take ${name} out`, onclick: () => this.drop(one) }, "Take out");
    const el = h("li.on-its-way", null, h("img", { src: url, alt: name }), out);
    const one = { name, url, el, blob: this.bring(file) };
    this.all.push(one);
    this.list.append(el);
    one.blob.then((digest) => {
      el.className = digest ? "" : "failed";
      if (!digest) this.said.textContent = `A photo could not be read or sent. ${this.trouble}`.trim();
    });
  }

  /** Its name at the server; null where that did not work. */
  async bring(file) {
    try {
      const data = await small(file);
      const digest = sha256(data);
      for (let have = 0; have < data.length; ) {
        const told = await this.server.put(`contents/${digest}`, { offset: have, size: data.length }, data.slice(have, have + PIECE));
        if (!(told.have > have)) return null;
        have = told.have;
      }
      return digest;
    } catch (error) {
      this.trouble = error instanceof Refused ? error.message : "";
      return null;
    }
  }

  drop(one) {
    this.all = this.all.filter((other) => other !== one);
    one.el.remove();
    URL.revokeObjectURL(one.url);
    if (!this.all.length) this.said.textContent = "";
  }

  /** The blocks of what is there, once all of it is sent; null where one is not. */
  async ready() {
    const all = [...this.all];
    const blobs = await Promise.all(all.map((one) => one.blob));
    if (blobs.includes(null)) return null;
    return all.map((one, i) => ({ type: "image", name: one.name, mimeType: "image/jpeg", blob: blobs[i] }));
  }

  clear() {
    for (const one of [...this.all]) this.drop(one);
  }
}

/** @param {Blob} file @returns {Promise<Uint8Array>} */
async function small(file) {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, SIDE / Math.max(picture.width, picture.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  picture.close();
  const made = await new Promise((over) => canvas.toBlob(over, "image/jpeg", 0.85));
  return new Uint8Array(await made.arrayBuffer());
}
