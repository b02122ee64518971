// What a click here would give, while the pointer rests: only where the model is fast enough, one question at a time.

const TOO_SLOW = 450; // milliseconds: slower previews are in the way
const REST = 60;

export class Hover {
  constructor(store, stage, gestures) {
    Object.assign(this, { store, stage, gestures });
    this.mask = null; // {rle} of the preview
    this.prepared = -1;
    this.slow = 0;
    this.asking = false;
    this.next = null;
    stage.painters.unshift((context) => this.paint(context));
    store.on("shown", () => this.prepareSoon());
    store.on("frame video selection", () => this.clear());
    store.on("settings", () => {
      if (!store.settings.hover) this.slow = 0; // switched off and on again, it is tried anew
    });
    store.on("job-end", () => this.prepareSoon());
  }

  get enabled() {
    return this.store.settings.hover && this.slow < 3 && this.store.model.state === "ready";
  }

  /** Have the model look at the frame once the player rests on it, so that the first click is answered quickly. */
  prepareSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.prepare(), 220);
  }

  async prepare() {
    const { video, shown } = this.store;
    if (!video || video.status !== "ok" || this.store.model.state !== "ready" || this.store.job?.state === "running") return;
    const done = await this.gestures.onVideo("frame.prepare", { frame: shown }, { quiet: true });
    if (done && this.store.video === video && this.store.shown === shown) this.prepared = shown;
  }

  at(point, on) {
    this.next = { ...point, on };
    clearTimeout(this.rest);
    if (this.enabled && this.prepared === this.store.shown) this.rest = setTimeout(() => this.ask(), REST);
  }

  async ask() {
    if (this.asking || !this.next) return;
    const { x, y, on } = this.next;
    this.next = null;
    this.asking = true;
    const frame = this.store.shown;
    const fields = { frame, x, y, on };
    if (this.store.object && !this.store.object.locked) fields.object = this.store.selected;
    const version = this.version;
    const found = await this.gestures.onVideo("hover", fields, { quiet: true });
    this.asking = false;
    if (found) this.slow = found.milliseconds > TOO_SLOW ? this.slow + 1 : 0;
    if (found && this.version === version && frame === this.store.shown) {
      this.mask = { rle: found.rle };
      this.stage.redraw("overlay");
    }
    if (this.next) this.ask();
  }

  clear() {
    clearTimeout(this.rest);
    this.next = null;
    this.version = (this.version ?? 0) + 1;
    if (this.mask) this.stage.redraw("overlay");
    this.mask = null;
  }

  paint(context) {
    if (this.mask) {
      const colour = this.store.object?.colour ?? "#ffffff";
      this.stage.drawMask(context, this.mask, colour, { opacity: 0.22, width: 1.2, dash: [4, 3] });
    }
  }
}
