// Short messages in a corner: they go by themselves, errors stay longer.

import { byId, el } from "./dom.js";

const LASTS = { info: 3500, warning: 6000, error: 9000 };
const MAX_SHOWN = 4;

/** Show a line of text. `action`: {label, run} adds a button. */
export function notice(message, level = "info", action = null) {
  const box = byId("notices");
  const same = [...box.children].find((child) => child.dataset.message === message);
  same?.remove();
  while (box.children.length >= MAX_SHOWN) box.firstChild.remove();
  const node = el("div", { class: `notice ${level}`, data: { message } }, el("span", { text: message }));
  if (action) node.append(el("button", { class: "button", type: "button", text: action.label, onclick: action.run }));
  node.append(el("button", { class: "button square", type: "button", "aria-label": "Dismiss", text: "×", onclick: () => node.remove() }));
  box.append(node);
  setTimeout(() => node.remove(), action ? 30000 : LASTS[level] ?? LASTS.info);
}
