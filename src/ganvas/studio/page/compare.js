// A picture and what a model makes of it in one view, so that zooming cannot drift between them.
import OpenSeadragon from './vendor/openseadragon.js';
import {count, get} from './api.js';
import {openMask} from './mask.js';

const BLINK_MS = 800, KEPT_CROPS = 4, LENS_SIDES = 48;
const OPTIONS = {
  showNavigationControl: false, animationTime: 0.3, maxZoomPixelRatio: 8, gestureSettingsMouse: {clickToZoom: false},
  imageSmoothingEnabled: true, crossOriginPolicy: 'Anonymous', drawer: 'canvas', preserveImageSizeOnResize: false,
};

// Resolves once the picture is open: whoever holds a pair can use all of it, until it is closed. `on.moved` is called
// when the view came to rest, `on.divided` when the divider was dragged, `on.blinked` when the other side is shown.
// Rejects with the signal's reason where that gives up first.
export async function openPair(place, id, signal, on) {
  count(1);
  try {
    const source = await tiles(id);
    signal.throwIfAborted();
    return new Pair(place, id, await openPane(place, source, signal), on);
  } finally {
    count(-1);
  }
}

async function tiles(id) {
  const info = await get(`pictures/${id}`), levels = info.levels.length;
  return {
    width: info.width, height: info.height, tileSize: info.tile_px, tileOverlap: info.overlap_px, minLevel: 0, maxLevel: levels - 1,
    getTileUrl: (level, x, y) => `/api/pictures/${id}/tiles/${levels - 1 - level}/${x}_${y}`,
  };
}

// A viewer with a picture, and what else lies on it.
async function openPane(place, source, signal) {
  const element = document.createElement('div');
  element.className = 'half';
  place.append(element);
  const viewer = new OpenSeadragon.Viewer({...OPTIONS, element});
  const pane = {viewer, element, low: null, high: null, close: () => { viewer.destroy(); element.remove(); }};
  try {
    pane.low = await add(viewer, source, 0, signal);
    viewer.drawer.canvas.setAttribute('role', 'presentation');
    viewer.canvas.setAttribute('role', 'application');  // it has keys of its own
    viewer.canvas.setAttribute('aria-label', 'The picture: arrow keys pan, plus and minus zoom');
    return pane;
  } catch (error) {
    pane.close();
    throw error;
  }
}

function add(viewer, tileSource, index, signal) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    signal.addEventListener('abort', () => reject(signal.reason), {once: true});
    viewer.addTiledImage({tileSource, index, x: 0, y: 0, width: 1,
      success: ({item}) => { if (signal.aborted) viewer.world?.removeItem(item); else resolve(item); },
      error: event => reject(new Error(event.message))});
  });
}

class Pair {
  #place; #id; #on; #main; #second = null; #crops = []; #closed = new AbortController(); #result = new AbortController();
  #side = new AbortController(); #resultId = null; #mask = null; #handle; #loupe; #timer = 0; #showsAfter = true; #view = 'slider';

