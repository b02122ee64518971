// Where the person was: in the address of this tab, and per video in the project's settings for the next day.

import { byId } from "./dom.js";

export class Place {
  constructor(app) {
    this.app = app;
    const { store } = app;
    store.on("frame video selection", () => this.remember());
  }

  /** Open what the address names, or what was open last. */
  restore() {
    const { store } = this.app;
    const address = new URLSearchParams(location.hash.slice(1));
    const page = store.settings.page ?? {};
    if (page.timeline) this.setTimelineHeight(page.timeline, false);
    const video = Number(address.get("video")) || page.video || store.videos[0]?.id;
    const frame = address.has("frame") ? Number(address.get("frame")) || 0 : null;
    if (!video) {
      store.emit("video");
      return;
    }
    const object = Number(address.get("object"));
    this.app.openVideo(video, frame);
    if (store.find(object)) store.select(object);
  }

  frameOf(video) {
    return this.app.store.settings.page?.frames?.[video] ?? 0;
  }

  remember() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.write(), 250);
  }

  write() {
    const { store, gestures } = this.app;
    if (!store.video) return;
    const object = store.selected === null ? "" : `&object=${store.selected}`;
    history.replaceState(null, "", `#video=${store.video.id}&frame=${store.frame}${object}`);
    clearTimeout(this.slow);
    this.slow = setTimeout(() => {
      const frames = { ...store.settings.page?.frames, [store.video.id]: store.frame };
      gestures.act("settings.set", { settings: { page: { ...store.settings.page, video: store.video.id, frames } } }, { quiet: true });
    }, 3000);
  }

  setTimelineHeight(pixels, keep = true) {
    const height = Math.max(60, Math.min(innerHeight * 0.6, pixels));
    byId("timeline").style.height = `${height}px`;
    if (keep) {
      const { store } = this.app;
      store.settings.page = { ...store.settings.page, timeline: Math.round(height) };
      this.remember();
    }
  }
}
