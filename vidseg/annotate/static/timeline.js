// The timeline: thumbnails, a ruler and one lane an object. Lanes are drawn when they change, the playhead on its own layer.

import { drawColumns } from "./lane_drawing.js";
import { Thumbnails } from "./thumbnails.js";

const CALM = 120; // milliseconds between two drawings of the lanes while masks stream in

const INK = { text: "#c8ccd4", faint: "#7d8594", line: "#2a2e37", row: "#191c22", chosen: "#222733" };

export class Timeline {
  constructor(store, player, lanes, { box, lanesCanvas, headCanvas }) {
    Object.assign(this, { store, player, lanes, box });
    this.canvas = lanesCanvas;
    this.head = headCanvas;
    this.from = 0; // first frame on the screen, a float
    this.perFrame = 1; // pixels a frame
    this.scroll = 0;
    this.thumbnails = new Thumbnails(() => this.redrawSoon());
    this.moved = -Infinity;
    this.dirty = { lanes: false, head: false };
    this.drag = null;
    new ResizeObserver(() => this.resize()).observe(box);
    box.addEventListener("pointerdown", (event) => this.down(event));
    box.addEventListener("pointermove", (event) => this.move(event));
    box.addEventListener("pointerup", () => this.up());
    box.addEventListener("pointercancel", () => this.up());
    box.addEventListener("pointerleave", () => this.setHover(null));
    box.addEventListener("contextmenu", (event) => event.preventDefault());
    box.addEventListener("dblclick", (event) => event.offsetX > this.gutter || this.fit());
    box.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    store.on("video", () => {
      this.thumbnails.open(store.video);
      this.fit();
    });
    store.on("objects", () => this.redraw());
    store.on("selection", () => this.showLane());
    store.on("frame", () => this.follow());
    store.on("range review", () => this.redraw("head"));
  }

  // Layout

  get unit() {
    return parseFloat(getComputedStyle(document.documentElement).fontSize);
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    this.ratio = ratio;
    this.width = Math.max(100, this.box.clientWidth);
    this.height = Math.max(20, this.box.clientHeight);
    for (const canvas of [this.canvas, this.head]) {
      canvas.width = Math.round(this.width * ratio);
      canvas.height = Math.round(this.height * ratio);
    }
    const unit = this.unit;
    this.gutter = Math.round(10 * unit);
    this.strip = this.height > 9 * unit ? Math.round(3.2 * unit) : 0;
    this.ruler = Math.round(1.5 * unit);
    this.lane = Math.round(1.9 * unit);
    this.top = this.strip + this.ruler;
    if (this.fitted !== false) this.fit();
    else this.redraw();
  }

  fit() {
    this.fitted = true;
    this.from = 0;
    this.perFrame = (this.width - this.gutter - 8) / Math.max(1, this.store.video?.frames ?? 1);
    this.redraw();
  }

  x(frame) {
    return this.gutter + (frame - this.from) * this.perFrame;
  }

  frameAt(x) {
    const frame = Math.floor(this.from + (x - this.gutter) / this.perFrame);
    return Math.max(0, Math.min(this.store.video.frames - 1, frame));
  }

  zoom(factor, x) {
    const frames = this.store.video.frames;
    const least = (this.width - this.gutter - 8) / frames;
    const at = this.from + (x - this.gutter) / this.perFrame;
    this.perFrame = Math.max(least, Math.min(40, this.perFrame * factor));
    this.fitted = this.perFrame === least;
    this.from = at - (x - this.gutter) / this.perFrame;
    this.keepInside();
  }

