// Making elements. Text only ever arrives as text nodes, so nothing that was typed or imported becomes HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Return an element. `properties`: on<event> functions, `class`, `text`, `data` (dataset), else attributes (false/null leave them out). */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name === "class") node.className = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "value" || name === "checked" || name === "disabled") node[name] = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Replace all children. */
export const fill = (node, ...children) => node.replaceChildren(...children.filter(Boolean));

/** A button with an icon and, if `label` is given, text; `hint` is its tooltip and accessible name. */
export function button({ icon: name, label, hint, key, onclick, ...rest }) {
  const title = key ? `${hint ?? label} (${key})` : hint ?? label;
  const { class: extra, ...others } = rest;
  const node = el("button", { type: "button", title, "aria-label": hint ?? label, class: `button ${label ? "" : "square"} ${extra ?? ""}`, onclick, ...others });
  if (name) node.append(icon(name));
  if (label) node.append(el("span", { text: label }));
  if (label && key) node.append(el("kbd", { text: key }));
  return node;
}

/** An icon of 24 x 24 units, drawn in the colour of the text. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  if (SOLID.has(name)) path.setAttribute("class", "solid");
  svg.append(path);
  return svg;
}

const SOLID = new Set(["play", "pause", "stop", "more"]);
const ICONS = {
  prompt: "M12 3v5M12 16v5M3 12h5M16 12h5M12 11v2M11 12h2",
  brush: "M20 4L10.5 13.5M8 13a3.5 3.5 0 0 1 3.4 3.6C11.4 19 9 20.5 4 20c1.6-1 1.4-2.400 1.500-3.600A3 3 0 0 1 8 13z",
  eraser: "M8 20h12M4.500 15.500l9-9a2 2 0 0 1 2.800 0l3.200 3.200a2 2 0 0 1 0 2.800L12.500 20H9l-4.500-4.500zM9 11l6 6",
  polygon: "M6 5l12 2 2 9-8 4-8-6zM6 5l0 0M18 7l0 0",
  pan: "M12 3v18M3 12h18M12 3l-2.500 2.500M12 3l2.500 2.500M12 21l-2.500-2.500M12 21l2.500-2.500M3 12l2.500-2.500M3 12l2.500 2.500M21 12l-2.500-2.500M21 12l-2.500 2.500",
  propose: "M12 3l1.800 5.200L19 10l-5.200 1.800L12 17l-1.800-5.200L5 10l5.200-1.800zM19 16v4M17 18h4",
  undo: "M9 14L4 9l5-5M4 9h10a6 6 0 0 1 0 12h-3",
  redo: "M15 14l5-5-5-5M20 9H10a6 6 0 0 0 0 12h3",
  play: "M7 4.500v15l13-7.500z",
  pause: "M6 5h4v14H6zM14 5h4v14h-4z",
  stop: "M6 6h12v12H6z",
  first: "M6 5v14M19 5l-9 7 9 7z",
  last: "M18 5v14M5 5l9 7-9 7z",
  previous: "M15 5l-7 7 7 7",
  next: "M9 5l7 7-7 7",
  "previous-mark": "M18 5l-7 7 7 7M7 9l-3 3 3 3",
  "next-mark": "M6 5l7 7-7 7M17 9l3 3-3 3",
  eye: "M2.500 12C5 7.500 8.500 5.500 12 5.500s7 2 9.500 6.500c-2.500 4.500-6 6.500-9.500 6.500S5 16.500 2.500 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  "eye-off": "M4 4l16 16M9.500 5.900A9 9 0 0 1 12 5.500c3.500 0 7 2 9.500 6.500a16 16 0 0 1-2.700 3.500M6 7.700A15 15 0 0 0 2.500 12C5 16.500 8.500 18.500 12 18.500a9 9 0 0 0 4-1",
  lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3",
  unlock: "M6 11h12v9H6zM8.500 11V7a3.500 3.500 0 0 1 6.800-1",
  more: "M5 10.500a1.500 1.500 0 1 0 0 3 1.500 1.500 0 0 0 0-3zM12 10.500a1.500 1.500 0 1 0 0 3 1.500 1.500 0 0 0 0-3zM19 10.500a1.500 1.500 0 1 0 0 3 1.500 1.500 0 0 0 0-3z",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  check: "M4.500 12.500l5 5 10-11",
  cross: "M6 6l12 12M18 6L6 18",
  forward: "M4 12h15M13 6l6 6-6 6",
  backward: "M20 12H5M11 6l-6 6 6 6",
  both: "M3 12h18M8 7l-5 5 5 5M16 7l5 5-5 5",
  target: "M12 5a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM12 2v5M12 17v5M2 12h5M17 12h5",
  "range-start": "M10 4H7v16h3M12 12h8M16 8l4 4-4 4",
  "range-stop": "M14 4h3v16h-3M4 12h8M8 8l-4 4 4 4",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2",
  learn: "M2 9l10-5 10 5-10 5zM6 11v5c3.500 3 8.500 3 12 0v-5M22 9v6",
  layers: "M12 3l9 5-9 5-9-5zM3 13l9 5 9-5",
  export: "M12 15V4M8 8l4-4 4 4M4 15v5h16v-5",
  import: "M12 4v11M8 11l4 4 4-4M4 15v5h16v-5",
  settings: "M4 7h9M17 7h3M15 5v4M4 17h3M11 17h9M9 15v4",
  help: "M9 9a3 3 0 1 1 4.500 2.600c-1 .6-1.500 1.200-1.500 2.400M12 17.500v.5M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18z",
};
