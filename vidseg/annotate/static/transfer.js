// Masks out of the project and into it: two dialogs.

import { dialog } from "./dialog.js";
import { el, fill } from "./dom.js";
import { getJson } from "./socket.js";

const STATES = [["unreviewed", "not reviewed"], ["accepted", "accepted"], ["rejected", "rejected"]];

let formats = null;

/** The formats that the server writes and reads; asked for once. */
export async function knownFormats() {
  formats ??= await getJson("/api/formats");
  return formats;
}

export async function openExport({ store }) {
  const { export: list } = await knownFormats();
  const format = el("select", { id: "export-format", class: "primary-field" }, ...list.map((one) => el("option", { value: one.name, text: one.title && one.title.length < 60 ? `${one.name} · ${one.title}` : one.name })));
  const notes = el("p", { class: "faint small" });
  const videos = store.videos.map((video) => el("input", { type: "checkbox", value: String(video.id), checked: video === store.video || store.videos.length === 1, id: `export-video-${video.id}` }));
  const states = STATES.map(([value]) => el("input", { type: "checkbox", value, checked: value !== "rejected", id: `export-${value}` }));
  const polygons = el("input", { type: "checkbox", id: "export-polygons" });
  const tolerance = el("input", { type: "number", min: "0", max: "100", step: "0.5", value: "0", id: "export-tolerance", class: "narrow" });
  const shape = el("fieldset", {}, el("legend", { text: "Outlines" }),
    el("label", { class: "check" }, polygons, el("span", { text: "polygons in place of run lengths" })),
    el("label", { class: "check" }, tolerance, el("span", { text: "pixels by which polygons may be simplified" })));
  const result = el("div", { class: "stack", id: "export-result", "aria-live": "polite" });
  const start = el("button", { type: "button", class: "button primary", id: "export-start", text: "Export" });
  const update = () => {
    const one = list.find((known) => known.name === format.value);
    const lacks = [!one.identities && "no identities", !one.overlaps && "no overlaps", !one.holes && "no holes"].filter(Boolean);
    notes.textContent = `${one.notes}.${lacks.length ? ` Holds ${lacks.join(", ")}.` : ""}`;
    shape.hidden = !one.polygons;
  };
  format.addEventListener("change", update);
  update();
  const values = (inputs) => inputs.filter((input) => input.checked).map((input) => input.value);
  let wanted = null;
  start.addEventListener("click", async () => {
    const body = { format: format.value, videos: values(videos).map(Number), states: values(states) };
    if (!shape.hidden) {
      if (polygons.checked) body.polygons = true;
      if (Number(tolerance.value) > 0) body.tolerance = Number(tolerance.value);
    }
    if (!body.videos.length || !body.states.length) {
      fill(result, el("p", { class: "bad", text: "Choose at least one video and one state." }));
      return;
    }
    start.disabled = true;
    fill(result, el("progress", { "aria-label": "Export" }));
    try {
      wanted = (await getJson("/api/export", { method: "POST", body: JSON.stringify(body) })).export;
      if (early.has(wanted)) show(early.get(wanted));
    } catch (error) {
      start.disabled = false;
      fill(result, el("p", { class: "bad", text: error.message }));
    }
  });
  const early = new Map(); // events may be faster than the answer
  const show = (event) => {
    if (event.state === "running") {
      fill(result, el("progress", { max: String(event.total || 1), value: event.done, "aria-label": "Export" }));
      return;
    }
    start.disabled = false;
    if (event.state === "failed") {
      fill(result, el("p", { class: "bad", text: event.message }));
      return;
    }
    const size = event.bytes > 1e6 ? `${(event.bytes / 1e6).toFixed(1)} MB` : `${Math.ceil(event.bytes / 1000)} kB`;
    fill(result,
      el("a", { class: "button primary", id: "export-download", href: `/api/exports/${encodeURIComponent(event.export)}`, download: event.file, text: `Download ${event.file} (${size})` }),
      el("ul", { class: "report small" }, ...(event.report ?? []).map((text) => el("li", { text }))));
  };
  const listener = (event) => {
    early.set(event.export, event);
    if (event.export === wanted) show(event);
  };
  store.on("export", listener);
  const { closed } = dialog({
    title: "Export masks",
    content: el("div", { class: "form" },
      el("div", { class: "line" }, el("label", { for: "export-format", text: "Format" }), format),
      notes,
      el("fieldset", { hidden: store.videos.length < 2 }, el("legend", { text: "Videos" }), ...store.videos.map((video, n) => el("label", { class: "check" }, videos[n], el("span", { text: video.name })))),
      el("fieldset", {}, el("legend", { text: "Masks that are" }), ...STATES.map(([, text], n) => el("label", { class: "check" }, states[n], el("span", { text })))),
      shape,
      el("div", { class: "row end" }, start),
      result),
  });
  await closed;
  store.off("export", listener);
}

export async function openImport({ store }) {
  if (!store.video) return;
  const { import: list } = await knownFormats();
  const format = el("select", { id: "import-format" }, ...list.map((one) => el("option", { value: one.name, text: `${one.name} · ${one.as === "masks" ? "masks" : "boxes, as prompts"}` })));
  const notes = el("p", { class: "faint small" });
  const file = el("input", { type: "file", id: "import-file" });
  const result = el("div", { class: "stack", id: "import-result", "aria-live": "polite" });
  const start = el("button", { type: "button", class: "button primary", id: "import-start", text: "Import" });
  const update = () => {
    const one = list.find((known) => known.name === format.value);
    notes.textContent = `Expects ${one.accepts}. Goes into ${store.video.name}; one undo takes all of it back.`;
  };
  format.addEventListener("change", update);
  update();
  start.addEventListener("click", async () => {
    if (!file.files.length) {
      fill(result, el("p", { class: "bad", text: "Choose a file first." }));
      return;
    }
    start.disabled = true;
    fill(result, el("progress", { "aria-label": "Import" }));
    try {
      const query = new URLSearchParams({ video: store.video.id, format: format.value });
      const headers = { "content-type": "application/octet-stream" };
      const done = await getJson(`/api/import?${query}`, { method: "POST", body: file.files[0], headers });
      fill(result,
        el("p", { text: `${done.objects.length} objects, ${done.masks} masks, ${done.prompts} prompts were read.` }),
        el("ul", { class: "report small" }, ...done.report.map((text) => el("li", { text }))));
    } catch (error) {
      fill(result, el("p", { class: "bad", text: error.message }));
    }
    start.disabled = false;
  });
  dialog({
    title: "Import",
    content: el("div", { class: "form" },
      el("div", { class: "line" }, el("label", { for: "import-format", text: "Format" }), format), notes,
      el("div", { class: "line" }, el("label", { for: "import-file", text: "File" }), file),
      el("div", { class: "row end" }, start), result),
  });
}
