// Masks as things that a canvas can draw quickly: a tinted bitmap and an outline, made once for each mask.

import { loops, pathOf } from "./outline.js";
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
      found = { part, colour, bitmap: part.width ? tint(part, colour) : null, outline: pathOf(loops(part)) };
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
