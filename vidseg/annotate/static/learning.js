// The panel that lets the model learn from the masks a person stands for, and says how far it is.

import { button, el, fill } from "./dom.js";

export class Learning {
  constructor(store, gestures, box) {
    Object.assign(this, { store, gestures, box });
    this.learned = el("span", { class: "count", id: "learned" });
    this.begin = button({ icon: "learn", label: "Learn", hint: "Learn from the masks you prompted, drew or accepted: a minute or two", key: "Shift+L", class: "grow", id: "learn", onclick: () => this.start() });
    this.drop = button({ icon: "cross", hint: "Forget what was learned", id: "forget", onclick: () => this.forget() });
    this.bar = el("progress", { "aria-label": "Learning", id: "learning-bar" });
    this.count = el("span", { class: "grow" });
    const stop = button({ icon: "stop", hint: "Stop learning; what was learned before stays", id: "learn-stop", onclick: () => this.stop() });
    this.job = el("div", { class: "job", id: "learning-job" }, el("div", { class: "row" }, el("span", { class: "grow", text: "learning" }), stop), this.bar, el("div", { class: "row faint small number" }, this.count));
    fill(box,
      el("h2", { id: "learning-title" }, el("span", { text: "Learn" }), el("span", { class: "spring" }), this.learned),
      el("div", { class: "row" }, this.begin, this.drop));
    store.on("model project", () => this.update());
    this.update();
  }

  start() {
    if (this.store.model.learning) return null;
    return this.gestures.act("model.learn", {});
  }

  stop() {
    return this.gestures.act("model.stop", {});
  }

  async forget() {
    const done = await this.gestures.act("model.forget", {});
    if (done) this.store.emit("notice", "The model is again as it was loaded.");
    return done;
  }

  update() {
    const { learned = 0, learning, state } = this.store.model;
    this.learned.textContent = learned ? `from ${learned} mask${learned === 1 ? "" : "s"}` : "";
    this.begin.disabled = Boolean(learning) || state === "failed";
    this.drop.disabled = Boolean(learning) || !learned;
    if (!learning) {
      this.job.remove();
      return;
    }
    if (!this.job.isConnected) this.box.append(this.job);
    this.bar.max = learning.steps;
    this.bar.value = learning.done;
    this.count.textContent = learning.done ? `${learning.done} of ${learning.steps} steps` : "reading the frames";
  }
}
