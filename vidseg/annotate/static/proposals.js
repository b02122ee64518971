// The second stage: objects that the tool proposes on a frame, taken or dismissed one by one or all at once.

import { button, el, fill } from "./dom.js";
import { inside } from "./rle.js";

const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#0072b2", "#999999"];

export class Proposals {
  constructor(store, stage, gestures, box) {
    Object.assign(this, { store, stage, gestures, box });
    this.current = 0;
    this.making = false;
    stage.painters.unshift((context) => this.paint(context));
    store.on("proposals shown video", () => this.update());
  }

  get list() {
    return this.store.proposals.get(this.store.shown) ?? [];
  }

  async make() {
    if (this.making || !this.store.video) return;
    this.making = true;
    this.current = 0; // now, not with the answer: what was chosen while they came in stays chosen
    this.store.emit("pending");
    const frame = this.store.shown;
    const found = await this.gestures.onVideo("proposals.make", { frame });
    this.making = false;
    if (found && !found.proposals.length) this.store.emit("notice", "Nothing new was found on this frame.");
    this.store.emit("pending");
    this.update();
  }

  accept(keys) {
    return this.gestures.onVideo("proposals.accept", { frame: this.store.shown, keys });
  }

  dismiss(keys) {
    return this.gestures.onVideo("proposals.dismiss", { frame: this.store.shown, keys });
  }

  acceptCurrent() {
    const one = this.list[this.current];
    return one ? this.accept([one.key]) : null;
  }

  dismissCurrent() {
    const one = this.list[this.current];
    return one ? this.dismiss([one.key]) : null;
  }

  cycle(count) {
    const number = this.list.length;
    if (!number) return false;
    this.current = (this.current + count + number) % number;
    this.update();
    return true;
  }

  indexAt({ x, y }) {
    let best = -1;
    this.list.forEach((one, n) => {
      const part = this.stage.pictures.get(one, this.colour(n)).part;
      if (inside(part, x, y) && (best < 0 || one.area < this.list[best].area)) best = n;
    });
    return best;
  }

  /** The pointer is at a point: the proposal there becomes the current one. */
  point(point) {
    if (!this.list.length) return;
    const at = this.indexAt(point);
    if (at >= 0 && at !== this.current) {
      this.current = at;
      this.update();
    }
  }

  /** Accept the proposal at a point; whether there is one. */
  acceptAt(point) {
    const at = this.indexAt(point);
    if (at < 0) return false;
    this.accept([this.list[at].key]);
    return true;
  }

  colour(n) {
    return COLOURS[(n + this.store.objects.length) % COLOURS.length]; // the one that it will probably have
  }

  update() {
    const { list } = this;
    this.current = Math.max(0, Math.min(this.current, list.length - 1));
    this.box.hidden = !list.length;
    this.stage.redraw("overlay");
    if (!list.length) return;
    const rows = list.map((one, n) => {
      const row = el("li", { class: n === this.current ? "current" : "", onmouseenter: () => this.cycle(n - this.current) },
        el("span", { class: "swatch" }),
        el("span", { class: "grow", text: `Proposal ${n + 1}` }),
        el("span", { class: "number", text: `${Math.round(100 * one.iou)} %`, title: "how good the model thinks the mask is" }),
        button({ icon: "check", hint: `Accept proposal ${n + 1}`, onclick: () => this.accept([one.key]) }),
        button({ icon: "cross", hint: `Dismiss proposal ${n + 1}`, onclick: () => this.dismiss([one.key]) }));
      row.firstChild.style.background = this.colour(n);
      return row;
    });
    fill(this.box,
      el("h2", { id: "proposals-title" }, el("span", { text: "Proposals" }), el("span", { class: "count", text: String(list.length) })),
      el("ul", { class: "rows short" }, ...rows),
      el("div", { class: "row" },
        button({ label: "Accept all", key: "Shift+Y", onclick: () => this.accept("all") }),
        button({ label: "Dismiss all", onclick: () => this.dismiss("all") })));
  }

  paint(context) {
    this.list.forEach((one, n) => {
      const current = n === this.current;
      this.stage.drawMask(context, one, this.colour(n), { opacity: current ? 0.5 : 0.2, width: current ? 2.4 : 1.2, dash: current ? null : [5, 3] });
    });
  }
}
