// What the timeline shows of each object, a few numbers for every frame; fetched once and kept up to date by events.

import { getJson } from "./socket.js";

export const UNREVIEWED = 0, ACCEPTED = 1, REJECTED = 2;
export const PROMPTED = 1, EDITED = 2, IMPORTED = 3;
const STATES = { unreviewed: UNREVIEWED, accepted: ACCEPTED, rejected: REJECTED };

/** One object: arrays over the frames. `confidence` and `suspicion` are 0..100, or -1 where nothing was computed. */
class Lane {
  constructor(frames) {
    this.visible = new Uint8Array(frames);
    this.state = new Uint8Array(frames);
    this.stale = new Uint8Array(frames);
    this.mark = new Uint8Array(frames);
    this.confidence = new Int8Array(frames).fill(-1);
    this.suspicion = new Int8Array(frames).fill(-1);
  }
}

export class Lanes {
  constructor({ onchange, onerror }) {
    this.onchange = onchange;
    this.onerror = onerror;
    this.lanes = new Map();
    this.video = null;
    this.late = null;
  }

  async open(video) {
    if (this.video !== video) this.lanes = new Map();
    this.video = video;
    await this.refresh();
  }

  /** Fetch everything anew. */
  async refresh() {
    const video = this.video;
    clearTimeout(this.timer);
    this.timer = null;
    const late = [];
    this.late = late;
    try {
      const found = await getJson(`/api/videos/${video.id}/timeline`);
      if (this.late !== late || this.video.id !== video.id) return;
      this.lanes = new Map(found.objects.map((one) => [one.object, read(one, video.frames)]));
      this.late = null;
      for (const event of late) if (event.revision > found.revision) this.apply(event);
      this.onchange(found.share_reviewed);
    } catch (error) {
      if (this.late === late) this.late = null;
      this.onerror(error);
    }
  }

  /** Fetch everything anew, but not more often than it can be looked at. */
  refreshSoon(milliseconds = 400) {
    if (!this.timer) this.timer = setTimeout(() => this.refresh(), milliseconds);
  }

  get(object) {
    if (!this.lanes.has(object) && this.video) this.lanes.set(object, new Lane(this.video.frames));
    return this.lanes.get(object);
  }

  /** Frames with prompts of an object (null: of any), ascending. */
  marks(object) {
    const found = new Set();
    for (const [id, lane] of this.lanes) {
      if (object !== null && id !== object) continue;
      lane.mark.forEach((mark, frame) => mark && found.add(frame));
    }
    return [...found].sort((a, b) => a - b);
  }

  apply(event) {
    if (!this.video || event.video !== this.video.id) return;
    if (this.late) this.late.push(event);
    if (event.event === "reload") this.refreshSoon(50);
    else if (CHANGES[event.event]) CHANGES[event.event](this, event);
    else return;
    if (event.event === "masks" && event.job === null) this.refreshSoon(800); // neighbours' suspicion changes, too
    this.onchange();
  }
}

const CHANGES = {
  masks: (lanes, event) => {
    for (const mask of event.masks) {
      const lane = lanes.get(mask.object);
      lane.visible[mask.frame] = mask.area > 0 ? 1 : 0;
      lane.state[mask.frame] = STATES[mask.state];
      lane.stale[mask.frame] = mask.stale ? 1 : 0;
      lane.confidence[mask.frame] = Math.round(100 * mask.confidence);
      if (mask.source === "prompted") lane.mark[mask.frame] = PROMPTED;
      if (mask.source === "edited") lane.mark[mask.frame] = EDITED;
      if (mask.source === "imported") lane.mark[mask.frame] = IMPORTED;
    }
  },
  masks_removed: (lanes, event) => {
    for (const object of event.objects) {
      const lane = lanes.get(object);
      for (const values of [lane.visible, lane.state, lane.stale]) values.fill(0, event.start, event.stop);
      lane.confidence.fill(-1, event.start, event.stop);
      lane.suspicion.fill(-1, event.start, event.stop);
    }
  },
  states: (lanes, event) => {
    for (const object of event.objects) lanes.get(object).state.fill(STATES[event.state], event.start, event.stop);
  },
  stale: (lanes, event) => {
    const lane = lanes.get(event.object);
    lane.stale.fill(0);
    for (const [start, stop] of event.stale) lane.stale.fill(1, start, stop);
  },
  prompts: (lanes, event) => {
    const lane = lanes.get(event.object);
    const drawn = event.prompts.some((prompt) => prompt.kind === "brush" || prompt.kind === "polygon");
    const imported = event.prompts.some((prompt) => prompt.origin === "imported");
    lane.mark[event.frame] = !event.prompts.length ? 0 : drawn ? EDITED : imported ? IMPORTED : PROMPTED;
  },
};

function read(one, frames) {
  const lane = new Lane(frames);
  const paint = (values, ranges, value) => ranges.forEach(([start, stop]) => values.fill(value, start, stop));
  paint(lane.visible, one.visible, 1);
  paint(lane.state, one.accepted, ACCEPTED);
  paint(lane.state, one.rejected, REJECTED);
  paint(lane.stale, one.stale, 1);
  for (const frame of one.prompted) lane.mark[frame] = PROMPTED;
  for (const frame of one.imported) lane.mark[frame] = IMPORTED;
  for (const frame of one.edited) lane.mark[frame] = EDITED;
  lane.confidence.set(one.confidence);
  lane.suspicion.set(one.suspicion);
  return lane;
}
