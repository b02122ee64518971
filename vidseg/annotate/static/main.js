// Wires the parts together: the store in the middle, the connection on one side, the views on the other.

import { Annotation } from "./annotation.js";
import { buildBars } from "./bars.js";
import { commands } from "./commands.js";
import { byId, el, fill } from "./dom.js";
import { Frames } from "./frames.js";
import { Gestures } from "./gestures.js";
import { Hover } from "./hover.js";
import { Keys } from "./keys.js";
import { Lanes } from "./lanes.js";
import { notice } from "./notices.js";
import { Objects } from "./objects.js";
import { Place } from "./place.js";
import { Player } from "./player.js";
import { Learning } from "./learning.js";
import { Propagation, Review } from "./panels.js";
import { Proposals } from "./proposals.js";
import { Readout } from "./readout.js";
import { getJson, Socket } from "./socket.js";
import { Stage } from "./stage.js";
import { Store } from "./store.js";
import { Timeline } from "./timeline.js";
import { Tools } from "./tools.js";

class App {
  constructor() {
    const store = new Store();
    const complain = (error) => error.code !== "disconnected" && error.name !== "TypeError" && notice(error.message, "error");
    this.store = store;
    this.frames = new Frames({ onready: (frame) => frame === store.frame && this.stage.redraw(), onfailed: (frame, message) => frame === store.frame && this.broken(message) });
    this.annotation = new Annotation({ onchange: (event) => this.annotationChanged(event), onerror: complain });
    this.lanes = new Lanes({ onchange: (share) => this.lanesChanged(share), onerror: complain });
    this.player = new Player(store, this.frames, this.annotation);
    this.stage = new Stage(store, this.frames, this.annotation, { box: byId("stage"), picture: byId("picture"), masks: byId("masks"), overlay: byId("overlay") });
    this.gestures = new Gestures(store, { ask: (...args) => this.socket.ask(...args) });
    this.hover = new Hover(store, this.stage, this.gestures);
    this.proposals = new Proposals(store, this.stage, this.gestures, byId("proposals"));
    this.tools = new Tools(store, this.stage, this.gestures, this.hover, this.proposals);
    this.timeline = new Timeline(store, this.player, this.lanes, { box: byId("timeline"), lanesCanvas: byId("lanes"), headCanvas: byId("playhead") });
    this.objects = new Objects(store, this.gestures, this.annotation, byId("objects"));
    this.propagation = new Propagation(store, this.gestures, byId("propagate"));
    this.learning = new Learning(store, this.gestures, byId("learning"));
    this.review = new Review(store, this.gestures, this.player, (id, frame) => this.openVideo(id, frame), byId("review"));
    this.readout = new Readout(this);
    this.place = new Place(this);
    this.keys = new Keys(commands(this));
    buildBars(this);
    this.listen();
    this.socket = new Socket({ onevent: (event) => this.receive(event), onstate: (state, message) => this.connection(state, message) });
  }

  listen() {
    const { store, stage } = this;
    store.on("frame", () => {
      this.player.fetch();
      stage.redraw();
      byId("timeline").setAttribute("aria-valuenow", String(store.frame));
      byId("timeline").setAttribute("aria-valuetext", `frame ${store.frame}`);
    });
    store.on("selection objects settings shown masks-visible", () => stage.redraw("masks", "overlay"));
    store.on("settings", () => {
      this.applyBrightness(store.settings.brightness);
      if (this.radiusKept === store.settings.brush_radius) return; // news of something else; what is turned here is sent soon
      this.radiusKept = store.settings.brush_radius;
      this.tools.setRadius(this.radiusKept);
    });
    store.on("jobs", () => this.timeline.redraw("head"));
    store.on("job-end", (job) => {
      this.lanes.refreshSoon(50);
      if (job.state === "failed") notice(`Propagation stopped: ${job.message}`, "error");
    });
    store.on("notice", (text) => notice(text, "info"));
    store.on("model", () => {
      if (store.model.state === "ready") this.hover.prepareSoon();
      if (store.model.state === "failed") notice(store.model.message, "warning");
    });
    store.on("previous-mark", () => this.keys.table.get("PageUp").run());
    store.on("next-mark", () => this.keys.table.get("PageDown").run());
    store.on("mark", (edge) => this.keys.table.get(edge === "start" ? "I" : "O").run());
    document.addEventListener("click", giveFocusBack);
    document.addEventListener("change", giveFocusBack);
    grip(byId("grip"), this.place);
  }

  // The server

  receive(event) {
    const { store } = this;
    if (this.held && event.event !== "hello") {
      this.held.push(event); // a snapshot is on its way; it may or may not know of this
      return;
    }
    if (event.event === "hello") {
      if (event.revision !== store.revision || !store.video) this.resync();
      else this.player.fetch();
      return;
    }
    if (event.event === "resync") return void this.resync();
    if (event.event === "notice") notice(event.message, event.level);
    if (event.event === "closing") notice(event.message, "warning");
    if (event.event === "export") store.emit("export", event);
    store.apply(event);
    this.annotation.apply(event);
    this.lanes.apply(event);
  }

  /** Fetch everything anew: at the start, and when events may have been missed. */
  async resync() {
    const { store } = this;
    const held = [];
    this.held = held;
    try {
      const snapshot = await getJson("/api/project");
      if (this.held !== held) return; // a newer one has been asked for
      this.held = null;
      store.load(snapshot);
    } catch (error) {
      if (this.held === held) this.held = null;
      notice(error.message, "error");
      return;
    }
    if (store.video) {
      this.annotation.open(store.video);
      this.frames.retry();
      this.lanes.open(store.video);
      this.player.fetch();
    } else this.place.restore();
    for (const event of held) if (!(event.revision < store.revision)) this.receive(event);
  }

