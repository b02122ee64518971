// The live connection: gestures out, answers and events in; it comes back by itself when it is lost.

export class Refusal extends Error {
  constructor(error) {
    super(error.message);
    this.code = error.code;
    this.detail = error;
  }
}

export class Socket {
  /** `onevent(event)` for every event; `onstate("open" | "lost" | "refused", message)` for the connection itself. */
  constructor({ onevent, onstate }) {
    this.onevent = onevent;
    this.onstate = onstate;
    this.waiting = new Map();
    this.next = 1;
    this.pause = 300;
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const link = new WebSocket(`${scheme}//${location.host}/api/live`);
    this.link = link;
    link.onopen = () => {
      this.pause = 300;
      this.onstate("open", "");
    };
    link.onmessage = (message) => this.receive(JSON.parse(message.data));
    link.onclose = (event) => this.closed(event);
  }

  closed(event) {
    for (const { reject } of this.waiting.values()) {
      reject(new Refusal({ code: "disconnected", message: "the connection was lost before an answer came" }));
    }
    this.waiting.clear();
    if (event.code === 4401 || event.code === 4403) {
      this.onstate("refused", "This page is no longer allowed to talk to the server. Open the link that the terminal shows.");
      return;
    }
    this.onstate("lost", "Connection lost. Everything that was answered is saved; trying again …");
    setTimeout(() => this.connect(), this.pause);
    this.pause = Math.min(4000, this.pause * 1.6);
  }

  receive(message) {
    if (message.event) {
      this.onevent(message);
      return;
    }
    const waiting = this.waiting.get(message.id);
    if (!waiting) return;
    this.waiting.delete(message.id);
    if (message.ok) waiting.resolve(message.result);
    else waiting.reject(new Refusal(message.error));
  }

  /** Send a gesture; resolves with its result, rejects with a Refusal. */
  ask(name, fields = {}) {
    if (this.link.readyState !== WebSocket.OPEN) {
      return Promise.reject(new Refusal({ code: "disconnected", message: "not connected to the server" }));
    }
    const id = this.next++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.link.send(JSON.stringify({ id, do: name, ...fields }));
    });
  }
}

/** Fetch JSON; throws a Refusal with the server's own message. */
export async function getJson(path, options = {}) {
  const response = await fetch(path, options);
  const body = await response.json().catch(() => null);
  if (response.ok && body) return body;
  throw new Refusal(body?.error ?? { code: "failed", message: `the server answered ${response.status}` });
}
