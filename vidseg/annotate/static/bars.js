// The bars around the picture: tools at the left, history, view and dialogs above, the player below.

import { button, byId, el, fill } from "./dom.js";
import { clock } from "./player.js";
import { openSettings } from "./settings.js";
import { openExport, openImport } from "./transfer.js";

const TOOLS = [
  ["prompt", "Click and box", "V"], ["brush", "Brush", "B"], ["eraser", "Eraser", "E"], ["polygon", "Polygon", "P"], ["pan", "Move the picture", "T"],
];

/** Build all bars of the app. */
export function buildBars(app) {
  toolBar(app);
  topBar(app);
  transport(app);
}

function toolBar({ store, proposals, automatic }) {
  const buttons = TOOLS.map(([tool, hint, key]) => button({ icon: tool, hint, key, id: `tool-${tool}`, onclick: () => store.setTool(tool) }));
  const propose = button({ icon: "propose", hint: "Propose objects on this frame", key: "Shift+P", id: "propose", onclick: () => proposals.make() });
  const everything = button({ icon: "layers", hint: "Segment everything here and track it", key: "Alt+P", id: "automatic", onclick: automatic });
  fill(byId("tools"), ...buttons, el("hr"), propose, everything);
  const update = () => buttons.forEach((one, n) => one.setAttribute("aria-pressed", String(TOOLS[n][0] === store.tool)));
  store.on("tool", update);
  store.on("pending", () => propose.classList.toggle("busy", proposals.making));
  update();
}

function topBar(app) {
  const { store, stage, setBrightness, toggleMasks } = app;
  const videos = byId("videos");
  videos.addEventListener("change", () => app.openVideo(Number(videos.value)));
  const undo = button({ icon: "undo", hint: "Undo", key: "Ctrl+Z", id: "undo", onclick: app.undo });
  const redo = button({ icon: "redo", hint: "Redo", key: "Ctrl+Shift+Z", id: "redo", onclick: app.redo });
  fill(byId("history"), undo, redo);
  const level = el("span", { class: "number", id: "zoom", text: "100 %" });
  const sun = el("input", { type: "range", min: "-1", max: "1", step: "0.02", value: "0", "aria-label": "Brightness", title: "Brightness (Shift+↑, Shift+↓)", class: "brightness",
    oninput: () => setBrightness(5 ** Number(sun.value)), ondblclick: () => setBrightness(1) });
  const masks = button({ icon: "eye", hint: "Show or hide all masks", key: "Shift+H", onclick: toggleMasks });
  fill(byId("view"), masks, button({ icon: "minus", hint: "Zoom out", key: "-", onclick: () => stage.zoom(0.8) }), level,
    button({ icon: "plus", hint: "Zoom in", key: "+", onclick: () => stage.zoom(1.25) }), button({ icon: "fit", hint: "Fit to the window", key: "0", onclick: () => stage.fit() }), sun);
  fill(byId("dialogs"),
    button({ icon: "import", hint: "Import", key: "Ctrl+I", id: "import", onclick: () => openImport(app) }),
    button({ icon: "export", label: "Export", hint: "Export", id: "export", onclick: () => openExport(app) }),
    button({ icon: "settings", hint: "Settings", key: "Ctrl+,", onclick: () => openSettings(app) }),
    button({ icon: "help", hint: "Keys", key: "?", id: "help", onclick: () => app.keys.help() }));
  store.on("history", () => {
    const { history } = store;
    label(undo, history.undo, "Undo", "Ctrl+Z");
    label(redo, history.redo, "Redo", "Ctrl+Shift+Z");
  });
  store.on("project video", () => {
    byId("project").textContent = store.project;
    fill(videos, ...store.videos.map((video) => el("option", { value: String(video.id), text: `${video.name}${video.status === "ok" ? "" : ` (${video.status})`}` })));
    if (store.video) videos.value = String(store.video.id);
  });
  store.on("view", () => level.textContent = `${Math.round(100 * stage.scale)} %`);
  store.on("settings", () => sun.value = String(Math.log(store.settings.brightness ?? 1) / Math.log(5)));
  store.on("masks-visible", () => masks.classList.toggle("off", !store.masksVisible));
  store.on("model pending", () => status(store, app.gestures.pending));
  toolOptions(app);
}

function label(node, entry, word, key) {
  node.disabled = !entry;
  const text = entry ? `${word}: ${entry.label}` : `Nothing to ${word.toLowerCase()}`;
  node.title = `${text} (${key})`;
  node.setAttribute("aria-label", text);
}

function status(store, pending) {
  const { model } = store;
  const node = byId("status");
  const words = { loading: "loading the model", ready: model.name, failed: "no model" };
  node.textContent = words[model.state] ?? "";
  node.title = model.state === "failed" ? model.message : "the model that answers prompts";
  node.className = `status ${model.state} ${pending ? "busy" : ""}`;
}

