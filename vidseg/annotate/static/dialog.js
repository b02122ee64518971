// Dialogs and menus, made on the browser's own <dialog>: focus stays inside, Escape closes.

import { button, el } from "./dom.js";

/** Open a dialog with a title and content; resolves with its return value when it is closed ("" for Escape). */
export function dialog({ title, content, buttons = [], wide = false }) {
  const before = document.activeElement;
  const head = el("header", {}, el("h2", { text: title, id: "dialog-title" }));
  const node = el("dialog", { class: wide ? "wide" : "", "aria-labelledby": "dialog-title" });
  head.append(button({ icon: "cross", hint: "Close", key: "Esc", onclick: () => node.close("") }));
  const body = el("div", { class: "body" }, content);
  node.append(head, body);
  if (buttons.length) {
    node.append(el("footer", {}, ...buttons.map(({ label, value, primary, id }) =>
      el("button", { type: "button", class: `button ${primary ? "primary" : ""}`, text: label, id, onclick: () => node.close(value) }))));
  }
  document.body.append(node);
  const closed = new Promise((resolve) => {
    node.addEventListener("close", () => {
      node.remove();
      before?.focus?.();
      resolve(node.returnValue);
    });
  });
  node.addEventListener("pointerdown", (event) => event.target === node && node.close(""));
  node.showModal();
  (node.querySelector(".primary, .body input, .body select") ?? node).focus();
  return { node, closed };
}

/** Ask a yes/no question; resolves with true or false. */
export async function confirm({ title, text, yes = "Yes", no = "Cancel" }) {
  const { closed } = dialog({
    title,
    content: el("p", { text }),
    buttons: [{ label: no, value: "" }, { label: yes, value: "yes", primary: true }],
  });
  return (await closed) === "yes";
}

/** Choose one of some values ([{value, label}]); resolves with the value or null. */
export async function choose({ title, text, values, yes = "OK" }) {
  const select = el("select", { size: Math.min(10, Math.max(3, values.length)), "aria-label": title, class: "primary" });
  for (const { value, label } of values) select.append(el("option", { value: String(value), text: label }));
  select.selectedIndex = 0;
  const { node, closed } = dialog({
    title,
    content: el("div", { class: "stack" }, el("p", { text }), select),
    buttons: [{ label: "Cancel", value: "" }, { label: yes, value: "yes" }],
  });
  select.addEventListener("keydown", (event) => event.key === "Enter" && node.close("yes"));
  select.addEventListener("dblclick", () => node.close("yes"));
  if ((await closed) !== "yes") return null;
  return values.find(({ value }) => String(value) === select.value)?.value ?? null;
}

/** A menu at a button: [{label, key, run, disabled, danger}], null is a line. */
export function menu(anchor, items) {
  document.querySelector(".menu")?.remove();
  const node = el("div", { class: "menu", role: "menu" });
  const close = () => {
    node.remove();
    document.removeEventListener("pointerdown", away, true);
    anchor.focus?.();
  };
  const away = (event) => node.contains(event.target) || close();
  for (const item of items) {
    if (!item) {
      node.append(el("hr"));
      continue;
    }
    const entry = el("button", {
      type: "button", role: "menuitem", class: `entry ${item.danger ? "danger" : ""}`, disabled: item.disabled ?? false,
      onclick: () => {
        close();
        item.run();
      },
    }, el("span", { text: item.label }));
    if (item.key) entry.append(el("kbd", { text: item.key }));
    node.append(entry);
  }
  node.addEventListener("keydown", (event) => {
    const entries = [...node.querySelectorAll("button:not(:disabled)")];
    const at = entries.indexOf(document.activeElement);
    if (event.key === "Escape" || event.key === "Tab") close();
    else if (event.key === "ArrowDown") entries[(at + 1) % entries.length].focus();
    else if (event.key === "ArrowUp") entries[(at + entries.length - 1) % entries.length].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  document.body.append(node);
  const box = anchor.getBoundingClientRect();
  const size = node.getBoundingClientRect();
  node.style.left = `${Math.max(4, Math.min(box.right - size.width, innerWidth - size.width - 4))}px`;
  node.style.top = `${box.bottom + size.height > innerHeight ? Math.max(4, box.top - size.height) : box.bottom + 2}px`;
  document.addEventListener("pointerdown", away, true);
  node.querySelector("button:not(:disabled)")?.focus();
}
