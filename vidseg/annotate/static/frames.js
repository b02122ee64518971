// Pictures of frames, exactly by index: a cache around the playhead that fetches ahead in the direction of travel.

const MAX_BYTES = 320 << 20;
const AT_ONCE = 4;
const SMALL = 160_000; // pixels: pictures up to this size come without loss, as their pixels are looked at one by one

export class Frames {
  /** `onready(frame)` when a picture has arrived; `onfailed(frame, message)` when it cannot. */
  constructor({ onready, onfailed }) {
    this.onready = onready;
    this.onfailed = onfailed;
    this.kept = new Map(); // frame -> ImageBitmap
    this.loading = new Map(); // frame -> AbortController
    this.broken = new Map(); // frame -> message
    this.wanted = [];
    this.video = null;
  }

  /** Show another video. */
  open(video) {
    this.forget();
    this.video = video;
    this.query = `${video.size[0] * video.size[1] <= SMALL ? "format=png" : "format=jpeg&quality=95"}&v=${encodeURIComponent(video.fingerprint)}`;
    const bytes = video.size[0] * video.size[1] * 4;
    this.capacity = Math.max(6, Math.min(200, Math.floor(MAX_BYTES / bytes)));
  }

  forget() {
    for (const control of this.loading.values()) control.abort();
    for (const bitmap of this.kept.values()) bitmap.close();
    this.kept.clear();
    this.loading.clear();
    this.broken.clear();
    this.wanted = [];
  }

  get(frame) {
    return this.kept.get(frame);
  }

  /** Fetch a frame first and then its surroundings; more of them in the direction of travel. */
  want(frame, { direction = 1, playing = false } = {}) {
    const ahead = Math.min(playing ? 48 : 12, Math.floor(this.capacity * 0.6));
    const behind = playing ? 2 : Math.min(6, Math.floor(this.capacity * 0.25));
    const list = [frame];
    for (let n = 1; n <= ahead; n++) {
      list.push(frame + n * direction);
      if (n <= behind) list.push(frame - n * direction);
    }
    this.centre = frame;
    this.wanted = list.filter((n) => n >= 0 && n < this.video.frames);
    const wanted = new Set(this.wanted);
    for (const [other, control] of this.loading) {
      if (!wanted.has(other)) control.abort();
    }
    this.pump();
  }

  pump() {
    for (const frame of this.wanted) {
      if (this.loading.size >= AT_ONCE) return;
      if (!this.kept.has(frame) && !this.loading.has(frame) && !this.broken.has(frame)) this.load(frame);
    }
  }

  async load(frame) {
    const control = new AbortController();
    const video = this.video;
    this.loading.set(frame, control);
    try {
      const path = `/api/videos/${video.id}/frames/${frame}?${this.query}`;
      const response = await fetch(path, { signal: control.signal });
      if (!response.ok) {
        const body = await response.json().catch(() => null);
        throw new Error(body?.error?.message ?? `the server answered ${response.status}`);
      }
      const bitmap = await createImageBitmap(await response.blob());
      if (this.loading.get(frame) !== control) {
        bitmap.close();
        return;
      }
      this.kept.set(frame, bitmap);
      this.trim();
      this.onready(frame);
    } catch (error) {
      if (error.name !== "AbortError" && this.loading.get(frame) === control) {
        this.broken.set(frame, error.message);
        this.onfailed(frame, error.message);
      }
    } finally {
      if (this.loading.get(frame) === control) this.loading.delete(frame);
      if (this.video === video) this.pump();
    }
  }

  /** Try again what failed, after the connection came back. */
  retry() {
    this.broken.clear();
    this.pump();
  }

  trim() {
    while (this.kept.size > this.capacity) {
      let farthest = this.centre;
      for (const frame of this.kept.keys()) {
        if (Math.abs(frame - this.centre) > Math.abs(farthest - this.centre)) farthest = frame;
      }
      this.kept.get(farthest).close();
      this.kept.delete(farthest);
    }
  }
}
