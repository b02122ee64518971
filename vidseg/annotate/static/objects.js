// The list of objects: names, classes, colours, and everything that can be done with a whole object.

import { button, byId, el, fill } from "./dom.js";
import { choose, confirm, menu } from "./dialog.js";

const PALETTE = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#0072b2", "#999999", "#ffffff", "#882255", "#44aa99", "#ddcc77"];

export class Objects {
  constructor(store, gestures, annotation, box) {
    Object.assign(this, { store, gestures, annotation, box, asked: new Map() }); // asked: states wanted and not answered yet
    this.list = el("ul", { class: "rows", id: "object-list", "aria-label": "Objects" });
    this.count = el("span", { class: "count" });
    this.classes = el("datalist", { id: "classes" });
    fill(box,
      el("h2", { id: "objects-title" }, el("span", { text: "Objects" }), this.count, el("span", { class: "spring" }),
        button({ icon: "plus", hint: "New object: the next click makes it", key: "N", id: "new-object", onclick: () => store.select(null) })),
      this.list, this.classes);
    store.on("objects selection project video", () => this.update());
    store.on("shown masks", () => this.updateStates());
  }

  update() {
    const { objects } = this.store;
    this.count.textContent = String(objects.length);
    const known = new Set(this.store.videos.flatMap((video) => video.objects.map((one) => one.class)).filter(Boolean));
    fill(this.classes, ...[...known].map((value) => el("option", { value })));
    if (this.list.querySelector("input")) return; // someone is typing a name
    fill(this.list, ...objects.map((object, n) => this.row(object, n)));
    if (!objects.length) this.list.append(el("li", { class: "hint", text: "Click an object in the picture, or drag a box around it." }));
    this.updateStates();
    this.list.querySelector(".current")?.scrollIntoView({ block: "nearest" });
  }

  row(object, n) {
    const current = object.id === this.store.selected;
    const swatch = el("button", { type: "button", class: "swatch", "aria-label": `Colour of ${object.name}`, title: "Colour", onclick: (event) => {
      event.stopPropagation();
      this.pickColour(object, swatch);
    } });
    swatch.style.background = object.colour;
    const row = el("li", {
      class: `object ${current ? "current" : ""} ${object.hidden ? "hidden" : ""}`, "aria-current": String(current),
      data: { object: String(object.id) }, onclick: () => this.store.select(object.id), ondblclick: () => this.rename(object),
    },
      el("kbd", { text: n < 9 ? String(n + 1) : "" }),
      swatch,
      el("span", { class: "grow names" }, el("span", { class: "name", text: object.name, title: object.name }), el("span", { class: "class", text: object.class })),
      el("span", { class: "state" }),
      button({ icon: object.hidden ? "eye-off" : "eye", hint: object.hidden ? `Show ${object.name}` : `Hide ${object.name}`, class: object.hidden ? "on" : "faint", onclick: (event) => this.click(event, () => this.toggle(object, "hidden")) }),
      button({ icon: object.locked ? "lock" : "unlock", hint: object.locked ? `Unlock ${object.name}` : `Lock ${object.name}`, class: object.locked ? "on" : "faint", onclick: (event) => this.click(event, () => this.toggle(object, "locked")) }),
      button({ icon: "more", hint: `More for ${object.name}`, class: "faint", onclick: (event) => this.click(event, () => this.more(object, event.currentTarget)) }));
    return row;
  }

  click(event, run) {
    event.stopPropagation();
    run();
  }

  /** What there is of each object on the frame that is shown. */
  updateStates() {
    const masks = this.annotation.masks(this.store.shown);
    for (const row of this.list.querySelectorAll(".object")) {
      const mask = masks.get(Number(row.dataset.object));
      const [text, title] = describe(mask);
      const state = row.querySelector(".state");
      state.textContent = text;
      state.title = title;
      state.className = `state ${mask?.state ?? ""} ${mask?.stale ? "stale" : ""}`;
    }
  }

  /** Hide or show, lock or unlock; a second press before the first was answered takes it back. */
  async toggle(object, what) {
    const key = `${object.id} ${what}`;
    const wanted = !(this.asked.get(key) ?? object[what]);
    this.asked.set(key, wanted);
    await this.set(object, { [what]: wanted });
    if (this.asked.get(key) === wanted) this.asked.delete(key);
  }

  set(object, fields) {
    return this.gestures.onVideo("object.update", { object: object.id, ...fields });
  }

  /** Type a name and a class in place. */
  rename(object) {
    const row = this.list.querySelector(`[data-object="${object.id}"] .names`);
    if (!row || row.querySelector("input")) return;
    const name = el("input", { value: object.name, maxlength: "100", "aria-label": "Name", class: "name-input" });
    const kind = el("input", { value: object.class, maxlength: "100", "aria-label": "Class", placeholder: "class", list: "classes", class: "class-input" });
    let open = true;
    const close = (save) => {
      if (!open) return;
      open = false;
      const fields = {};
      if (name.value.trim() && name.value.trim() !== object.name) fields.name = name.value.trim();
      if (kind.value.trim() !== object.class) fields.class = kind.value.trim();
      fill(row);
      this.update();
      if (save && Object.keys(fields).length) this.set(object, fields);
      byId("overlay").focus({ preventScroll: true });
    };
    for (const input of [name, kind]) {
      input.addEventListener("click", (event) => event.stopPropagation());
      input.addEventListener("keydown", (event) => {
        event.stopPropagation();
        if (event.key === "Enter") close(true);
        if (event.key === "Escape") close(false);
      });
      input.addEventListener("focusout", (event) => row.contains(event.relatedTarget) || close(true));
    }
    fill(row, name, kind);
    name.select();
    name.focus();
  }

