// The outline of a mask: closed lines along the sides of its pixels. Pure functions.

const RIGHT = 0, DOWN = 1, LEFT = 2, UP = 3;
const STEP = [[1, 0], [0, 1], [-1, 0], [0, -1]];

/** Return the closed lines around a crop (see rle.js), in frame pixels: [[x, y, x, y, ...], ...], corners only. */
export function loops({ x: left, y: top, width, height, pixels }) {
  const edges = edgesOf(width, height, pixels);
  const columns = width + 1;
  const found = [];
  for (let start = 0; start < edges.length; start++) {
    while (edges[start]) found.push(follow(edges, start, columns, left, top));
  }
  return found;
}

/** For each corner between pixels, which edges leave it (a bit each); the inside is always on the right. */
function edgesOf(width, height, pixels) {
  const columns = width + 1;
  const edges = new Uint8Array(columns * (height + 1));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = y * width + x;
      if (!pixels[at]) continue;
      const corner = y * columns + x;
      if (y === 0 || !pixels[at - width]) edges[corner] |= 1 << RIGHT;
      if (x === width - 1 || !pixels[at + 1]) edges[corner + 1] |= 1 << DOWN;
      if (y === height - 1 || !pixels[at + width]) edges[corner + columns + 1] |= 1 << LEFT;
      if (x === 0 || !pixels[at - 1]) edges[corner + columns] |= 1 << UP;
    }
  }
  return edges;
}

/** Walk along edges, taking them away, until the line is closed. */
function follow(edges, start, columns, left, top) {
  const line = [];
  let at = start;
  let direction = [RIGHT, DOWN, LEFT, UP].find((one) => edges[start] & (1 << one));
  let before = -1;
  do {
    edges[at] &= ~(1 << direction);
    if (direction !== before) line.push(left + (at % columns), top + Math.floor(at / columns));
    before = direction;
    at += STEP[direction][0] + STEP[direction][1] * columns;
    const turns = [(direction + 1) % 4, direction, (direction + 3) % 4];
    direction = turns.find((one) => edges[at] & (1 << one));
  } while (direction !== undefined && at !== start);
  return line;
}

/** Return lines as a path to draw. */
export function pathOf(lines) {
  const path = new Path2D();
  for (const line of lines) {
    path.moveTo(line[0], line[1]);
    for (let n = 2; n < line.length; n += 2) path.lineTo(line[n], line[n + 1]);
    path.closePath();
  }
  return path;
}
