// What is written over the picture: what is there on this frame, the candidates, and what to do when there is nothing yet.

import { byId, el, fill } from "./dom.js";

export class Readout {
  constructor(app) {
    this.app = app;
    const { store } = app;
    store.on("shown masks selection objects frame", () => this.update());
    store.on("pointer", (point) => this.pointer(point));
    store.on("candidates shown selection tool", () => this.chips());
    store.on("video project model shown", () => this.empty());
  }

  update() {
    const { store, annotation } = this.app;
    const mask = store.selected === null ? null : annotation.mask(store.selected, store.shown);
    const parts = [];
    if (store.object) {
      parts.push(store.object.name);
      if (!mask) parts.push("not computed on this frame");
      else {
        parts.push(mask.source, mask.area ? `${mask.area} px` : "not visible", `confidence ${Math.round(100 * mask.confidence)} %`);
        if (mask.agreement !== null) {
          const whom = mask.source === "propagated" ? "passes agree" : "as propagated:";
          parts.push(`${whom} ${Math.round(100 * mask.agreement)} %`);
        }
        if (mask.state !== "unreviewed") parts.push(mask.state);
        if (mask.stale) parts.push("out of date");
      }
    } else if (store.video && store.objects.length) parts.push("No object selected: the next click makes a new one");
    if (store.video && store.shown !== store.frame) parts.push("loading the frame …");
    this.text = parts.join(" · ");
    this.write();
  }

  pointer(point) {
    this.at = point ? `${Math.floor(point.x)}, ${Math.floor(point.y)}` : "";
    this.write();
  }

  write() {
    const text = [this.text, this.at].filter(Boolean).join("  ·  ");
    if (byId("readout").textContent !== text) byId("readout").textContent = text;
  }

  chips() {
    const { store } = this.app;
    const found = [];
    const { candidates } = store;
    if (candidates && candidates.frame === store.shown && candidates.object === store.selected) {
      const buttons = candidates.candidates.map((one, n) => el("button", {
        type: "button", class: "button", "aria-pressed": String(n === candidates.chosen), text: `${n + 1} · ${Math.round(100 * one.iou)} %`,
        onclick: () => this.app.gestures.onVideo("prompt.candidate", { object: candidates.object, frame: candidates.frame, index: one.index }),
      }));
      found.push(el("div", { class: "chip", id: "candidates" }, el("span", { text: "Candidates" }), ...buttons, el("kbd", { text: "C" })));
    }
    fill(byId("chips"), ...found);
  }

  empty() {
    const { store } = this.app;
    const box = byId("empty");
    const lines = [];
    if (!store.videos.length && store.project) lines.push(["This project has no videos.", "Stop the server and start it with one: vidseg annotate clip.mp4"]);
    else if (store.video && store.video.status !== "ok") lines.push(["The video is not there.", store.video.message]);
    else if (!store.video || store.shown < 0) lines.push(["Loading …", ""]);
    box.hidden = !lines.length;
    fill(box, ...lines.flatMap(([head, text]) => [el("h2", { text: head }), el("p", { text })]));
  }
}
