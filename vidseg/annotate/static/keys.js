// The keyboard: one table of commands, which also is the help under "?".

import { dialog } from "./dialog.js";
import { el } from "./dom.js";
import { knownFormats } from "./transfer.js";

/** Call commands by their keys. `groups`: [{title, commands: [{keys, text, run}]}]; a run that returns false passes on. */
export class Keys {
  constructor(groups) {
    this.groups = groups;
    this.table = new Map();
    for (const { commands } of groups) {
      for (const command of commands) {
        for (const key of command.keys) {
          if (this.table.has(key)) throw new Error(`two commands for the key ${key}`);
          this.table.set(key, command);
        }
      }
    }
    window.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    if (event.isComposing || document.querySelector("dialog[open], .menu")) return;
    const typing = event.target.closest?.("input:not([type=range]):not([type=checkbox]), textarea, select");
    if (typing) return;
    const name = nameOf(event);
    const onButton = event.target.closest?.("button, a") && (name === "Enter" || name === "Space");
    const command = this.table.get(name);
    if (!command || onButton || (event.repeat && !command.repeats)) return;
    event.preventDefault();
    if (event.target.type === "range") event.target.blur();
    command.run();
  }

  async help() {
    const columns = this.groups.map(({ title, commands }) => el("section", {}, el("h3", { text: title }),
      el("dl", {}, ...commands.filter((one) => one.text).flatMap(({ keys, shown, text }) => [
        el("dt", {}, ...(shown ?? keys).map((key) => el("kbd", { text: pretty(key) }))), el("dd", { text }),
      ]))));
    const mouse = [
      ["Click", "positive point on the selected object; a new object if none is selected"],
      ["Right click, Alt+click", "negative point"],
      ["Drag", "a box"],
      ["Ctrl+click", "select the object under the pointer"],
      ["Wheel", "zoom to the pointer; with Shift move sideways"],
      ["Middle drag, Shift+drag", "move the picture"],
      ["Alt or right button with brush", "erase"],
      ["Shift+drag on the timeline", "mark a range"],
      ["Wheel on the timeline", "zoom in time; double click shows all"],
    ];
    columns.push(el("section", {}, el("h3", { text: "Mouse" }), el("dl", {}, ...mouse.flatMap(([what, text]) => [el("dt", {}, el("kbd", { text: what })), el("dd", { text })]))));
    const legend = [
      ["◆ ■ ▲", "prompted, edited, imported frame"],
      ["height of the bar", "confidence from 40 to 100 %; a thin line: tracked, but not there"],
      ["bar below", "accepted (green, full) or rejected (orange, raised)"],
      ["white cap", "suspicious: the brighter, the more"],
      ["dark stripes", "out of date: a prompt has changed since"],
      ["▼", "the frame to look at next"],
    ];
    columns.push(el("section", {}, el("h3", { text: "Timeline" }), el("dl", {}, ...legend.flatMap(([what, text]) => [el("dt", { text: what }), el("dd", { text })]))));
    const formats = await knownFormats().catch(() => ({ export: [] }));
    columns.push(el("section", {}, el("h3", { text: "Formats of export" }), el("dl", {}, ...formats.export.flatMap(({ name, notes }) => [el("dt", { text: name }), el("dd", { text: notes })]))));
    dialog({ title: "Keys", content: el("div", { class: "keys" }, ...columns), wide: true });
  }
}

function nameOf(event) {
  if (event.getModifierState?.("AltGraph")) return event.key; // how some keyboards type [ and ]
  let key = event.key === " " ? "Space" : event.key;
  if (event.code.startsWith("Digit") && !event.ctrlKey) key = event.shiftKey ? event.key : event.code.slice(5);
  const letter = /^[a-z]$/i.test(key);
  if (letter) key = key.toUpperCase();
  else if (event.altKey && event.code.startsWith("Key")) key = event.code.slice(3);
  const named = letter || key.length > 1; // of other signs, Shift is part of the sign itself
  return `${event.ctrlKey || event.metaKey ? "Ctrl+" : ""}${event.altKey ? "Alt+" : ""}${event.shiftKey && named ? "Shift+" : ""}${key}`;
}

const PRETTY = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", Escape: "Esc", PageUp: "Page ↑", PageDown: "Page ↓" };

function pretty(key) {
  return key.replace(/Arrow\w+|Escape|Page\w+/g, (word) => PRETTY[word] ?? word);
}
