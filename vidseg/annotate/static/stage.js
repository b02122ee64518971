// The picture on the screen: zoom and pan, and three layers (picture, masks, marks) that are drawn only when they changed.

import { Pictures } from "./pictures.js";
import { inside } from "./rle.js";

const MAX_SCALE = 64;

export class Stage {
  constructor(store, frames, annotation, { box, picture, masks, overlay }) {
    Object.assign(this, { store, frames, annotation, box });
    this.layers = { picture, masks, overlay };
    this.pictures = new Pictures();
    this.scale = 1;
    this.left = 0;
    this.top = 0;
    this.fitted = true;
    this.painters = []; // what else draws on the overlay: (context, scale) in frame pixels
    this.dirty = new Set();
    new ResizeObserver(() => this.resize()).observe(box);
    this.resize();
  }

  /** Ask for layers to be drawn before the next picture on the screen. */
  redraw(...layers) {
    if (!this.dirty.size) requestAnimationFrame(() => this.draw());
    for (const layer of layers.length ? layers : ["picture", "masks", "overlay"]) this.dirty.add(layer);
  }

  resize() {
    const { width, height } = this.box.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    this.line = parseFloat(getComputedStyle(document.documentElement).fontSize) / 13; // lines grow with the window, too
    this.width = Math.max(1, width);
    this.height = Math.max(1, height);
    this.ratio = ratio;
    for (const canvas of Object.values(this.layers)) {
      canvas.width = Math.round(this.width * ratio);
      canvas.height = Math.round(this.height * ratio);
    }
    if (this.fitted) this.fit();
    this.redraw();
  }

  // Where things are

  fit() {
    this.fitted = true;
    if (!this.store.video) return;
    const [height, width] = this.store.video.size;
    const margin = Math.min(24, this.width * 0.02);
    this.scale = Math.min((this.width - 2 * margin) / width, (this.height - 2 * margin) / height);
    this.left = (this.width - width * this.scale) / 2;
    this.top = (this.height - height * this.scale) / 2;
    this.moved();
  }

  /** Zoom by a factor, keeping the point (x, y) of the stage where it is; by default its centre. */
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const scale = Math.max(0.05, Math.min(MAX_SCALE, this.scale * factor));
    this.left = x - ((x - this.left) * scale) / this.scale;
    this.top = y - ((y - this.top) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.moved();
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.fitted = false;
    this.moved();
  }

  moved() {
    const [height, width] = this.store.video?.size ?? [0, 0];
    const keep = 48; // never lose the picture out of sight
    this.left = Math.min(this.width - keep, Math.max(keep - width * this.scale, this.left));
    this.top = Math.min(this.height - keep, Math.max(keep - height * this.scale, this.top));
    Object.assign(this.layers.overlay.dataset, { scale: this.scale, left: this.left, top: this.top });
    this.redraw();
    this.store.emit("view");
  }

  /** From a pointer event to frame pixels; clamped to the picture unless told otherwise. */
  toFrame(event, { clamp = true } = {}) {
    const box = this.layers.overlay.getBoundingClientRect();
    const [height, width] = this.store.video.size;
    const x = (event.clientX - box.left - this.left) / this.scale;
    const y = (event.clientY - box.top - this.top) / this.scale;
    if (!clamp) return { x, y };
    return { x: Math.max(0, Math.min(width, x)), y: Math.max(0, Math.min(height, y)) };
  }

  isInside({ x, y }) {
    const [height, width] = this.store.video.size;
    return x >= 0 && y >= 0 && x < width && y < height;
  }

  /** The topmost visible object at a point of the shown frame, or null. */
  objectAt({ x, y }) {
    const masks = this.annotation.masks(this.store.shown);
    for (const object of [...this.store.objects].reverse()) {
      const mask = masks.get(object.id);
      if (mask && !object.hidden && inside(this.pictures.get(mask, object.colour).part, x, y)) return object.id;
    }
    return null;
  }