function toolOptions({ store, tools, gestures }) {
  const box = byId("options");
  const size = el("input", { type: "range", min: "0", max: "100", "aria-label": "Brush size", title: "Brush size ([ and ])", oninput: () => tools.setRadius(0.5 * 1000 ** (size.value / 100)) });
  const shown = el("output", { class: "number" });
  const polygon = el("select", { "aria-label": "What the polygon does", onchange: () => (tools.polygonMode = polygon.value) },
    ...[["add", "adds"], ["erase", "erases"], ["replace", "replaces the mask"]].map(([value, text]) => el("option", { value, text })));
  let timer = null;
  const radius = () => {
    size.value = String((100 * Math.log(tools.radius / 0.5)) / Math.log(1000));
    shown.textContent = `${tools.radius < 10 ? tools.radius.toFixed(1) : Math.round(tools.radius)} px`;
    clearTimeout(timer);
    if (Math.abs(tools.radius - store.settings.brush_radius) > 1e-6) timer = setTimeout(() => gestures.act("settings.set", { settings: { brush_radius: tools.radius } }, { quiet: true }), 800);
  };
  const update = () => {
    const drawing = store.tool === "brush" || store.tool === "eraser";
    fill(box, ...(drawing ? [el("span", { class: "faint", text: "size" }), size, shown] : store.tool === "polygon" ? [el("span", { class: "faint", text: "polygon" }), polygon] : []));
  };
  store.on("radius", radius);
  store.on("settings", () => (shown.textContent = tools.radius < 10 ? `${tools.radius.toFixed(1)} px` : `${Math.round(tools.radius)} px`));
  store.on("tool", update);
  update();
}

function transport({ store, player }) {
  const play = button({ icon: "play", hint: "Play", key: "Space", id: "play", onclick: () => player.toggle(1) });
  const pause = button({ icon: "pause", hint: "Pause", key: "Space", id: "pause", onclick: () => player.pause() });
  pause.hidden = true;
  const input = el("input", { id: "frame-input", class: "frame", inputmode: "numeric", "aria-label": "Frame", title: "Frame (J)" });
  const total = el("span", { class: "number faint" });
  const time = el("span", { class: "number", id: "time" });
  const speed = el("select", { "aria-label": "Speed", title: "Speed", onchange: () => (player.speed = Number(speed.value)) },
    ...[0.1, 0.25, 0.5, 1, 2, 4].map((value) => el("option", { value: String(value), text: `${value}×`, selected: value === 1 })));
  const range = el("span", { class: "tag", id: "range" });
  const clear = button({ icon: "cross", hint: "No marked range", key: "U", onclick: () => store.setRange(null) });
  clear.hidden = true;
  const leave = () => byId("overlay").focus({ preventScroll: true });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      const frame = Number.parseInt(input.value, 10);
      if (Number.isFinite(frame)) player.step(frame - store.frame);
    }
    if (event.key === "Enter" || event.key === "Escape") leave();
  });
  input.addEventListener("blur", () => (input.value = String(store.frame)));
  fill(byId("transport"),
    button({ icon: "first", hint: "First frame", key: "Home", onclick: () => player.step(-Infinity) }),
    button({ icon: "previous-mark", hint: "Previous prompted frame", key: "Page ↑", onclick: () => store.emit("previous-mark") }),
    button({ icon: "previous", hint: "Previous frame", key: "←", id: "previous", onclick: () => player.step(-1) }),
    play, pause,
    button({ icon: "next", hint: "Next frame", key: "→", id: "next", onclick: () => player.step(1) }),
    button({ icon: "next-mark", hint: "Next prompted frame", key: "Page ↓", onclick: () => store.emit("next-mark") }),
    button({ icon: "last", hint: "Last frame", key: "End", onclick: () => player.step(Infinity) }),
    input, total, time, speed, el("span", { class: "spring" }), range, clear,
    button({ icon: "range-start", hint: "The marked range starts here", key: "I", onclick: () => store.emit("mark", "start") }),
    button({ icon: "range-stop", hint: "The marked range ends here", key: "O", onclick: () => store.emit("mark", "stop") }));
  store.on("frame video times", () => {
    if (document.activeElement !== input) input.value = String(store.frame);
    total.textContent = store.video ? `/ ${store.video.frames - 1}` : "";
    time.textContent = store.video ? clock(player.seconds(store.frame)) : "";
  });
  store.on("playing", () => {
    play.hidden = player.playing !== 0;
    pause.hidden = player.playing === 0;
  });
  store.on("range", () => (clear.hidden = !store.range));
  store.on("range", () => (range.textContent = store.range ? `range ${store.range[0]}–${store.range[1] - 1}` : ""));
}