  connection(state, message) {
    const banner = byId("banner");
    banner.hidden = state === "open";
    banner.textContent = message;
    document.body.classList.toggle("offline", state !== "open");
    if (state === "refused") banner.classList.add("bad");
  }

  // Videos

  async openVideo(id, frame = null) {
    const { store } = this;
    const video = store.videos.find((known) => known.id === id) ?? store.videos[0];
    if (!video || video === store.video) return;
    this.player.pause();
    Object.assign(store, { video, frame: 0, shown: -1, selected: null, range: null, candidates: null, worst: null });
    store.proposals.clear();
    store.frame = Math.max(0, Math.min(video.frames - 1, frame ?? this.place.frameOf(id)));
    this.frames.open(video);
    this.annotation.open(video);
    this.player.open([]);
    byId("timeline").setAttribute("aria-valuemax", String(video.frames - 1));
    for (const topic of ["video", "objects", "selection", "range", "frame", "review"]) store.emit(topic);
    this.stage.fit();
    this.lanes.open(video);
    const { seconds } = await getJson(`/api/videos/${video.id}/times`);
    if (store.video?.id !== video.id) return;
    this.player.open(seconds);
    store.emit("times"); // not "frame": it is the same one, and a gesture may be under way on it
    this.timeline.redraw();
  }

  broken(message) {
    this.stage.redraw();
    if (this.store.video.status === "ok") notice(`Frame ${this.store.frame}: ${message}`, "error");
  }

  annotationChanged(event = null) {
    if (event?.event === "masks" && !event.masks.some((mask) => mask.frame === this.store.shown)) return;
    this.stage.redraw("masks", "overlay");
    this.store.emit("masks");
  }

  lanesChanged(share) {
    if (share !== undefined && this.store.video) {
      this.store.video.share_reviewed = share;
      this.store.emit("review");
    }
    this.timeline.redrawSoon();
  }

  // What keys and buttons do that belongs to no single part

  undo = () => this.travel("undo");
  redo = () => this.travel("redo");

  async travel(way) {
    const done = await this.gestures.act(way);
    if (!done) return;
    notice(`${way === "undo" ? "Undone" : "Done again"}: ${done.label}`, "info");
    if (done.video !== null && done.video !== this.store.video?.id) this.openVideo(done.video, done.frame);
    else if (done.frame !== null) this.player.step(done.frame - this.store.frame);
  }

  cycle(count) {
    const { candidates, shown, selected } = this.store;
    if (candidates && candidates.frame === shown && candidates.object === selected) {
      const number = candidates.candidates.length;
      const index = (candidates.chosen + count + number) % number;
      this.gestures.onVideo("prompt.candidate", { object: selected, frame: shown, index });
    } else if (!this.proposals.cycle(count)) {
      notice("There are no candidates here: they come with the first click on a frame.", "info");
    }
  }

  dropPrompt() {
    const { selected, shown } = this.store;
    const prompts = selected === null ? [] : this.annotation.prompts(selected, shown);
    const last = prompts[prompts.length - 1];
    if (last) this.gestures.onVideo("prompt.remove", { prompt: last.id });
  }

  /** The frames between the prompts of the selected object around the playhead. */
  between() {
    const { store } = this;
    if (store.range) return store.range;
    const marks = this.lanes.marks(store.selected);
    const before = marks.filter((frame) => frame <= store.frame).pop() ?? 0;
    const after = marks.find((frame) => frame > store.frame) ?? store.video.frames - 1;
    return [before, after + 1];
  }

  automatic = async () => {
    const done = await this.gestures.onVideo("automatic.start", { frame: this.store.shown });
    if (done) notice(`${done.objects.length} objects found; they are being tracked.`, "info");
  };

  toggleMasks = () => {
    this.store.masksVisible = !this.store.masksVisible;
    this.store.emit("masks-visible");
  };

  applyBrightness(value) {
    byId("picture").style.filter = value === 1 ? "" : `brightness(${value})`;
  }

  setBrightness = (value) => {
    const brightness = Math.round(100 * Math.max(0.2, Math.min(5, value))) / 100;
    this.store.settings.brightness = brightness;
    this.applyBrightness(brightness);
    clearTimeout(this.brightnessTimer);
    this.brightnessTimer = setTimeout(() => this.gestures.act("settings.set", { settings: { brightness } }, { quiet: true }), 500);
  };
}

/** After a button or list was used with the mouse, keys go to the picture again: Space plays, it does not press twice. */
function giveFocusBack(event) {
  const used = event.type === "change" ? event.target.matches("select, input[type=range]") : event.detail > 0 && event.target.closest("button");
  if (!used || event.target.closest("dialog, .menu") || document.querySelector("dialog[open], .menu")) return;
  if (document.activeElement?.matches("input:not([type=range])")) return;
  byId("overlay").focus({ preventScroll: true });
}

/** The handle above the timeline: drag it, or use the arrow keys. */
function grip(handle, place) {
  let from = null;
  handle.addEventListener("pointerdown", (event) => {
    handle.setPointerCapture(event.pointerId);
    from = { y: event.clientY, height: byId("timeline").clientHeight };
  });
  handle.addEventListener("pointermove", (event) => from && place.setTimelineHeight(from.height + from.y - event.clientY));
  handle.addEventListener("pointerup", () => (from = null));
  handle.addEventListener("keydown", (event) => {
    const step = { ArrowUp: 24, ArrowDown: -24 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    place.setTimelineHeight(byId("timeline").clientHeight + step);
  });
}

window.addEventListener("unhandledrejection", (event) => notice(String(event.reason?.message ?? event.reason), "error"));
fill(byId("empty"), el("p", { text: "Loading …" }));
new App();
