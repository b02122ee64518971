// The strip of small pictures above the timeline: fetched once each, when the timeline rests.

const REST = 120; // milliseconds without zooming or moving
const MAX_KEPT = 400;

export class Thumbnails {
  /** `onready()` when a picture has arrived. */
  constructor(onready) {
    this.onready = onready;
    this.open(null);
  }

  open(video) {
    this.video = video;
    this.kept = new Map(); // frame -> Image
  }

  /** Draw the strip of a timeline. */
  draw(context, view) {
    const [height, width] = this.video.size;
    const tall = view.strip - 4;
    const wide = Math.max(12, Math.round((tall * width) / height));
    const resting = performance.now() - view.moved > REST;
    for (let x = view.gutter; x < Math.min(view.width, view.x(this.video.frames)); x += wide + 1) {
      const image = this.get(view.frameAt(x + wide / 2), { fetch: resting, height: tall * view.ratio > 80 ? 120 : 72 });
      const room = Math.min(wide, view.width - x);
      if (image) context.drawImage(image, 0, 0, (image.naturalWidth * room) / wide, image.naturalHeight, x, 2, room, tall);
      else {
        context.fillStyle = "#191c22";
        context.fillRect(x, 2, room, tall);
      }
    }
  }

  get(frame, { fetch, height }) {
    const known = this.kept.get(frame);
    if (known) return known.complete && known.naturalWidth ? known : null;
    const { id, fingerprint, status } = this.video;
    if (status !== "ok" || !fetch) return null;
    const image = new Image();
    image.onload = this.onready;
    image.src = `/api/videos/${id}/thumbnails/${frame}?height=${height}&v=${encodeURIComponent(fingerprint)}`;
    this.kept.set(frame, image);
    if (this.kept.size > MAX_KEPT) this.kept.delete(this.kept.keys().next().value);
    return null;
  }
}
