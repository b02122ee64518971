// What this tab knows: the project as the server tells it, and what the person looks at. One place, told to all views.

const CALM = 200; // milliseconds

/** A value with topics: `on("frame selection", view)` is called after `emit("frame")`. */
export class Store {
  constructor() {
    this.listeners = new Map();
    this.soon = new Map(); // topic -> the timer of its next `emit`
    this.project = "";
    this.revision = -1;
    this.model = { name: "", state: "loading", message: "" };
    this.videos = [];
    this.settings = {};
    this.history = { undo: null, redo: null, undo_count: 0, redo_count: 0 };
    this.jobs = new Map();
    this.candidates = null; // {object, frame, candidates, chosen} of this video
    this.proposals = new Map(); // frame -> [PROPOSAL]
    this.worst = null;
    this.video = null;
    this.frame = 0;
    this.shown = -1; // the frame whose picture is on the screen; prompts go there
    this.selected = null; // id of an object
    this.tool = "prompt";
    this.range = null; // [start, stop) marked on the timeline
    this.masksVisible = true;
  }

  on(topics, listener) {
    for (const topic of topics.split(" ")) {
      if (!this.listeners.has(topic)) this.listeners.set(topic, []);
      this.listeners.get(topic).push(listener);
    }
  }

  off(topic, listener) {
    this.listeners.set(topic, this.listeners.get(topic).filter((one) => one !== listener));
  }

  emit(topic, detail) {
    for (const listener of this.listeners.get(topic) ?? []) listener(detail, topic);
  }

  /** `emit`, but not more often than can be read; for news that come in streams. */
  emitSoon(topic) {
    if (this.soon.has(topic)) return;
    this.soon.set(topic, setTimeout(() => {
      this.soon.delete(topic);
      this.emit(topic);
    }, CALM));
  }

  /** Take over the server's snapshot. */
  load(snapshot) {
    this.project = snapshot.project;
    this.revision = snapshot.revision;
    this.model = snapshot.model;
    this.videos = snapshot.videos;
    this.settings = snapshot.settings;
    this.history = snapshot.history;
    this.jobs = new Map(snapshot.jobs.map((job) => [job.id, job]));
    if (this.video) this.video = this.videos.find((video) => video.id === this.video.id) ?? null;
    this.checkSelection();
    for (const topic of ["project", "objects", "settings", "history", "jobs", "model", "review"]) this.emit(topic);
  }

  get objects() {
    return this.video?.objects ?? [];
  }

  get object() {
    return this.objects.find((known) => known.id === this.selected) ?? null;
  }

  find(id) {
    return this.objects.find((known) => known.id === id) ?? null;
  }

  nameOf(id) {
    return this.find(id)?.name ?? `object ${id}`;
  }

  select(id) {
    if (this.selected === id) return;
    this.selected = id;
    this.emit("selection");
  }

  checkSelection() {
    if (this.selected !== null && !this.find(this.selected)) this.select(null);
  }

  setFrame(frame) {
    const last = this.video.frames - 1;
    const inside = Math.max(0, Math.min(last, Math.round(frame)));
    if (inside === this.frame) return;
    this.frame = inside;
    this.emit("frame");
  }

  setTool(tool) {
    this.tool = tool;
    this.emit("tool");
  }

  setRange(range) {
    this.range = range;
    this.emit("range");
  }

  /** The frames a range command is about: the marked range, else the frame on the screen. */
  get span() {
    return this.range ?? [this.frame, this.frame + 1];
  }

  /** Whether some job is at work on this video. */
  get job() {
    const mine = [...this.jobs.values()].filter((job) => job.video === this.video?.id);
    return mine.find((job) => job.state === "running") ?? mine[0] ?? null;
  }

  /** Apply an event about the project; masks, prompts and lanes are kept elsewhere. */
  apply(event) {
    if (event.revision !== undefined) this.revision = Math.max(this.revision, event.revision);
    const handler = APPLY[event.event];
    if (handler) handler(this, event);
  }
}

const FINISHED = new Set(["done", "cancelled", "failed"]);

const APPLY = {
  model: (store, event) => {
    store.model = event.model;
    store.emit("model");
  },
  objects: (store, event) => {
    const video = store.videos.find((known) => known.id === event.video);
    if (!video) return;
    video.objects = event.objects;
    if (video === store.video) {
      store.checkSelection();
      store.emit("objects");
    }
  },
  candidates: (store, event) => {
    if (event.video !== store.video?.id) return;
    store.candidates = event.candidates.length ? event : null;
    store.emit("candidates");
  },
  proposals: (store, event) => {
    if (event.video !== store.video?.id) return;
    if (event.proposals.length) store.proposals.set(event.frame, event.proposals);
    else store.proposals.delete(event.frame);
    store.emit("proposals");
  },
  job: (store, event) => {
    const before = store.jobs.get(event.job.id);
    if (FINISHED.has(event.job.state)) store.jobs.delete(event.job.id);
    else store.jobs.set(event.job.id, event.job);
    if (before?.state === event.job.state) store.emitSoon("jobs"); // only its numbers are new
    else store.emit("jobs");
    if (FINISHED.has(event.job.state) && (!before || !FINISHED.has(before.state))) store.emit("job-end", event.job);
  },
  review: (store, event) => {
    const video = store.videos.find((known) => known.id === event.video);
    if (video) video.share_reviewed = event.share_reviewed;
    if (video === store.video) store.worst = event.worst;
    store.emit("review");
  },
  history: (store, event) => {
    store.history = event;
    store.emit("history");
  },
  settings: (store, event) => {
    store.settings = event.settings;
    store.emit("settings");
  },
};
