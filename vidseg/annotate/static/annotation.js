// Masks and prompts near the playhead: fetched in chunks, kept up to date by events, the farthest forgotten.

import { getJson } from "./socket.js";

const MAX_MASKS = 6000; // kept in memory, over all chunks

export class Annotation {
  /** `onchange()` when anything that may be on the screen has changed. */
  constructor({ onchange, onerror }) {
    this.onchange = onchange;
    this.onerror = onerror;
    this.video = null;
    this.forgetAll();
  }

  open(video) {
    this.video = video;
    this.size = 32;
    this.forgetAll();
  }

  forgetAll() {
    this.chunks = new Map(); // number -> {ready, masks: Map(frame -> Map(object -> MASK)), prompts: the same, late: [event]}
    this.centre = 0;
    this.frame = 0;
  }

  /** Masks on a frame, by object. Empty while they are being fetched. */
  masks(frame) {
    return this.chunkOf(frame)?.masks.get(frame) ?? new Map();
  }

  mask(object, frame) {
    return this.masks(frame).get(object) ?? null;
  }

  /** Prompts of an object on a frame. */
  prompts(object, frame) {
    return this.chunkOf(frame)?.prompts.get(frame)?.get(object) ?? [];
  }

  allPrompts(frame) {
    return this.chunkOf(frame)?.prompts.get(frame) ?? new Map();
  }

  isReady(frame) {
    return this.chunkOf(frame)?.ready ?? false;
  }

  chunkOf(frame) {
    return this.chunks.get(Math.floor(frame / this.size));
  }

  /** See to it that a frame and its surroundings are there. */
  want(frame, direction = 1) {
    this.frame = frame;
    this.centre = Math.floor(frame / this.size);
    const near = Math.floor((frame + direction * this.size * 0.75) / this.size);
    for (const number of new Set([this.centre, near])) {
      if (number >= 0 && number * this.size < this.video.frames && !this.chunks.has(number)) this.fetch(number);
    }
  }

  async fetch(number) {
    const chunk = { ready: false, masks: new Map(), prompts: new Map(), late: [] };
    this.chunks.set(number, chunk);
    const start = number * this.size;
    const stop = Math.min(this.video.frames, start + this.size);
    const size = this.size;
    try {
      const found = await getJson(`/api/videos/${this.video.id}/annotation?start=${start}&stop=${stop}`);
      if (this.chunks.get(number) !== chunk || this.size !== size) return;
      for (const mask of found.masks) at(chunk.masks, mask.frame).set(mask.object, mask);
      for (const prompt of found.prompts) listAt(chunk.prompts, prompt.frame, prompt.object).push(prompt);
      chunk.ready = true;
      for (const event of chunk.late) if (event.revision > found.revision) this.applyTo(chunk, number, event);
      chunk.late = [];
      this.trim();
      this.onchange();
    } catch (error) {
      if (this.chunks.get(number) === chunk) this.chunks.delete(number);
      if (error.code === "bad_request" && this.size > 1) {
        this.size = Math.max(1, this.size >> 2); // very many objects: fewer frames at a time
        this.forgetAll();
        this.want(start);
      } else this.onerror(error);
    }
  }

  trim() {
    let total = 0;
    for (const chunk of this.chunks.values()) for (const masks of chunk.masks.values()) total += masks.size;
    const far = [...this.chunks.keys()].sort((a, b) => Math.abs(b - this.centre) - Math.abs(a - this.centre));
    for (const number of far) {
      if (total <= MAX_MASKS || Math.abs(number - this.centre) < 2) return;
      for (const masks of this.chunks.get(number).masks.values()) total -= masks.size;
      this.chunks.delete(number);
    }
  }

  /** Apply an event. */
  apply(event) {
    if (!this.video || event.video !== this.video.id || !CHANGES[event.event]) return;
    if (event.event === "reload") {
      for (const number of [...this.chunks.keys()]) {
        if (number * this.size < event.stop && (number + 1) * this.size > event.start) this.chunks.delete(number);
      }
      this.want(this.frame);
    } else {
      for (const [number, chunk] of this.chunks) {
        if (chunk.ready) this.applyTo(chunk, number, event);
        else chunk.late.push(event);
      }
    }
    this.onchange(event);
  }

  applyTo(chunk, number, event) {
    const inside = (frame) => Math.floor(frame / this.size) === number;
    CHANGES[event.event](chunk, event, inside);
  }
}

const CHANGES = {
  reload: () => {},
  masks: (chunk, event, inside) => {
    for (const mask of event.masks) if (inside(mask.frame)) at(chunk.masks, mask.frame).set(mask.object, mask);
  },
  prompts: (chunk, event, inside) => {
    if (inside(event.frame)) at(chunk.prompts, event.frame).set(event.object, event.prompts);
  },
  masks_removed: (chunk, event) => {
    for (const [frame, masks] of chunk.masks) {
      if (frame >= event.start && frame < event.stop) for (const object of event.objects) masks.delete(object);
    }
  },
  states: (chunk, event) => {
    each(chunk, event, (mask) => (mask.state = event.state));
  },
  stale: (chunk, event) => {
    for (const [frame, masks] of chunk.masks) {
      const mask = masks.get(event.object);
      if (mask) mask.stale = event.stale.some(([start, stop]) => frame >= start && frame < stop);
    }
  },
};

function each(chunk, event, change) {
  for (const [frame, masks] of chunk.masks) {
    if (frame < event.start || frame >= event.stop) continue;
    for (const [object, mask] of masks) if (!event.objects || event.objects.includes(object)) change(mask);
  }
}

function at(map, key) {
  if (!map.has(key)) map.set(key, new Map());
  return map.get(key);
}

function listAt(map, frame, object) {
  const here = at(map, frame);
  if (!here.has(object)) here.set(object, []);
  return here.get(object);
}
