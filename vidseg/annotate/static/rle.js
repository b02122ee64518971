// COCO's compressed run lengths: column by column, beginning with a run of zeros. Pure functions.

/** Return the run lengths that a compressed string holds. */
export function runs(text) {
  const found = [];
  let at = 0;
  while (at < text.length) {
    let value = 0;
    let shift = 0;
    let more = true;
    while (more) {
      const code = text.charCodeAt(at++) - 48;
      value |= (code & 31) << shift;
      more = (code & 32) !== 0;
      shift += 5;
      if (!more && code & 16 && shift < 32) value |= -1 << shift;
    }
    if (found.length > 2) value += found[found.length - 2];
    found.push(value);
  }
  return found;
}

/**
 * Return the part of a mask inside its bounding box: {x, y, width, height, pixels}, pixels row by row, 1 inside.
 * An empty mask is 0 x 0.
 */
export function crop(rle) {
  const height = rle.size[0];
  const lengths = runs(rle.counts);
  let [left, right, top, bottom] = [Infinity, -1, Infinity, -1];
  eachOnRun(lengths, (start, stop) => {
    const [first, last] = [Math.floor(start / height), Math.floor((stop - 1) / height)];
    left = Math.min(left, first);
    right = Math.max(right, last);
    top = Math.min(top, first === last ? start - first * height : 0);
    bottom = Math.max(bottom, first === last ? stop - 1 - first * height : height - 1);
  });
  if (right < 0) return { x: 0, y: 0, width: 0, height: 0, pixels: new Uint8Array(0) };
  const width = right - left + 1;
  const pixels = new Uint8Array(width * (bottom - top + 1));
  eachOnRun(lengths, (start, stop) => {
    let column = Math.floor(start / height);
    let row = start - column * height;
    for (let at = start; at < stop; at++) {
      pixels[(row - top) * width + column - left] = 1;
      if (++row === height) {
        row = 0;
        column++;
      }
    }
  });
  return { x: left, y: top, width, height: bottom - top + 1, pixels };
}

function eachOnRun(lengths, visit) {
  let at = 0;
  lengths.forEach((length, n) => {
    if (n % 2 && length) visit(at, at + length);
    at += length;
  });
}

/** Whether a pixel of the frame is inside a crop. */
export function inside(part, x, y) {
  const [column, row] = [Math.floor(x) - part.x, Math.floor(y) - part.y];
  return column >= 0 && row >= 0 && column < part.width && row < part.height && part.pixels[row * part.width + column] === 1;
}
