// Masks as things that a canvas can draw quickly: a tinted bitmap and an outline, made once for each mask.

import { crop } from "./rle.js";

const MAX_BYTES = 96 << 20;

export class Pictures {
  constructor() {
    this.kept = new Map(); // mask -> {part, bitmap, outline, colour}; oldest first
    this.bytes = 0;
  }

  /** Return {part, bitmap, outline} of a mask ({rle}) in a colour; `bitmap` is null where the mask is empty. */
  get(mask, colour) {
    let found = this.kept.get(mask);
    if (found) {
      this.kept.delete(mask);
      if (found.colour !== colour && found.bitmap) found.bitmap = tint(found.part, colour);
      found.colour = colour;
    } else {
      const part = crop(mask.rle);
      found = { part, colour, bitmap: part.width ? tint(part, colour) : null, outline: outline(part) };
      this.bytes += 5 * part.pixels.length;
    }
    this.kept.set(mask, found);
    this.trim();
    return found;
  }

  trim() {
    for (const [mask, found] of this.kept) {
      if (this.bytes <= MAX_BYTES || this.kept.size === 1) return;
      this.kept.delete(mask);
      this.bytes -= 5 * found.part.pixels.length;
    }
  }
}

function tint(part, colour) {
  const canvas = new OffscreenCanvas(part.width, part.height);
  const context = canvas.getContext("2d");
  const image = context.createImageData(part.width, part.height);
  const words = new Uint32Array(image.data.buffer);
  const [red, green, blue] = channels(colour);
  const word = (255 << 24) | (blue << 16) | (green << 8) | red;
  for (let n = 0; n < words.length; n++) if (part.pixels[n]) words[n] = word;
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Return the [red, green, blue] of "#rrggbb". */
export function channels(colour) {
  const value = parseInt(colour.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** The edges between inside and outside, along the pixels' sides, as a path in frame pixels. */
function outline({ x: left, y: top, width, height, pixels }) {
  const path = new Path2D();
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : pixels[y * width + x]);
  for (let y = 0; y <= height; y++) {
    for (let x = 0, start = -1; x <= width; x++) {
      const edge = x < width && at(x, y - 1) !== at(x, y);
      if (edge && start < 0) start = x;
      if (!edge && start >= 0) {
        path.moveTo(left + start, top + y);
        path.lineTo(left + x, top + y);
        start = -1;
      }
    }
  }
  for (let x = 0; x <= width; x++) {
    for (let y = 0, start = -1; y <= height; y++) {
      const edge = y < height && at(x - 1, y) !== at(x, y);
      if (edge && start < 0) start = y;
      if (!edge && start >= 0) {
        path.moveTo(left + x, top + start);
        path.lineTo(left + x, top + y);
        start = -1;
      }
    }
  }
  return path;
}