  // Drawing

  draw() {
    const dirty = this.dirty;
    this.dirty = new Set();
    const { store } = this;
    if (!store.video) {
      for (const canvas of Object.values(this.layers)) clear(canvas);
      return;
    }
    const known = this.frames.get(store.frame) || this.frames.broken.has(store.frame); // a lost picture is shown as none
    if (known && store.shown !== store.frame) {
      store.shown = store.frame;
      this.layers.overlay.dataset.frame = store.shown;
      dirty.add("picture").add("masks").add("overlay");
      store.emit("shown");
    }
    if (dirty.has("picture")) this.drawPicture();
    if (dirty.has("masks")) this.drawMasks();
    if (dirty.has("overlay")) this.drawOverlay();
  }

  begin(canvas) {
    const context = clear(canvas);
    const scale = this.scale * this.ratio;
    context.setTransform(scale, 0, 0, scale, this.left * this.ratio, this.top * this.ratio);
    return context;
  }

  drawPicture() {
    const context = this.begin(this.layers.picture);
    const bitmap = this.frames.get(this.store.shown);
    if (!bitmap) {
      context.fillStyle = "#1a1d23";
      context.fillRect(0, 0, this.store.video.size[1], this.store.video.size[0]);
      return;
    }
    context.imageSmoothingEnabled = this.scale * this.ratio < 3;
    context.imageSmoothingQuality = this.scale * this.ratio < 1 ? "medium" : "low";
    context.drawImage(bitmap, 0, 0, this.store.video.size[1], this.store.video.size[0]);
  }

  drawMasks() {
    const context = this.begin(this.layers.masks);
    const { store } = this;
    if (!store.masksVisible) return;
    const masks = this.annotation.masks(store.shown);
    const opacity = store.settings.opacity ?? 0.5;
    for (const object of store.objects) {
      const mask = masks.get(object.id);
      if (!mask || object.hidden) continue;
      const chosen = object.id === store.selected;
      this.drawMask(context, mask, object.colour, {
        opacity: mask.state === "rejected" ? opacity * 0.35 : opacity,
        width: chosen ? 2 : 1.1,
        dash: mask.state === "rejected" ? [3, 3] : mask.stale ? [6, 3] : null,
        halo: chosen,
      });
    }
  }

  /** Draw a mask ({rle}) in frame pixels; `width` and `dash` are in pixels of the screen. */
  drawMask(context, mask, colour, { opacity = 0.5, width = 1.5, dash = null, halo = false } = {}) {
    const { part, bitmap, outline } = this.pictures.get(mask, colour);
    if (!bitmap) return;
    context.globalAlpha = opacity;
    context.imageSmoothingEnabled = this.scale * this.ratio < 1;
    context.drawImage(bitmap, part.x, part.y);
    context.globalAlpha = 1;
    context.lineJoin = this.scale < 6 ? "bevel" : "miter";
    if (halo) {
      context.strokeStyle = "rgba(0, 0, 0, 0.55)";
      context.lineWidth = ((width + 2) * this.line) / this.scale;
      context.stroke(outline);
    }
    if (dash) context.setLineDash(dash.map((length) => (length * this.line) / this.scale));
    context.strokeStyle = halo ? lighter(colour) : colour;
    context.lineWidth = (width * this.line) / this.scale;
    context.stroke(outline);
    context.setLineDash([]);
  }

  drawOverlay() {
    const context = this.begin(this.layers.overlay);
    for (const paint of this.painters) {
      context.save();
      paint(context, this.scale / this.line);
      context.restore();
    }
  }
}

function clear(canvas) {
  const context = canvas.getContext("2d");
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  return context;
}

function lighter(colour) {
  const value = parseInt(colour.slice(1), 16);
  const mix = [16, 8, 0].map((shift) => Math.round(((value >> shift) & 255) * 0.55 + 255 * 0.45));
  return `rgb(${mix.join(",")})`;
}
