// How one lane of the timeline is drawn: confidence, presence, review, doubt and marks, a column of pixels at a time.

import { ACCEPTED, EDITED, IMPORTED, REJECTED } from "./lanes.js";

const LOWEST = 40; // percent of confidence at the foot of a lane: what is below is bad enough
const INK = { faint: "#7d8594", accepted: "#3fd0a8", rejected: "#ff8f5a", stale: "#0d0e11" };

/**
 * Draw an object's lane at `y`, `tall` pixels high; `view` is the timeline. One column of pixels at a time, however many
 * frames it stands for: the worst of them is what shows.
 */
export function drawColumns(context, lane, colour, view, y, tall) {
  const frames = lane.confidence.length;
  const right = Math.min(view.width, view.x(frames));
  const wide = Math.max(1, view.perFrame - (view.perFrame > 6 ? 1 : 0));
  const strip = Math.max(2, Math.round(tall * 0.14));
  const marks = [];
  let next = -1;
  for (let x = view.gutter; x < right; x += Math.max(1, view.perFrame)) {
    const first = Math.max(next, Math.floor(view.from + (x - view.gutter) / view.perFrame + 1e-6));
    const last = Math.max(first + 1, Math.min(frames, Math.floor(view.from + (x + 1 - view.gutter) / view.perFrame)));
    if (first >= frames) break;
    const found = summary(lane, first, last);
    next = last;
    const left = view.perFrame >= 1 ? view.x(first) : x;
    const cut = Math.max(0, view.gutter - left);
    if (found.confidence >= 0) drawColumn(context, found, colour, left + cut, y, Math.max(0, wide - cut), tall, strip);
    if (found.mark) marks.push([view.perFrame >= 1 ? view.x(first) + view.perFrame / 2 : x, found.mark]);
  }
  for (const [x, mark] of marks) drawMark(context, x, y + tall / 2, mark, Math.min(5, tall * 0.2));
}

function drawColumn(context, found, colour, x, y, wide, tall, strip) {
  const room = tall - strip - 1;
  if (found.visible) {
    context.globalAlpha = 0.26;
    context.fillStyle = colour;
    context.fillRect(x, y, wide, room);
    const high = Math.max(1, (room * (found.confidence - LOWEST)) / (100 - LOWEST));
    context.globalAlpha = 0.78;
    context.fillRect(x, y + room - high, wide, high);
    context.globalAlpha = 1;
  } else {
    context.fillStyle = INK.faint;
    context.globalAlpha = 0.5;
    context.fillRect(x, y + room - 1, wide, 1);
    context.globalAlpha = 1;
  }
  if (found.stale) {
    context.fillStyle = INK.stale;
    context.globalAlpha = 0.6;
    for (let row = (Math.round(x) % 4) - 4; row < room; row += 4) {
      const from = Math.max(0, row);
      context.fillRect(x, y + from, wide, Math.max(0, Math.min(row + 2, room) - from));
    }
    context.globalAlpha = 1;
  }
  if (found.suspicion > 45) {
    context.fillStyle = "#ffffff";
    context.globalAlpha = Math.min(1, found.suspicion / 90);
    context.fillRect(x, y, Math.max(wide, 1.5), strip);
    context.globalAlpha = 1;
  }
  if (found.state === ACCEPTED) {
    context.fillStyle = INK.accepted;
    context.fillRect(x, y + tall - strip, wide + 0.5, strip);
  } else if (found.state === REJECTED) {
    context.fillStyle = INK.rejected;
    context.fillRect(x, y + tall - 2 * strip, Math.max(1, wide * 0.6), 2 * strip);
  }
}

/** What several frames of a lane show together: the least confidence, the greatest suspicion, any mark. */
function summary(lane, first, last) {
  const found = { confidence: -1, suspicion: -1, visible: 0, stale: 0, state: ACCEPTED, mark: 0 };
  for (let frame = first; frame < last; frame++) {
    const confidence = lane.confidence[frame];
    if (lane.mark[frame]) found.mark = Math.max(found.mark, lane.mark[frame]);
    if (confidence < 0) continue;
    if (found.confidence < 0 || confidence < found.confidence) found.confidence = confidence;
    found.suspicion = Math.max(found.suspicion, lane.suspicion[frame]);
    found.visible |= lane.visible[frame];
    found.stale |= lane.stale[frame];
    if (lane.state[frame] !== ACCEPTED && found.state !== REJECTED) found.state = lane.state[frame];
  }
  if (found.confidence < 0) found.state = 0;
  return found;
}

/** Prompted: a diamond, edited: a square, imported: a triangle. */
function drawMark(context, x, y, mark, size) {
  context.beginPath();
  if (mark === EDITED) context.rect(x - size * 0.85, y - size * 0.85, size * 1.7, size * 1.7);
  else if (mark === IMPORTED) {
    context.moveTo(x - size, y + size);
    context.lineTo(x + size, y + size);
    context.lineTo(x, y - size);
  } else {
    context.moveTo(x, y - size * 1.2);
    context.lineTo(x + size * 1.2, y);
    context.lineTo(x, y + size * 1.2);
    context.lineTo(x - size * 1.2, y);
  }
  context.closePath();
  context.fillStyle = "#ffffff";
  context.strokeStyle = "#0b0c0e";
  context.lineWidth = 1.6;
  context.stroke();
  context.fill();
}
