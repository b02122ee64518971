// Playing and stepping: which frame is wanted, and when the next one is due. Frames are never skipped.

export class Player {
  constructor(store, frames, annotation) {
    this.store = store;
    this.frames = frames;
    this.annotation = annotation;
    this.playing = 0; // -1 backwards, 1 forwards
    this.speed = 1;
    this.times = [];
    this.direction = 1;
  }

  open(times) {
    this.times = times;
    this.playing = 0;
  }

  /** The presentation time of a frame in seconds. */
  seconds(frame) {
    return this.times[frame] ?? frame / (this.store.video?.fps || 25);
  }

  go(frame) {
    const before = this.store.frame;
    this.store.setFrame(frame);
    if (this.store.frame !== before) this.direction = this.store.frame > before ? 1 : -1;
    this.fetch();
  }

  step(count) {
    this.pause();
    this.go(this.store.frame + count);
  }

  fetch() {
    if (!this.store.video) return;
    this.frames.want(this.store.frame, { direction: this.direction, playing: this.playing !== 0 });
    this.annotation.want(this.store.frame, this.direction);
  }

  toggle(direction = 1) {
    if (this.playing) this.pause();
    else this.play(direction);
  }

  play(direction) {
    const { video, frame } = this.store;
    if (!video || video.frames < 2) return;
    if (direction > 0 && frame === video.frames - 1) this.store.setFrame(0);
    this.playing = direction;
    this.direction = direction;
    this.due = performance.now();
    this.fetch();
    this.store.emit("playing");
    requestAnimationFrame((now) => this.tick(now));
  }

  pause() {
    if (!this.playing) return;
    this.playing = 0;
    this.store.emit("playing");
    this.fetch();
  }

  tick(now) {
    if (!this.playing) return;
    const frame = this.store.frame;
    const next = frame + this.playing;
    if (next < 0 || next >= this.store.video.frames) {
      this.pause();
      return;
    }
    const lasts = (1000 * Math.abs(this.seconds(next) - this.seconds(frame))) / this.speed;
    const known = this.frames.get(next) && this.annotation.isReady(next);
    if (now >= this.due + lasts && (known || this.frames.broken.has(next))) {
      this.due = Math.max(this.due + lasts, now - lasts); // late pictures delay, they are not caught up with
      this.store.setFrame(next);
      this.fetch();
    }
    requestAnimationFrame((later) => this.tick(later));
  }
}

/** Return seconds as m:ss.mmm, with hours where there are any. */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds * 1000));
  const [hours, minutes] = [Math.floor(whole / 3600000), Math.floor(whole / 60000) % 60];
  const rest = ((whole % 60000) / 1000).toFixed(3).padStart(6, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}
