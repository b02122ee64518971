// What prompts look like: clicks, boxes, strokes and polygons of the selected object. In frame pixels.

/** Draw the prompts of a frame; sizes are those of the screen. */
export function drawPrompts(context, scale, prompts, colour) {
  for (const prompt of prompts) {
    if (prompt.kind === "box") drawBox(context, scale, prompt.box, colour);
    if (prompt.kind === "click") drawClick(context, scale, prompt);
  }
}

/** A dot with a sign in it: told apart by sign and shape, not by colour alone. */
export function drawClick(context, scale, { x, y, on }, { waiting = false } = {}) {
  const radius = 7 / scale;
  context.beginPath();
  if (on) context.arc(x, y, radius, 0, 2 * Math.PI);
  else context.rect(x - radius * 0.9, y - radius * 0.9, radius * 1.8, radius * 1.8);
  context.fillStyle = on ? "#ffffff" : "#16181d";
  context.globalAlpha = waiting ? 0.6 : 0.95;
  context.fill();
  context.lineWidth = 1.6 / scale;
  context.strokeStyle = on ? "#16181d" : "#ffffff";
  context.stroke();
  context.beginPath();
  const arm = 3.6 / scale;
  context.moveTo(x - arm, y);
  context.lineTo(x + arm, y);
  if (on) {
    context.moveTo(x, y - arm);
    context.lineTo(x, y + arm);
  }
  context.lineWidth = 1.8 / scale;
  context.stroke();
  context.globalAlpha = 1;
}

export function drawBox(context, scale, [x1, y1, x2, y2], colour) {
  context.lineWidth = 3 / scale;
  context.strokeStyle = "rgba(0, 0, 0, 0.6)";
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
  context.lineWidth = 1.4 / scale;
  context.strokeStyle = colour;
  context.strokeRect(x1, y1, x2 - x1, y2 - y1);
}

/** A brush stroke that has not been answered yet. */
export function drawStroke(context, { points, radius, mode }, colour) {
  context.lineWidth = 2 * radius;
  context.lineCap = context.lineJoin = "round";
  context.globalAlpha = 0.55;
  context.strokeStyle = mode === "erase" ? "#0b0c0e" : colour;
  context.beginPath();
  context.moveTo(points[0][0], points[0][1]);
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
  context.globalAlpha = 1;
}

/** The ring of a brush under the pointer. */
export function drawRing(context, scale, { x, y }, radius, mode) {
  for (const [width, style] of [[3, "rgba(0, 0, 0, 0.55)"], [1.2, "#ffffff"]]) {
    context.lineWidth = width / scale;
    context.strokeStyle = style;
    context.setLineDash(mode === "erase" ? [4 / scale, 3 / scale] : []);
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }
}

/** A polygon in the making, with the pointer as its next corner. */
export function drawPolygon(context, scale, points, next, mode) {
  const corners = next ? [...points, [next.x, next.y]] : points;
  context.beginPath();
  corners.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
  context.fillStyle = mode === "erase" ? "rgba(0, 0, 0, 0.35)" : "rgba(255, 255, 255, 0.18)";
  context.fill();
  context.lineWidth = 3 / scale;
  context.strokeStyle = "rgba(0, 0, 0, 0.55)";
  context.stroke();
  context.lineWidth = 1.3 / scale;
  context.strokeStyle = "#ffffff";
  context.stroke();
  for (const [x, y] of points) {
    const side = 3.5 / scale;
    context.fillStyle = "#ffffff";
    context.fillRect(x - side, y - side, 2 * side, 2 * side);
  }
}