  constructor(place, id, main, on) {
    Object.assign(this, {divider: 0.5, lens: {x: 0.5, y: 0.5, size: 0.3}, brushShare: 0.08, erases: false});
    this.#place = place;
    this.#id = id;
    this.#main = main;
    this.#on = on;
    for (const kind of ['viewport-change', 'update-viewport', 'resize']) main.viewer.addHandler(kind, () => this.clip());
    main.viewer.addHandler('animation-finish', () => { if (this.isOpen) on.moved(); });
    this.#handle = this.#grip('handle');
    this.#loupe = document.createElement('div');
    this.#loupe.className = 'loupe';
    place.append(this.#handle, this.#loupe);
    place.addEventListener('pointermove', event => this.#lead(event), {signal: this.#closed.signal});
    place.addEventListener('pointerdown', event => this.#lead(event), {signal: this.#closed.signal});
  }

  get isOpen() { return !this.#closed.signal.aborted; }
  get hasResult() { return this.#main.high !== null; }
  get view() { return this.#view; }

  close() {
    if (!this.isOpen) return;
    for (const each of [this.#closed, this.#result, this.#side]) each.abort();
    clearInterval(this.#timer);
    this.#second?.close();
    this.#main.close();
    this.#place.classList.remove('beside');
    this.#handle.remove();
    this.#loupe.remove();
  }

  // What is shown whole, and how

  // Shows a whole picture over the first, or none. A newer call wins, whichever is answered first.
  async showResult(id) {
    this.#result.abort();
    if (!this.isOpen) return;
    const {signal} = this.#result = new AbortController();
    for (const pane of this.#panes()) {
      if (pane.high) { pane.viewer.world.removeItem(pane.high); pane.high = null; }
    }
    this.#resultId = id;
    if (id === null) return;
    try {
      const source = await tiles(id);
      for (const pane of this.#panes()) pane.high = await add(pane.viewer, source, 1, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      return;
    }
    this.dropCrops('after');
    this.clip();
  }

  // slider, lens, side or blink; the last shows one after the other, or as `blinks` says: both, before or after.
  async show(view, blinks = 'both') {
    clearInterval(this.#timer);
    if (!this.isOpen) return;
    this.#view = view;
    this.#showsAfter = blinks !== 'before';
    if (view === 'blink' && blinks === 'both') {
      this.#timer = setInterval(() => { this.#showsAfter = !this.#showsAfter; this.clip(); this.#on.blinked(this.#showsAfter); }, BLINK_MS);
    }
    if (view === 'side') await this.#openSecond(); else this.#closeSecond();
    this.clip();
  }

  async #openSecond() {
    if (this.#second) return;
    const {signal} = this.#side = new AbortController();
    this.#place.classList.add('beside');
    try {
      const pane = await openPane(this.#place, await tiles(this.#id), signal);
      this.#second = pane;
      this.#tie(this.#main, pane);
      this.#tie(pane, this.#main);
      pane.viewer.viewport.fitBounds(this.#main.viewer.viewport.getBounds(true), true);
      if (this.#resultId !== null && this.#main.high) pane.high = await add(pane.viewer, await tiles(this.#resultId), 1, signal);
      for (const crop of this.#crops) this.#lay(crop);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  #closeSecond() {
    this.#side.abort();
    const pane = this.#second;
    if (!pane) { this.#place.classList.remove('beside'); return; }
    this.#second = null;
    for (const crop of this.#crops) if (crop.pane === pane) { pane.viewer.removeOverlay(crop.canvas); this.#lay(crop); }
    pane.close();
    this.#place.classList.remove('beside');
  }

  // Whoever is touched leads, and the other shows the same part.
  #tie(leader, follower) {
    const leads = () => { this.leader = leader; };
    for (const kind of ['pointerdown', 'pointerenter', 'wheel', 'focusin']) leader.element.addEventListener(kind, leads);
    leader.viewer.addHandler('viewport-change', () => {
      if (this.#second && (this.leader ?? this.#main) === leader) follower.viewer.viewport.fitBounds(leader.viewer.viewport.getBounds(true), true);
    });
  }

  #panes() { return this.#second ? [this.#main, this.#second] : [this.#main]; }

  // Parts that are upscaled live

  // The part of the picture around the middle of the view, at most so many pixels wide and high.
  middle(side) {
    const {low, viewer} = this.#main, size = low.getContentSize();
    const seen = low.viewportToImageRectangle(viewer.viewport.getBounds(true));
    const span = (start, length, whole) => {
      const from = Math.max(0, Math.floor(start)), to = Math.min(whole, Math.ceil(start + length));
      const centre = from < to ? (from + to) / 2 : Math.max(0, Math.min(whole, start + length / 2));
      const wide = Math.max(1, Math.min(side, from < to ? to - from : side, whole));
      return [Math.round(Math.max(0, Math.min(whole - wide, centre - wide / 2))), wide];
    };
    const [left, width] = span(seen.x, seen.width, size.x), [top, height] = span(seen.y, seen.height, size.y);
    return {left, top, width, height};
  }

  // Lays a part over the picture, before or after; parts of another look, such as another model's, go.
  showCrop(image, {left, top, width, height}, side, look) {
    if (!this.isOpen || side === 'after' && this.hasResult) return;
    const part = {left, top, width, height}, stays = crop => crop.side !== side || crop.look === look && !isInside(crop.part, part);
    for (const crop of this.#crops.filter(crop => !stays(crop))) this.#take(crop);
    const mine = this.#crops.filter(crop => crop.side === side);
    for (const crop of mine.slice(0, Math.max(0, mine.length + 1 - KEPT_CROPS))) this.#take(crop);
    const canvas = document.createElement('canvas');
    Object.assign(canvas, {width: image.width, height: image.height, className: 'live'});
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', side === 'after' ? 'The middle of the view, upscaled' : 'The middle of the view, for comparison');
    canvas.getContext('2d').putImageData(image, 0, 0);
    const crop = {canvas, side, look, part, scale: image.width / width, box: this.#main.low.imageToViewportRectangle(left, top, width, height), pane: null};
    this.#crops.push(crop);
    this.#lay(crop);
    this.clip();
  }

  // Tells whether a part of this look lies there already.
  covers(part, side, look) { return this.#crops.some(crop => crop.side === side && crop.look === look && isInside(part, crop.part)); }

  dropCrops(side) {
    if (this.isOpen) for (const crop of this.#crops.filter(each => each.side === side)) this.#take(crop);
  }

  #lay(crop) {
    crop.pane = crop.side === 'after' && this.#second ? this.#second : this.#main;
    if (crop.pane === this.#second) this.#main.viewer.removeOverlay(crop.canvas);
    place(crop.pane.viewer, crop.canvas, crop.box);
  }
  #take(crop) {
    crop.pane.viewer.removeOverlay(crop.canvas);
    this.#crops = this.#crops.filter(each => each !== crop);
  }

  // Brushing a mask: white where it was brushed, laid over the whole picture; `brushed` is called with a picture of it.
  brush(on, brushed) {
    if (!this.isOpen) return;
    const {viewer, low} = this.#main, size = low.getContentSize();
    if (!this.#mask) {
      this.#mask = openMask(size.x, size.y, this, viewer);
      place(viewer, this.#mask, low.imageToViewportRectangle(0, 0, size.x, size.y));
    }
    Object.assign(this.#mask.style, {pointerEvents: on ? 'auto' : 'none', opacity: on ? 0.45 : 0});
    viewer.setMouseNavEnabled(!on);
    this.#handle.style.pointerEvents = on ? 'none' : 'auto';
    this.#mask.onstroke = brushed;
  }

  clearMask() {
    if (this.isOpen && this.#mask) this.#mask.getContext('2d').clearRect(0, 0, this.#mask.width, this.#mask.height);
  }

  // The view

  fit() { if (this.isOpen) this.#main.viewer.viewport.goHome(); }

  // A pixel of the result, whole or live, on a pixel of the screen; of the picture where there is none.
  showPixels() {
    if (!this.isOpen) return;
    const {low, high, viewer} = this.#main, live = this.#crops.find(crop => crop.side === 'after');
    const scale = high ? high.getContentSize().x / low.getContentSize().x : live?.scale ?? 1;
    viewer.viewport.zoomTo(low.imageToViewportZoom(scale));
  }

  #grip(name) {
    const grip = document.createElement('div');
    grip.className = name;
    grip.setAttribute('aria-hidden', 'true');  // the range input does the same by keys
    grip.onpointerdown = event => { grip.setPointerCapture(event.pointerId); event.preventDefault(); };
    grip.onpointermove = event => {
      if (!grip.hasPointerCapture(event.pointerId)) return;
      const box = this.#place.getBoundingClientRect();
      this.divider = Math.max(0, Math.min(1, (event.clientX - box.left) / box.width));
      this.clip();
      this.#on.divided(this.divider);
    };
    return grip;
  }

  #lead(event) {
    if (this.#view !== 'lens') return;
    const box = this.#place.getBoundingClientRect();
    Object.assign(this.lens, {x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height});
    this.clip();
  }

  // Shows of each side the part that the view wants.
  clip() {
    if (!this.isOpen) return;
    const {viewer, low, high} = this.#main, {viewport} = viewer, box = viewport.getContainerSize(), view = this.#view;
    const at = this.divider * box.x, lens = {x: this.lens.x * box.x, y: this.lens.y * box.y, radius: this.lens.size * Math.min(box.x, box.y) / 2};
    this.#handle.hidden = view !== 'slider';
    this.#handle.style.left = `${this.divider * 100}%`;
    this.#loupe.hidden = view !== 'lens';
    Object.assign(this.#loupe.style, {left: `${lens.x - lens.radius}px`, top: `${lens.y - lens.radius}px`, width: `${2 * lens.radius}px`, height: `${2 * lens.radius}px`});
    if (high) {
      const size = high.getContentSize();
      const pixel = (x, y) => high.viewportToImageCoordinates(viewport.pointFromPixel(new OpenSeadragon.Point(x, y), true));
      const left = Math.max(0, Math.min(size.x, pixel(at, 0).x));
      const cut = view === 'slider' ? new OpenSeadragon.Rect(left, 0, size.x - left, size.y) : null;
      const round = view !== 'lens' ? null : Array.from({length: LENS_SIDES}, (_, number) => {
        const angle = number / LENS_SIDES * 2 * Math.PI;
        return pixel(lens.x + lens.radius * Math.cos(angle), lens.y + lens.radius * Math.sin(angle));
      });
      const opacity = view === 'side' || view === 'blink' && !this.#showsAfter ? 0 : 1;
      // What is set draws anew, and what is drawn comes here: only what changed is set.
      const wanted = JSON.stringify([cut, round, opacity]);
      if (wanted !== high.wanted) {
        high.wanted = wanted;
        high.setClip(cut);
        if (round) high.setCroppingPolygons([round]); else high.resetCroppingPolygons();
        high.setOpacity(opacity);
      }
    }
    this.#place.dataset.sharp = String([low, high].every(each => !each || each.getFullyLoaded()));  // no tile is waited for
    for (const {canvas, side, box: part} of this.#crops) {
      const {x, y, width} = viewport.viewportToViewerElementRectangle(part), isAfter = side === 'after';
      const cut = Math.max(0, Math.min(width, at - x)), circle = `${lens.x - x}px ${lens.y - y}px`;
      const {style} = canvas;
      style.clipPath = view === 'slider' ? isAfter ? `inset(-2px -2px -2px ${cut}px)` : `inset(-2px ${width - cut}px -2px -2px)`
        : view === 'lens' && isAfter ? `circle(${lens.radius}px at ${circle})` : 'none';
      style.maskImage = view === 'lens' && !isAfter ? `radial-gradient(circle at ${circle}, transparent ${lens.radius}px, #000 ${lens.radius}px)` : 'none';
      style.visibility = view === 'blink' && isAfter !== this.#showsAfter ? 'hidden' : 'visible';
    }
  }
}

const isInside = (one, other) => one.left >= other.left && one.top >= other.top
  && one.left + one.width <= other.left + other.width && one.top + one.height <= other.top + other.height;

// Adds an overlay where it belongs at once: the viewer itself would do so with its next frame.
function place(viewer, element, location) {
  viewer.addOverlay({element, location});
  viewer.getOverlayById(element)?.drawHTML(viewer.overlaysContainer, viewer.viewport);
}
