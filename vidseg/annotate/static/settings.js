// The settings dialog: kept in the project, the same in every tab.

import { dialog } from "./dialog.js";
import { el } from "./dom.js";

export function openSettings({ store, gestures, setBrightness }) {
  const set = (key, value) => gestures.act("settings.set", { settings: { [key]: value } });
  const { settings } = store;
  const check = (key, text, why) => line(text, why, el("input", { type: "checkbox", id: `set-${key}`, checked: settings[key], onchange: (event) => set(key, event.target.checked) }), `set-${key}`);
  const pick = (key, text, why, values) => {
    const select = el("select", { id: `set-${key}`, onchange: () => set(key, select.value) }, ...values.map(([value, label]) => el("option", { value, text: label })));
    select.value = settings[key];
    return line(text, why, select, `set-${key}`);
  };
  const slide = (key, text, low, high, step, apply) => {
    const shown = el("output", { text: Number(settings[key]).toFixed(2) });
    const input = el("input", { type: "range", id: `set-${key}`, min: low, max: high, step, oninput: () => {
      shown.textContent = Number(input.value).toFixed(2);
      apply?.(Number(input.value));
    }, onchange: () => set(key, Number(input.value)) });
    input.value = settings[key];
    return line(text, "", el("span", { class: "row" }, input, shown), `set-${key}`);
  };
  dialog({
    title: "Settings",
    content: el("div", { class: "form" },
      pick("repropagate", "After a correction", "What depends on the corrected frame is propagated again.", [["auto", "bring the rest up to date"], ["off", "leave it, marked as out of date"]]),
      pick("combine", "Between two prompts", "Which of the two passes a frame takes.", [["nearer", "the nearer prompt's pass"], ["confident", "the more confident pass"]]),
      check("agreement", "Both passes over the whole gap", "Twice the time; their disagreement then shows where to look."),
      check("closer", "Look closer", "Better masks, above all of thin things; clicks and propagation take up to twice as long. Not for SAM 2's own models."),
      check("exclusive", "Objects may not overlap", "The surer one wins where two meet."),
      check("hover", "Preview under the pointer", "Where the model is fast enough on this machine."),
      slide("opacity", "Opacity of masks", 0, 1, 0.05),
      slide("brightness", "Brightness of the picture", 0.2, 5, 0.05, setBrightness)),
    buttons: [{ label: "Close", value: "" }],
  });
}

function line(text, why, control, id) {
  return el("div", { class: "line" }, el("label", { for: id }, el("span", { text }), why ? el("span", { class: "faint small", text: why }) : null), control);
}