  keepInside() {
    const shown = (this.width - this.gutter - 8) / this.perFrame;
    this.from = Math.max(0, Math.min(this.store.video.frames - shown, this.from));
    const tall = this.store.objects.length * this.lane;
    this.scroll = Math.max(0, Math.min(tall - (this.height - this.top), this.scroll));
    this.moved = performance.now();
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.redraw(), 2 * CALM);
    this.redraw();
  }

  /** Keep the playhead in view. */
  follow() {
    const x = this.x(this.store.frame);
    if (x < this.gutter || x > this.width - 12) {
      const shown = (this.width - this.gutter) / this.perFrame;
      this.from = this.store.frame - shown * (x < this.gutter ? 0.8 : 0.2);
      this.keepInside();
    } else this.redraw("head");
  }

  /** Keep the selected lane in view. */
  showLane() {
    const at = this.store.objects.indexOf(this.store.object) * this.lane;
    const room = this.height - this.top;
    if (at >= 0 && at < this.scroll) this.scroll = at;
    if (at >= 0 && at + this.lane > this.scroll + room) this.scroll = at + this.lane - room;
    this.redraw();
  }

  // Pointer

  down(event) {
    if (!this.store.video) return;
    this.box.focus({ preventScroll: true });
    this.box.setPointerCapture(event.pointerId);
    const row = Math.floor((event.offsetY - this.top + this.scroll) / this.lane);
    const object = event.offsetY >= this.top ? this.store.objects[row] : null;
    if (object) this.store.select(object.id);
    if (event.offsetX < this.gutter) return;
    const frame = this.frameAt(event.offsetX);
    if (event.button === 1) this.drag = { kind: "pan", x: event.clientX, from: this.from };
    else if (event.shiftKey || event.button === 2) this.drag = { kind: "range", frame };
    else {
      this.drag = { kind: "scrub" };
      this.player.pause();
      this.player.go(frame);
    }
    event.preventDefault();
  }

  move(event) {
    if (!this.store.video) return;
    const frame = this.frameAt(event.offsetX);
    this.setHover(event.offsetX >= this.gutter ? frame : null);
    if (this.drag?.kind === "scrub") this.player.go(frame);
    if (this.drag?.kind === "range") {
      this.store.setRange([Math.min(frame, this.drag.frame), Math.max(frame, this.drag.frame) + 1]);
    }
    if (this.drag?.kind === "pan") {
      this.from = this.drag.from - (event.clientX - this.drag.x) / this.perFrame;
      this.keepInside();
    }
  }

  up() {
    this.drag = null;
  }

  setHover(frame) {
    if (this.hover !== frame) this.redraw("head");
    this.hover = frame;
  }

  wheel(event) {
    event.preventDefault();
    if (!this.store.video) return;
    const step = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      this.from += (event.shiftKey ? step : event.deltaX) / this.perFrame;
      this.keepInside();
    } else if (event.offsetX < this.gutter) {
      this.scroll += step;
      this.keepInside();
    } else this.zoom(Math.exp(-step * 0.002), event.offsetX);
  }

  // Drawing

  /** Draw the lanes within a moment; for changes that come in streams. */
  redrawSoon() {
    this.soon ??= setTimeout(() => {
      this.soon = null;
      this.redraw();
    }, CALM);
  }

  redraw(what = "both") {
    if (!this.dirty.lanes && !this.dirty.head) requestAnimationFrame(() => this.draw());
    if (what === "both") this.dirty.lanes = true;
    this.dirty.head = true;
  }

  draw() {
    const { dirty } = this;
    this.dirty = { lanes: false, head: false };
    if (dirty.lanes) this.drawLanes();
    if (dirty.head) this.drawHead();
  }

  begin(canvas) {
    const context = canvas.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    context.font = `${0.82 * this.unit}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    return context;
  }

  drawLanes() {
    const context = this.begin(this.canvas);
    if (!this.store.video) return;
    if (this.strip) this.thumbnails.draw(context, this);
    this.drawRuler(context);
    context.save();
    context.beginPath();
    context.rect(0, this.top, this.width, this.height - this.top);
    context.clip();
    this.store.objects.forEach((object, n) => {
      const y = this.top + n * this.lane - this.scroll;
      if (y + this.lane >= this.top && y <= this.height) this.drawLane(context, object, y);
    });
    context.restore();
  }

  drawRuler(context) {
    const y = this.strip;
    const frames = this.store.video.frames;
    const step = niceStep((5 * this.unit) / this.perFrame);
    const first = Math.ceil(this.from / step) * step;
    context.fillStyle = INK.faint;
    context.strokeStyle = INK.line;
    context.lineWidth = 1;
    for (let frame = first; frame < frames && this.x(frame) < this.width - 10; frame += step) {
      const x = Math.round(this.x(frame)) + 0.5;
      context.beginPath();
      context.moveTo(x, y + this.ruler * 0.6);
      context.lineTo(x, this.height);
      context.stroke();
      context.fillText(String(frame), x + 3, y + this.ruler / 2);
    }
  }

  drawLane(context, object, y) {
    const lane = this.lanes.get(object.id);
    const chosen = object.id === this.store.selected;
    const tall = this.lane - 3;
    context.fillStyle = chosen ? INK.chosen : INK.row;
    context.fillRect(0, y, this.width, this.lane - 1);
    context.fillStyle = object.colour;
    context.fillRect(0, y, 3, this.lane - 1);
    context.fillStyle = chosen ? "#ffffff" : object.hidden ? INK.faint : INK.text;
    context.fillText(shorten(context, object.name, this.gutter - 18), 10, y + this.lane / 2);
    if (!lane) return;
    context.save();
    context.beginPath();
    context.rect(this.gutter - 6, y, this.width, this.lane);
    context.clip();
    drawColumns(context, lane, object.colour, this, y + 1, tall);
    context.restore();
  }

  drawHead() {
    const context = this.begin(this.head);
    const { store } = this;
    if (!store.video) return;
    context.save();
    context.beginPath();
    context.rect(this.gutter - 1, 0, this.width, this.height);
    context.clip();
    if (store.range) {
      const [left, right] = store.range.map((frame) => this.x(frame));
      context.fillStyle = "rgba(86, 180, 233, 0.16)";
      context.fillRect(left, this.strip, right - left, this.height);
      context.fillStyle = "#56b4e9";
      context.fillRect(left, this.strip, Math.max(2, right - left), 3);
      context.fillRect(left, this.strip, 1, this.height);
      context.fillRect(right - 1, this.strip, 1, this.height);
    }
    if (store.worst) drawWorst(context, this.x(store.worst.frame) + this.perFrame / 2, this.strip + this.ruler * 0.5, this.unit);
    if (store.job) {
      context.fillStyle = "#f0e442";
      context.fillRect(this.x(store.job.frame + 0.5) - 1, this.strip + this.ruler * 0.6, 2, this.height);
    }
    if (this.hover !== null && this.hover !== undefined) {
      context.fillStyle = "rgba(255, 255, 255, 0.25)";
      context.fillRect(this.x(this.hover), this.strip, Math.max(1, this.perFrame), this.height);
      this.label(context, this.hover, "#2a2e37", INK.text);
    }
    const x = this.x(store.frame);
    context.fillStyle = "rgba(255, 255, 255, 0.14)";
    context.fillRect(x, this.strip, Math.max(1, this.perFrame), this.height);
    context.fillStyle = "#ffffff";
    context.fillRect(x + Math.max(0, this.perFrame / 2 - 1), 0, 2, this.height);
    this.label(context, store.frame, "#ffffff", "#111318");
    context.restore();
  }

  label(context, frame, back, ink) {
    const text = String(frame);
    const wide = context.measureText(text).width + 10;
    const x = Math.max(this.gutter, Math.min(this.width - wide, this.x(frame) + this.perFrame / 2 - wide / 2));
    context.fillStyle = back;
    context.beginPath();
    context.roundRect(x, this.strip + 1, wide, this.ruler - 3, 3);
    context.fill();
    context.fillStyle = ink;
    context.fillText(text, x + 5, this.strip + this.ruler / 2);
  }
}

function drawWorst(context, x, y, unit) {
  context.fillStyle = "#ff8f5a";
  context.beginPath();
  context.moveTo(x - unit * 0.4, y - unit * 0.5);
  context.lineTo(x + unit * 0.4, y - unit * 0.5);
  context.lineTo(x, y + unit * 0.4);
  context.fill();
}

function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, least)));
  return Math.max(1, [1, 2, 5, 10].find((n) => n * power >= least) * power);
}

function shorten(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let end = text.length;
  while (end > 1 && context.measureText(`${text.slice(0, end)}…`).width > room) end--;
  return `${text.slice(0, end)}…`;
}
