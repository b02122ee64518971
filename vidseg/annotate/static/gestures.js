// Sending gestures: asks before accepted frames change, tells what was refused, and makes an object when one is needed.

import { confirm } from "./dialog.js";
import { notice } from "./notices.js";

export class Gestures {
  constructor(store, socket) {
    this.store = store;
    this.socket = socket;
    this.pending = 0;
  }

  /** Do a gesture on the current video; returns its result, or null if it was refused or called off. */
  async act(name, fields = {}, { quiet = false } = {}) {
    this.pending++;
    this.store.emit("pending");
    try {
      return await this.socket.ask(name, fields);
    } catch (error) {
      if (error.code === "accepted" && (await this.mayOverwrite(error.detail))) {
        return await this.act(name, { ...fields, overwrite: true });
      }
      if (!quiet && !["accepted", "superseded"].includes(error.code)) {
        notice(error.message, error.code === "nothing" ? "info" : "error");
      }
      return null;
    } finally {
      this.pending--;
      this.store.emit("pending");
    }
  }

  onVideo(name, fields = {}, options = {}) {
    if (!this.store.video) return Promise.resolve(null);
    return this.act(name, { video: this.store.video.id, ...fields }, options);
  }

  mayOverwrite({ count, frames }) {
    const listed = frames.slice(0, 8).join(", ");
    const more = count > 8 ? " …" : "";
    return confirm({
      title: count === 1 ? "Change an accepted frame?" : `Change ${count} accepted frames?`,
      text: `You accepted ${count === 1 ? `frame ${listed}` : `frames ${listed}${more}`}. This would change ${count === 1 ? "it" : "them"}.`,
      yes: "Change",
      no: "Keep as accepted",
    });
  }

  /** The id of the object that a prompt goes to; a new one if none is selected. Null if it was refused. */
  async target() {
    const { store } = this;
    if (store.object) {
      if (!store.object.locked) return store.object.id;
      notice(`${store.object.name} is locked; press L to unlock it`, "info");
      return null;
    }
    if (!this.making) {
      this.making = this.onVideo("object.add").finally(() => (this.making = null));
    }
    const made = await this.making;
    if (made) store.select(made.object.id);
    return made?.object.id ?? null;
  }

  /** Prompt the selected object on the frame that is shown. */
  async prompt(name, fields) {
    const { video, shown: frame } = this.store;
    const object = await this.target();
    if (object === null || this.store.video !== video) return null;
    return this.onVideo(`prompt.${name}`, { object, frame, ...fields });
  }
}
