// The pointer on the picture: clicks, boxes, strokes, polygons, zoom and pan. One gesture is under way at a time.

import { drawBox, drawClick, drawPolygon, drawPrompts, drawRing, drawStroke } from "./marks.js";

const DRAG = 5; // pixels of the screen before a click becomes a box
const MAX_POINTS = 4900;

export class Tools {
  constructor(store, stage, gestures, hover, proposals) {
    Object.assign(this, { store, stage, gestures, hover, proposals });
    this.radius = 12;
    this.brushMode = "add";
    this.polygonMode = "add";
    this.pointer = null; // where the pointer is, in frame pixels
    this.drag = null; // {kind, ...} while a button is down
    this.polygon = []; // corners so far
    this.waiting = new Set(); // prompts that have been sent: {kind, frame, ...}
    this.space = false;
    stage.painters.push((context, scale) => this.paint(context, scale));
    const canvas = stage.layers.overlay;
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("pointerleave", () => this.leave());
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("dblclick", () => this.store.tool === "polygon" && this.closePolygon());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    store.on("tool frame video", () => this.cancel());
    store.on("tool", () => this.cursor());
    this.cursor();
  }

  cursor() {
    const cursors = { prompt: "crosshair", brush: "none", eraser: "none", polygon: "crosshair", pan: "grab" };
    this.stage.layers.overlay.style.cursor = cursors[this.store.tool];
  }

  /** Whether the picture of the current frame is there to be worked on. */
  get ready() {
    return this.store.video !== null && this.store.shown === this.store.frame;
  }

  down(event) {
    if (!this.store.video || this.drag) return;
    this.stage.layers.overlay.focus({ preventScroll: true });
    const point = this.stage.toFrame(event);
    const screen = { x: event.clientX, y: event.clientY };
    const tool = this.store.tool;
    this.stage.layers.overlay.setPointerCapture(event.pointerId);
    if (event.button === 1 || tool === "pan" || (event.button === 0 && event.shiftKey && tool === "prompt")) {
      event.preventDefault();
      this.drag = { kind: "pan", screen };
    } else if (!this.ready) {
      return;
    } else if (event.button === 0 && (event.ctrlKey || event.metaKey)) {
      this.store.select(this.stage.objectAt(point));
    } else if (tool === "prompt") {
      const on = event.button === 0 && !event.altKey;
      const insideFrame = this.stage.isInside(this.stage.toFrame(event, { clamp: false }));
      this.drag = { kind: "prompt", on, from: point, to: point, screen, far: false, insideFrame };
    } else if (tool === "brush" || tool === "eraser") {
      const mode = (tool === "eraser") !== (event.button === 2 || event.altKey) ? "erase" : this.brushMode;
      this.drag = { kind: "brush", frame: this.store.shown, mode, radius: this.radius, points: [[point.x, point.y]] };
    } else if (tool === "polygon") {
      if (event.button === 0) this.addCorner(point);
      else this.closePolygon();
    }
    this.stage.redraw("overlay");
  }

  move(event) {
    if (!this.store.video) return;
    this.pointer = this.stage.toFrame(event);
    const drag = this.drag;
    if (!drag) {
      if (this.store.tool === "prompt" && this.ready && this.stage.isInside(this.stage.toFrame(event, { clamp: false }))) {
        this.proposals.point(this.pointer);
        this.hover.at(this.pointer, !event.altKey);
      } else this.hover.clear();
    } else if (drag.kind === "pan") {
      this.stage.pan(event.clientX - drag.screen.x, event.clientY - drag.screen.y);
      drag.screen = { x: event.clientX, y: event.clientY };
    } else if (drag.kind === "prompt") {
      drag.to = this.pointer;
      drag.far ||= Math.hypot(event.clientX - drag.screen.x, event.clientY - drag.screen.y) > DRAG;
      if (drag.far) this.hover.clear();
    } else if (drag.kind === "brush") {
      for (const one of event.getCoalescedEvents?.() ?? [event]) this.addPoint(drag.points, this.stage.toFrame(one));
    }
    this.stage.redraw("overlay");
    this.store.emit("pointer", this.pointer);
  }

  addPoint(points, { x, y }) {
    const [lastX, lastY] = points[points.length - 1];
    const least = Math.max(0.4, this.radius / 12);
    if (points.length < MAX_POINTS && Math.hypot(x - lastX, y - lastY) >= least) {
      points.push([Math.round(x * 100) / 100, Math.round(y * 100) / 100]);
    }
  }

