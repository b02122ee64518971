// The panels beside the picture that start work and judge it: propagation with its jobs, and review.

import { button, el, fill } from "./dom.js";

export class Propagation {
  constructor(store, gestures, box) {
    Object.assign(this, { store, gestures });
    this.scope = el("select", { "aria-label": "Which objects", id: "scope" },
      el("option", { value: "all", text: "all objects" }), el("option", { value: "one", text: "this object" }));
    this.reach = el("select", { "aria-label": "How far", id: "reach" },
      el("option", { value: "all", text: "to the end" }), el("option", { value: "next_prompt", text: "to next prompt" }), el("option", { value: "range", text: "in the range" }));
    this.jobs = el("div", { class: "stack", id: "jobs" });
    this.cards = new Map(); // job id -> {node, show(job)}: changed in place, so that a button stays under the pointer
    fill(box,
      el("h2", { id: "propagate-title", text: "Propagate" }),
      el("div", { class: "row" }, this.scope, this.reach),
      el("div", { class: "row segmented" },
        button({ icon: "backward", label: "Back", key: "R", id: "propagate-backward", onclick: () => this.start("backward") }),
        button({ icon: "both", label: "Both", key: "G", id: "propagate-both", onclick: () => this.start("both") }),
        button({ icon: "forward", label: "Forward", key: "F", id: "propagate-forward", onclick: () => this.start("forward") })),
      this.jobs);
    store.on("range", () => this.reach.value = store.range ? "range" : this.reach.value === "range" ? "all" : this.reach.value);
    store.on("jobs video project", () => this.update());
  }

  start(direction, reach = this.reach.value) {
    const { store } = this;
    const fields = { objects: this.scope.value === "one" && store.object ? [store.object.id] : null, direction, frame: store.frame, reach };
    if (reach === "range") {
      if (!store.range) {
        store.emit("notice", "Mark a range first: I and O at its ends, or drag with Shift on the timeline.");
        return null;
      }
      [fields.start, fields.stop] = store.range;
    }
    return this.gestures.onVideo("propagate.start", fields);
  }

  get job() {
    return this.store.job ?? [...this.store.jobs.values()][0] ?? null;
  }

  toggle(job = this.job) {
    if (job) this.gestures.act(job.state === "paused" ? "propagate.resume" : "propagate.pause", { job: job.id });
  }

  cancel(job = this.job) {
    if (job) this.gestures.act("propagate.cancel", { job: job.id });
  }

  update() {
    const { jobs } = this.store;
    for (const [id, card] of this.cards) {
      if (!jobs.has(id)) {
        card.node.remove();
        this.cards.delete(id);
      }
    }
    for (const [id, job] of jobs) {
      if (!this.cards.has(id)) {
        this.cards.set(id, this.card(id));
        this.jobs.append(this.cards.get(id).node);
      }
      this.cards.get(id).show(job);
    }
  }

  card(id) {
    const current = () => this.store.jobs.get(id);
    const title = el("span", { class: "grow" });
    const [pause, resume] = [["pause", "Pause"], ["play", "Resume"]].map(([icon, hint]) => button({ icon, hint, key: "Q", onclick: () => this.toggle(current()) }));
    const stop = button({ icon: "stop", hint: "Cancel; what is done stays", key: "Shift+Q", onclick: () => this.cancel(current()) });
    const bar = el("progress", { "aria-label": "Propagation" });
    const count = el("span", { class: "grow" });
    const rate = el("span");
    const node = el("div", { data: { job: String(id) } }, el("div", { class: "row" }, title, pause, resume, stop), bar, el("div", { class: "row faint small number" }, count, rate));
    const show = (job) => {
      node.className = `job ${job.state}`;
      title.textContent = this.title(job);
      pause.hidden = job.state === "paused";
      resume.hidden = !pause.hidden;
      bar.max = Math.max(1, job.total);
      bar.value = job.done;
      count.textContent = `${job.done} of ${job.total} frames`;
      rate.textContent = job.frames_per_second && job.state === "running" ? `${job.frames_per_second.toFixed(1)}/s · ${duration((job.total - job.done) / job.frames_per_second)} left` : "";
    };
    return { node, show };
  }

