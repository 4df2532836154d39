// Where one looks on a canvas: scale and offset, moved by pointer, wheel, two fingers and keys.

const STEP = 1.35;

export class Viewport {
  /** `onChange()` is called when one looks elsewhere; `onTap(x, y)` when something is pointed at, in pixels. */
  constructor(canvas, { onChange, onTap, onHover }) {
    Object.assign(this, { canvas, onChange, onTap, onHover });
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.width = 1;
    this.height = 1;
    this.least = 0.0001;
    this.most = 3;
    this.pointers = new Map();
    this.#listen();
  }

  /** Size the canvas to its element; return whether that changed it. */
  resize() {
    const ratio = Math.min(devicePixelRatio || 1, 2.5);
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (width === this.width && height === this.height && ratio === this.ratio) return false;
    Object.assign(this, { width, height, ratio });
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    return true;
  }

  /** Look at a part of the world: a box `{x, y, width, height}`, with some room around it. */
  fit(box, { most = 1, room = 24 } = {}) {
    const across = (this.width - 2 * room) / Math.max(box.width, 1);
    const down = (this.height - 2 * room) / Math.max(box.height, 1);
    this.scale = Math.min(most, Math.max(this.least, Math.min(across, down)));
    this.x = box.x + box.width / 2 - this.width / 2 / this.scale;
    this.y = box.y + box.height / 2 - this.height / 2 / this.scale;
    this.onChange();
  }

  /** Zoom about a point of the canvas, its middle where none is given. */
  zoom(factor, atX = this.width / 2, atY = this.height / 2) {
    const scale = Math.min(this.most, Math.max(this.least, this.scale * factor));
    this.x += atX / this.scale - atX / scale;
    this.y += atY / this.scale - atY / scale;
    this.scale = scale;
    this.onChange();
  }

  zoomIn() {
    this.zoom(STEP);
  }

  zoomOut() {
    this.zoom(1 / STEP);
  }

  pan(dx, dy) {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.onChange();
  }

  /** Have a box of the world in view, moved no more than needed. */
  show(box, room = 40) {
    const pad = room / this.scale;
    const seenWidth = this.width / this.scale;
    const seenHeight = this.height / this.scale;
    if (box.x - pad < this.x) this.x = box.x - pad;
    else if (box.x + box.width + pad > this.x + seenWidth) this.x = box.x + box.width + pad - seenWidth;
    if (box.y - pad < this.y) this.y = box.y - pad;
    else if (box.y + box.height + pad > this.y + seenHeight) this.y = box.y + box.height + pad - seenHeight;
    this.onChange();
  }

  toWorld(x, y) {
    return [this.x + x / this.scale, this.y + y / this.scale];
  }

  #listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => this.#up(event));
    canvas.addEventListener("pointerleave", () => this.onHover?.(null));
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #down(event) {
    if (event.button > 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.#at(event));
    if (this.pointers.size === 1) this.moved = 0;
  }

  #move(event) {
    const now = this.#at(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.onHover?.(now);
      return;
    }
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.pointers.set(event.pointerId, now);
    if (other) this.#pinch(before, now, other);
    const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
    this.moved += Math.abs(dx) + Math.abs(dy);
    if (this.moved > 4) this.pan(other ? dx / 2 : dx, other ? dy / 2 : dy);
  }

  #pinch(before, now, other) {
    const spread = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
    const factor = spread(now) / Math.max(spread(before), 1);
    this.zoom(factor, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    this.moved += 10;
  }

  #up(event) {
    const at = this.pointers.get(event.pointerId);
    this.pointers.delete(event.pointerId);
    if (at && this.moved <= 4 && event.type === "pointerup") this.onTap?.(...at);
  }

  /** A wheel zooms where the canvas has the focus, or with the control key; else the page goes on scrolling. */
  #wheel(event) {
    const hasFocus = document.activeElement === this.canvas || this.canvas.parentElement.contains(document.activeElement);
    if (!event.ctrlKey && !event.metaKey && !hasFocus) return;
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    if (event.shiftKey) this.pan(-event.deltaY * unit, 0);
    else this.zoom(Math.exp(-event.deltaY * unit * (event.ctrlKey ? 0.008 : 0.0022)), ...this.#at(event));
  }
}