  up() {
    const drag = this.drag;
    this.drag = null;
    if (!drag) return;
    if (drag.kind === "prompt") this.endPrompt(drag);
    if (drag.kind === "brush") {
      const { frame, mode, radius, points } = drag;
      this.send("brush", { mode, radius, points }, { kind: "brush", frame, mode, radius, points });
    }
    this.stage.redraw("overlay");
  }

  endPrompt({ on, from, to, far, insideFrame }) {
    this.hover.clear();
    const frame = this.store.shown;
    if (far && on) {
      const box = [Math.min(from.x, to.x), Math.min(from.y, to.y), Math.max(from.x, to.x), Math.max(from.y, to.y)];
      if (box[2] - box[0] >= 1 && box[3] - box[1] >= 1) this.send("box", { box }, { kind: "box", frame, box });
      return;
    }
    if (!insideFrame) return;
    if (on && !this.store.object && this.proposals.acceptAt(from)) return;
    this.send("click", { x: from.x, y: from.y, on }, { kind: "click", frame, ...from, on });
  }

  async send(name, fields, shown) {
    this.waiting.add(shown);
    this.stage.redraw("overlay");
    await this.gestures.prompt(name, fields);
    this.waiting.delete(shown);
    this.stage.redraw("overlay");
  }

  addCorner({ x, y }) {
    const first = this.polygon[0];
    if (first && this.polygon.length > 2 && Math.hypot(x - first[0], y - first[1]) * this.stage.scale < 8) this.closePolygon();
    else if (this.polygon.length < 2000) this.polygon.push([x, y]);
  }

  /** Finish the polygon; a double click has left two corners in one place. */
  closePolygon() {
    const near = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) * this.stage.scale < 3;
    const points = this.polygon.filter((corner, n, all) => n === 0 || !near(corner, all[n - 1]));
    this.polygon = [];
    if (points.length > 2) {
      const mode = this.polygonMode;
      this.send("polygon", { mode, points }, { kind: "polygon", frame: this.store.shown, mode, points });
    }
    this.stage.redraw("overlay");
  }

  /** Take the last corner back; whether there was one. */
  dropCorner() {
    if (!this.polygon.length) return false;
    this.polygon.pop();
    this.stage.redraw("overlay");
    return true;
  }

  /** Give up what is under way; whether there was anything. */
  cancel() {
    const busy = this.drag !== null || this.polygon.length > 0;
    this.drag = null;
    this.polygon = [];
    this.hover.clear();
    this.stage.redraw("overlay");
    return busy;
  }

  leave() {
    this.pointer = null;
    this.hover.clear();
    this.stage.redraw("overlay");
    this.store.emit("pointer", null);
  }

  wheel(event) {
    event.preventDefault();
    if (!this.store.video) return;
    const box = this.stage.layers.overlay.getBoundingClientRect();
    if (event.shiftKey && !event.ctrlKey) {
      this.stage.pan(-event.deltaX - event.deltaY, 0);
      return;
    }
    const lines = event.deltaMode === 1 ? 16 : 1;
    this.stage.zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0015)), event.clientX - box.left, event.clientY - box.top);
  }

  setRadius(radius) {
    this.radius = Math.max(0.5, Math.min(500, radius));
    this.stage.redraw("overlay");
    this.store.emit("radius");
  }

  paint(context, scale) {
    const { store } = this;
    const colour = store.object?.colour ?? "#ffffff";
    if (store.masksVisible && store.selected !== null) {
      drawPrompts(context, scale, this.stage.annotation.prompts(store.selected, store.shown), colour);
    }
    for (const one of this.waiting) {
      if (one.frame !== store.shown) continue;
      if (one.kind === "click") drawClick(context, scale, one, { waiting: true });
      if (one.kind === "box") drawBox(context, scale, one.box, colour);
      if (one.kind === "brush") drawStroke(context, one, colour);
      if (one.kind === "polygon") drawPolygon(context, scale, one.points, null, one.mode);
    }
    const drag = this.drag;
    if (drag?.kind === "prompt" && drag.far && drag.on) {
      drawBox(context, scale, [drag.from.x, drag.from.y, drag.to.x, drag.to.y], colour);
    }
    if (drag?.kind === "brush") drawStroke(context, drag, colour);
    if (this.polygon.length) drawPolygon(context, scale, this.polygon, this.pointer, this.polygonMode);
    if (this.pointer && (store.tool === "brush" || store.tool === "eraser")) {
      drawRing(context, scale, this.pointer, this.radius, store.tool === "eraser" ? "erase" : this.brushMode);
    }
  }
}