  title(job) {
    const video = this.store.videos.find((known) => known.id === job.video);
    const mine = video === this.store.video;
    const names = job.objects.length === 1 && mine ? this.store.nameOf(job.objects[0]) : `${job.objects.length} objects`;
    const what = job.kind === "proposals" ? "proposing" : job.auto ? "bringing up to date" : job.pass ?? job.direction;
    return [video && !mine ? video.name : null, names, what, job.state === "running" ? null : job.state].filter(Boolean).join(" · ");
  }
}

function duration(seconds) {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  if (seconds < 3600) return `${Math.ceil(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export class Review {
  constructor(store, gestures, player, openVideo, box) {
    Object.assign(this, { store, gestures, player, openVideo });
    this.anywhere = button({ label: "of all", hint: "Worst frame of all videos (Shift+W)", id: "worst-anywhere", onclick: () => this.next({ anywhere: true }) });
    this.share = el("span", { class: "count", id: "share" });
    this.bar = el("progress", { max: "1", value: 0, "aria-label": "Share reviewed" });
    this.reason = el("p", { class: "reason small", id: "reason", "aria-live": "polite" });
    this.scope = el("span", { class: "faint small" });
    fill(box,
      el("h2", { id: "review-title" }, el("span", { text: "Review" }), el("span", { class: "spring" }), this.share),
      this.bar,
      el("div", { class: "row" }, button({ icon: "target", label: "Worst frame", key: "W", class: "grow", id: "worst", onclick: () => this.next() }), this.anywhere),
      this.reason,
      el("div", { class: "row segmented" },
        button({ icon: "check", label: "Accept", key: "Enter", id: "accept", onclick: () => this.set("accepted") }),
        button({ icon: "cross", label: "Reject", key: "X", id: "reject", onclick: () => this.set("rejected") })),
      this.scope);
    store.on("review video project", () => this.update());
    store.on("selection range frame objects", () => this.updateScope());
  }

  update() {
    const share = this.store.video?.share_reviewed ?? 0;
    this.anywhere.hidden = this.store.videos.length < 2;
    this.share.textContent = `${Math.floor(100 * share + 1e-6)} % reviewed`;
    this.bar.value = share;
    this.updateScope();
  }

  updateScope() {
    const { store } = this;
    const who = store.object ? store.object.name : "all objects";
    const where = store.range ? `frames ${store.range[0]}–${store.range[1] - 1}` : `frame ${store.frame}`;
    this.scope.textContent = `${who}, ${where}`;
  }

  /** Judge the selected object (or all) on the frame or the marked range; a span may be given. */
  async set(state, [start, stop] = this.store.span) {
    const objects = this.store.object ? [this.store.object.id] : null;
    const done = await this.gestures.onVideo("review.set", { objects, start, stop, state });
    if (done && !done.changed) this.store.emit("notice", "There was nothing to change here.");
    return done;
  }

  /** Go to the frame that is most likely wrong, of this video or of all. */
  async next({ anywhere = false } = {}) {
    const found = await this.gestures.onVideo("review.next", { frame: this.store.frame, anywhere });
    if (!found) return;
    if (found.frame === null) {
      this.reason.textContent = "Everything is reviewed.";
      return;
    }
    this.player.pause();
    if (found.video !== this.store.video.id) this.openVideo(found.video, found.frame);
    else this.player.go(found.frame);
    this.store.select(found.object);
    const why = found.reasons.length ? found.reasons.join("; ") : "nothing suspicious left; the least certain frame";
    this.reason.textContent = `${this.store.nameOf(found.object)}, frame ${found.frame}: ${why}`;
  }
}
