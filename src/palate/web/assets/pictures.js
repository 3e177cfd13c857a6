// Two pictures in boxes of one size, zoomed and moved as one: by wheel, pinch, drag, keys and buttons.
//
// The view is a scale and a shift in shares of the box, the same for both, so that the same part of each
// picture stands in the same place whatever their sizes in pixels are.

const MOST = 8;
const STEP = 1.5;
const SHIFT = 0.15; // of the box, for a key
const MOVES = { pan_left: [1, 0], pan_right: [-1, 0], pan_up: [0, 1], pan_down: [0, -1] };

const within = (value, most) => Math.min(most, Math.max(-most, value));

export class Pictures {
  // boxes: the elements that hold one picture each; changed(scale) is called when the scale has changed.
  constructor(boxes, changed) {
    this.boxes = boxes;
    this.changed = changed;
    this.pointers = new Map();
    this.on = false;
    this.view = { scale: 1, x: 0, y: 0 };
    for (const box of boxes) this.listen(box);
  }

  get images() {
    return this.boxes.map((box) => box.querySelector("img.shown")).filter(Boolean);
  }

  // Called with each new pair. Resolves to whether both pictures can be seen.
  async show() {
    const images = this.images;
    this.on = images.length === this.boxes.length;
    this.pointers.clear();
    this.set(1, 0, 0);
    if (!images.length) return true;
    try {
      await Promise.all(images.map((image) => image.decode()));
      return true;
    } catch {
      return false;
    }
  }

  // Returns whether the action was one for pictures.
  act(action) {
    if (action === "zoom_in") this.zoom(STEP, 0, 0);
    else if (action === "zoom_out") this.zoom(1 / STEP, 0, 0);
    else if (action === "zoom_reset") this.set(1, 0, 0);
    else if (MOVES[action]) this.move(SHIFT * MOVES[action][0], SHIFT * MOVES[action][1]);
    else return false;
    return true;
  }

  // Zoom by a factor about a point, given from the middle of the box in shares of it.
  zoom(factor, px, py) {
    const { scale, x, y } = this.view;
    const wanted = Math.min(MOST, Math.max(1, scale * factor));
    this.set(wanted, px - (wanted / scale) * (px - x), py - (wanted / scale) * (py - y));
  }

  move(dx, dy) {
    this.set(this.view.scale, this.view.x + dx, this.view.y + dy);
  }

  set(scale, x, y) {
    if (!this.on && scale !== 1) return;
    const room = (scale - 1) / 2; // the edge of a picture never comes inside its box
    const before = this.view.scale;
    this.view = { scale, x: within(x, room), y: within(y, room) };
    for (const image of this.images) {
      image.style.transform = `translate(${100 * this.view.x}%, ${100 * this.view.y}%) scale(${scale})`;
    }
    for (const box of this.boxes) box.classList.toggle("zoomed", scale > 1);
    if (before !== scale) this.changed(scale);
  }

  at(box, event) {
    const area = box.getBoundingClientRect();
    return [(event.clientX - area.left) / area.width - 0.5, (event.clientY - area.top) / area.height - 0.5];
  }

  listen(box) {
    box.addEventListener("wheel", (event) => {
      // Where the page itself scrolls, the wheel is its own, unless Ctrl or a pinch says otherwise.
      const scrolls = document.documentElement.scrollHeight > innerHeight + 1;
      if (!this.on || (scrolls && !event.ctrlKey && this.view.scale === 1)) return;
      event.preventDefault();
      const lines = event.deltaMode ? 16 : 1;
      this.zoom(Math.exp(-within(event.deltaY * lines, 240) * (event.ctrlKey ? 0.01 : 0.002)), ...this.at(box, event));
    }, { passive: false });
    box.addEventListener("dblclick", (event) => {
      if (this.on) this.zoom(this.view.scale > 1 ? 0 : 3, ...this.at(box, event));
    });
    box.addEventListener("pointerdown", (event) => {
      if (!this.on || event.button) return;
      this.pointers.set(event.pointerId, { box, point: this.at(box, event) });
      if (this.view.scale > 1 || this.pointers.size > 1) box.setPointerCapture(event.pointerId);
    });
    box.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) {
      box.addEventListener(name, (event) => this.pointers.delete(event.pointerId));
    }
  }

  drag(event) {
    const held = this.pointers.get(event.pointerId);
    if (!held) return;
    const [before, now] = [held.point, this.at(held.box, event)];
    const other = [...this.pointers.values()].find((pointer) => pointer !== held && pointer.box === held.box);
    held.point = now;
    if (other) {
      const far = (point) => Math.hypot(point[0] - other.point[0], point[1] - other.point[1]) || 1e-6;
      this.zoom(far(now) / far(before), (now[0] + other.point[0]) / 2, (now[1] + other.point[1]) / 2);
    }
    // With two fingers the middle between them moves by half.
    const share = other ? 0.5 : 1;
    this.move(share * (now[0] - before[0]), share * (now[1] - before[1]));
  }
}