  pickColour(object, anchor) {
    const own = el("input", { type: "color", value: object.colour, "aria-label": "Another colour" });
    const swatches = PALETTE.map((colour) => {
      const one = el("button", { type: "button", class: "swatch large", "aria-label": colour, onclick: () => done(colour) });
      one.style.background = colour;
      return one;
    });
    const node = el("div", { class: "menu palette", role: "dialog", "aria-label": `Colour of ${object.name}` }, ...swatches, own);
    const done = (colour) => {
      node.remove();
      document.removeEventListener("pointerdown", away, true);
      if (colour && colour !== object.colour) this.set(object, { colour });
    };
    const away = (event) => node.contains(event.target) || done(null);
    own.addEventListener("change", () => done(own.value));
    node.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") done(null);
    });
    document.querySelector(".menu")?.remove();
    document.body.append(node);
    const box = anchor.getBoundingClientRect();
    node.style.left = `${Math.min(box.left, innerWidth - node.offsetWidth - 8)}px`;
    node.style.top = `${box.bottom + 4}px`;
    document.addEventListener("pointerdown", away, true);
    swatches[0].focus();
  }

  more(object, anchor) {
    const { store } = this;
    const others = store.objects.length > 1;
    menu(anchor, [
      { label: "Rename, set class", key: "F2", run: () => this.rename(object) },
      { label: "Move up", key: "Alt+↑", run: () => this.move(object, -1) },
      { label: "Move down", key: "Alt+↓", run: () => this.move(object, 1) },
      null,
      { label: "Merge another into it …", key: "M", disabled: !others || object.locked, run: () => this.merge(object) },
      { label: `Split at frame ${store.frame}`, key: "K", disabled: object.locked, run: () => this.split(object) },
      { label: `Swap with another ${store.range ? "in the range" : "from here on"} …`, key: "S", disabled: !others || object.locked, run: () => this.swap(object) },
      null,
      { label: "Clear prompts of this frame", key: "Shift+Backspace", disabled: object.locked, run: () => this.clear(object, [store.frame, store.frame + 1]) },
      { label: store.range ? "Clear prompts and masks in the range" : "Clear prompts and masks everywhere", disabled: object.locked, run: () => this.clear(object, store.range ?? [0, store.video.frames], true) },
      { label: "Delete object", key: "Delete", danger: true, disabled: object.locked, run: () => this.remove(object) },
    ]);
  }

  move(object, by) {
    const position = this.store.objects.indexOf(object) + by;
    if (position >= 0 && position < this.store.objects.length) this.set(object, { position });
  }

  others(object) {
    return this.store.objects.filter((one) => one !== object).map((one) => ({ value: one.id, label: one.class ? `${one.name} · ${one.class}` : one.name }));
  }

  async merge(object) {
    const from = await choose({ title: `Merge into ${object.name}`, text: "The masks are united frame by frame; the other object is gone.", values: this.others(object), yes: "Merge" });
    if (from !== null) this.gestures.onVideo("object.merge", { into: object.id, from });
  }

  async split(object) {
    const made = await this.gestures.onVideo("object.split", { object: object.id, frame: this.store.frame });
    if (made) this.store.select(made.object.id);
  }

  async swap(object) {
    const [start, stop] = this.store.range ?? [this.store.frame, this.store.video.frames];
    const text = `From frame ${start} to ${stop - 1} the two exchange their masks and prompts.`;
    const b = await choose({ title: `Swap ${object.name} with`, text, values: this.others(object), yes: "Swap" });
    if (b !== null) this.gestures.onVideo("object.swap", { a: object.id, b, start, stop });
  }

  clear(object, [start, stop], masks = false) {
    return this.gestures.onVideo("prompt.clear", { object: object.id, start, stop, masks });
  }

  async remove(object) {
    const text = "Its prompts and masks on all frames go with it. Undo brings them back.";
    if (await confirm({ title: `Delete ${object.name}?`, text, yes: "Delete" })) {
      this.gestures.onVideo("object.delete", { object: object.id });
    }
  }
}

function describe(mask) {
  if (!mask) return ["–", "not computed on this frame"];
  const percent = Math.round(100 * mask.confidence);
  const sign = { accepted: "✓", rejected: "✗", unreviewed: "" }[mask.state];
  const what = mask.area ? `${percent} %` : "absent";
  const parts = [mask.source, mask.state, `confidence ${percent} %`];
  if (mask.stale) parts.push("out of date: a prompt that it depends on has changed");
  return [`${sign} ${what}`.trim(), parts.join(", ")];
}
