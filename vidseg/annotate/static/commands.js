// Every command with its keys, grouped as the help shows them.

import { byId } from "./dom.js";
import { openSettings } from "./settings.js";
import { openExport, openImport } from "./transfer.js";

export function commands(app) {
  const { store, player, stage, tools, gestures, objects, propagation, review, proposals } = app;
  const withObject = (run) => () => {
    if (store.object) run(store.object);
    else store.emit("notice", "Select an object first: its number, or Ctrl+click on it.");
  };
  const one = (keys, text, run, more = {}) => ({ keys, text, run, ...more });
  const toMark = (sign) => {
    const marks = app.lanes.marks(store.selected).filter((frame) => sign * (frame - store.frame) > 0);
    if (marks.length) player.go(sign > 0 ? marks[0] : marks[marks.length - 1]);
  };
  const selectBy = (by) => {
    const list = store.objects;
    if (!list.length) return;
    const at = list.indexOf(store.object);
    store.select(list[at < 0 ? (by > 0 ? 0 : list.length - 1) : (at + by + list.length) % list.length].id);
  };
  const mark = (edge) => {
    const [start, stop] = store.range ?? [0, store.video?.frames ?? 0];
    const frame = store.frame;
    store.setRange(edge === "start" ? [frame, Math.max(frame + 1, store.range ? stop : frame + 1)] : [store.range ? Math.min(start, frame) : frame, frame + 1]);
  };
  const digits = Array.from({ length: 9 }, (_, n) => one([String(n + 1)], n ? null : "select object 1 to 9", () => store.objects[n] && store.select(store.objects[n].id), { shown: ["1 … 9"] }));
  const brighten = (factor) => app.setBrightness((store.settings.brightness ?? 1) * factor);

  return [
    { title: "Player", commands: [
      one(["ArrowRight", "D"], "next frame", () => player.step(1), { repeats: true }),
      one(["ArrowLeft", "A"], "previous frame", () => player.step(-1), { repeats: true }),
      one(["Shift+ArrowRight", "Shift+D"], "ten frames on", () => player.step(10), { repeats: true }),
      one(["Shift+ArrowLeft", "Shift+A"], "ten frames back", () => player.step(-10), { repeats: true }),
      one(["Space"], "play, pause", () => player.toggle(1)),
      one(["Shift+Space"], "play backwards", () => player.toggle(-1)),
      one(["Home"], "first frame", () => player.step(-Infinity)),
      one(["End"], "last frame", () => player.step(Infinity)),
      one(["PageDown", "."], "next prompted frame", () => toMark(1), { repeats: true }),
      one(["PageUp", ","], "previous prompted frame", () => toMark(-1), { repeats: true }),
      one(["J"], "jump to a frame by its number", () => byId("frame-input").select()),
    ] },
    { title: "Objects", commands: [
      ...digits,
      one(["ArrowDown"], "next object", () => selectBy(1), { repeats: true }),
      one(["ArrowUp"], "previous object", () => selectBy(-1), { repeats: true }),
      one(["N"], "new object: the next click makes it", () => store.select(null)),
      one(["F2"], "rename, set class", withObject((object) => objects.rename(object))),
      one(["H"], "hide, show", withObject((object) => objects.toggle(object, "hidden"))),
      one(["L"], "lock, unlock", withObject((object) => objects.toggle(object, "locked"))),
      one(["M"], "merge another into it", withObject((object) => objects.merge(object))),
      one(["K"], "split here: from this frame on it is another", withObject((object) => objects.split(object))),
      one(["S"], "swap with another in the range, or from here on", withObject((object) => objects.swap(object))),
      one(["Alt+ArrowUp"], "move up in the list", withObject((object) => objects.move(object, -1))),
      one(["Alt+ArrowDown"], "move down in the list", withObject((object) => objects.move(object, 1))),
      one(["Delete"], "delete", withObject((object) => objects.remove(object))),
    ] },
    { title: "Prompts and drawing", commands: [
      one(["V"], "click and box", () => store.setTool("prompt")),
      one(["B"], "brush", () => store.setTool("brush")),
      one(["E"], "eraser", () => store.setTool("eraser")),
      one(["P"], "polygon; Enter closes it, Backspace takes a corner back", () => store.setTool("polygon")),
      one(["T"], "move the picture", () => store.setTool("pan")),
      one(["["], "smaller brush", () => tools.setRadius(tools.radius / 1.25), { repeats: true }),
      one(["]"], "larger brush", () => tools.setRadius(tools.radius * 1.25), { repeats: true }),
      one(["C"], "next of the three candidates, or next proposal", () => app.cycle(1)),
      one(["Shift+C"], "previous candidate or proposal", () => app.cycle(-1)),
      one(["Backspace"], "take back the last prompt of this frame", () => tools.dropCorner() || app.dropPrompt(), { repeats: true }),
      one(["Shift+Backspace"], "clear the prompts of this frame", withObject((object) => objects.clear(object, [store.frame, store.frame + 1]))),
      one(["Escape"], "give up what is under way; no range, no selection", () => tools.cancel() || (store.range ? store.setRange(null) : store.select(null))),
      one(["Ctrl+Z"], "undo", () => app.undo(), { repeats: true }),
      one(["Ctrl+Shift+Z", "Ctrl+Y"], "redo", () => app.redo(), { repeats: true }),
    ] },
    { title: "Propagate", commands: [
      one(["F"], "forward", () => propagation.start("forward")),
      one(["R"], "backward", () => propagation.start("backward")),
      one(["G"], "both ways", () => propagation.start("both")),
      one(["Shift+F"], "forward to the next prompt", () => propagation.start("forward", "next_prompt")),
      one(["Shift+R"], "backward to the next prompt", () => propagation.start("backward", "next_prompt")),
      one(["I"], "the marked range starts here", () => mark("start")),
      one(["O"], "the marked range ends here", () => mark("stop")),
      one(["U"], "no marked range", () => store.setRange(null)),
      one(["Q"], "pause, resume", () => propagation.toggle()),
      one(["Shift+Q"], "cancel; what is done stays", () => propagation.cancel()),
      one(["Shift+L"], "let the model learn from the masks you prompted, drew or accepted", () => app.learning.start()),
    ] },
    { title: "Review", commands: [
      one(["W"], "worst frame not yet reviewed", () => review.next()),
      one(["Shift+W"], "worst frame of all videos", () => review.next({ anywhere: true })),
      one(["Enter"], "accept the frame or the marked range", () => (tools.polygon.length ? tools.closePolygon() : review.set("accepted"))),
      one(["Ctrl+Enter"], "accept, then the next worst frame", async () => (await review.set("accepted")) && review.next()),
      one(["Shift+Enter"], "accept everything between the prompts around", () => review.set("accepted", app.between())),
      one(["X"], "reject the frame or the marked range", () => review.set("rejected")),
      one(["Z"], "not reviewed after all", () => review.set("unreviewed")),
    ] },
    { title: "Proposals", commands: [
      one(["Shift+P"], "propose objects on this frame", () => proposals.make()),
      one(["Y"], "accept the current proposal", () => proposals.acceptCurrent()),
      one(["Shift+Y"], "accept all", () => proposals.list.length && proposals.accept("all")),
      one(["Shift+X"], "dismiss the current proposal", () => proposals.dismissCurrent()),
      one(["Alt+P"], "segment everything here and track it both ways", () => app.automatic()),
    ] },
    { title: "View", commands: [
      one(["+", "="], "zoom in", () => stage.zoom(1.25), { repeats: true }),
      one(["-"], "zoom out", () => stage.zoom(0.8), { repeats: true }),
      one(["0"], "fit to the window", () => stage.fit()),
      one(["Shift+H"], "hide all masks, show them", () => app.toggleMasks()),
      one(["Shift+ArrowUp"], "brighter", () => brighten(1.1), { repeats: true }),
      one(["Shift+ArrowDown"], "darker", () => brighten(1 / 1.1), { repeats: true }),
    ] },
    { title: "Program", commands: [
      one(["Ctrl+E"], "export", () => openExport(app)),
      one(["Ctrl+I"], "import", () => openImport(app)),
      one(["Ctrl+,"], "settings", () => openSettings(app)),
      one(["?"], "these keys", () => app.keys.help()),
    ] },
  ];
}
