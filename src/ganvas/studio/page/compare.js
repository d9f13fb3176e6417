// A picture and what a model makes of it in one view, so that zooming cannot drift between them.
import OpenSeadragon from './vendor/openseadragon.js';
import {get} from './api.js';

const MASK_PX = 1024;
const OPTIONS = {
  showNavigationControl: false, animationTime: 0.3, maxZoomPixelRatio: 8, gestureSettingsMouse: {clickToZoom: false},
  imageSmoothingEnabled: true, crossOriginPolicy: 'Anonymous', drawer: 'canvas',
};

// Resolves once the picture is open: whoever holds a pair can use all of it, until it is closed.
// Rejects with the signal's reason where that gives up first.
export async function openPair(place, id, signal, moved) {
  const tileSource = await tiles(id);
  signal.throwIfAborted();
  const element = document.createElement('div');
  element.style.height = '100%';
  place.append(element);
  const viewer = new OpenSeadragon.Viewer({...OPTIONS, element});
  const close = () => { viewer.destroy(); element.remove(); };
  try {
    return new Pair(viewer, await add(viewer, tileSource, 0, signal), close, moved);
  } catch (error) {
    close();
    throw error;
  }
}

async function tiles(id) {
  const info = await get(`pictures/${id}`);
  const levels = info.levels.length;
  return {
    width: info.width, height: info.height, tileSize: info.tile_px, minLevel: 0, maxLevel: levels - 1,
    getTileUrl: (level, x, y) => `/api/pictures/${id}/tiles/${levels - 1 - level}/${x}_${y}`,
  };
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
  #viewer; #low; #high = null; #crop = null; #close; #closed = new AbortController(); #result = new AbortController(); #mask = null;

  constructor(viewer, low, close, moved) {
    this.#viewer = viewer;
    this.#low = low;
    this.#close = close;
    this.divider = 0.5;
    this.view = 'slider';
    this.brushShare = 0.08;
    this.erases = false;
    viewer.addHandler('update-viewport', () => this.clip());
    viewer.addHandler('animation-finish', () => { if (this.isOpen) moved(); });
  }

  get isOpen() { return !this.#closed.signal.aborted; }
  get hasResult() { return this.#high !== null; }

  close() {
    if (!this.isOpen) return;
    this.#closed.abort();
    this.#result.abort();
    this.#close();
  }

  // Shows a whole picture over the first, or none. A newer call wins, whichever is answered first.
  async showResult(id) {
    this.#result.abort();
    if (!this.isOpen) return;
    const {signal} = this.#result = new AbortController();
    if (this.#high) { this.#viewer.world.removeItem(this.#high); this.#high = null; }
    if (id === null) return;
    const tileSource = await tiles(id);
    if (signal.aborted) return;
    try {
      this.#high = await add(this.#viewer, tileSource, 1, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
      return;
    }
    this.hideCrop();
    this.clip();
  }

  // The part of the picture around the middle of the view, at most so many pixels wide and high.
  middle(side) {
    const size = this.#low.getContentSize();
    const centre = this.#low.viewportToImageCoordinates(this.#viewer.viewport.getCenter(true));
    const width = Math.min(side, size.x), height = Math.min(side, size.y);
    const start = (middle, length, whole) => Math.round(Math.max(0, Math.min(whole - length, middle - length / 2)));
    return {left: start(centre.x, width, size.x), top: start(centre.y, height, size.y), width, height};
  }

  showCrop(image, {left, top, width, height}) {
    if (!this.isOpen || this.#high) return;
    this.hideCrop();
    const canvas = document.createElement('canvas');
    canvas.width = image.width;
    canvas.height = image.height;
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', 'The middle of the view, upscaled');
    canvas.getContext('2d').putImageData(image, 0, 0);
    const box = this.#low.imageToViewportRectangle(left, top, width, height);
    this.#viewer.addOverlay({element: canvas, location: box});
    this.#crop = {canvas, box, scale: image.width / width};
    this.clip();
  }

  hideCrop() {
    if (!this.isOpen || !this.#crop) return;
    this.#viewer.removeOverlay(this.#crop.canvas);
    this.#crop = null;
  }

  // Brushing a mask: white where it was brushed, at most so many pixels long, laid over the whole picture.
  // `brushed` is called with a picture of it, white on black, after each stroke.
  brush(on, brushed) {
    if (!this.isOpen) return;
    this.#mask ??= this.#maskCanvas();
    Object.assign(this.#mask.style, {pointerEvents: on ? 'auto' : 'none', opacity: on ? 0.45 : 0});
    this.#viewer.setMouseNavEnabled(!on);
    this.#mask.onstroke = brushed;
  }

  clearMask() {
    if (this.isOpen && this.#mask) this.#mask.getContext('2d').clearRect(0, 0, this.#mask.width, this.#mask.height);
  }

  #maskCanvas() {
    const size = this.#low.getContentSize(), scale = Math.min(1, MASK_PX / Math.max(size.x, size.y));
    const canvas = document.createElement('canvas');
    Object.assign(canvas, {width: Math.max(1, Math.round(size.x * scale)), height: Math.max(1, Math.round(size.y * scale)), id: 'mask'});
    canvas.style.cssText = 'cursor:crosshair;touch-action:none';
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', 'Mask: brush where the second model is to count');
    const context = canvas.getContext('2d');
    let last = null;
    const at = event => {
      const box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width * canvas.width, (event.clientY - box.top) / box.height * canvas.height];
    };
    const draw = point => {
      context.globalCompositeOperation = this.erases ? 'destination-out' : 'source-over';
      context.strokeStyle = '#fff';
      context.lineCap = 'round';
      context.lineWidth = this.brushShare * Math.max(canvas.width, canvas.height);
      context.beginPath();
      context.moveTo(...last);
      context.lineTo(...point);
      context.stroke();
      last = point;
    };
    canvas.onpointerdown = event => { canvas.setPointerCapture(event.pointerId); last = at(event); draw(last); };
    canvas.onpointermove = event => { if (last) draw(at(event)); };
    canvas.onpointerup = canvas.onpointercancel = () => {
      if (!last) return;
      last = null;
      const flat = document.createElement('canvas');
      Object.assign(flat, {width: canvas.width, height: canvas.height});
      const onto = flat.getContext('2d');
      onto.fillRect(0, 0, flat.width, flat.height);
      onto.drawImage(canvas, 0, 0);
      flat.toBlob(blob => canvas.onstroke?.(blob), 'image/png');
    };
    this.#viewer.addOverlay({element: canvas, location: this.#low.imageToViewportRectangle(0, 0, size.x, size.y)});
    return canvas;
  }

  fit() { if (this.isOpen) this.#viewer.viewport.goHome(); }

  // A pixel of the result, whole or live, on a pixel of the screen; of the picture where there is none.
  showPixels() {
    if (!this.isOpen) return;
    const scale = this.#high ? this.#high.getContentSize().x / this.#low.getContentSize().x : this.#crop?.scale ?? 1;
    this.#viewer.viewport.zoomTo(this.#low.imageToViewportZoom(scale));
  }

  clip() {
    if (!this.isOpen) return;
    const bounds = this.#viewer.viewport.getBounds(true);
    const at = bounds.x + bounds.width * this.divider, slides = this.view === 'slider';
    if (this.#high) {
      const size = this.#high.getContentSize();
      const left = Math.max(0, Math.min(size.x, at * size.x));
      this.#high.setClip(slides ? new OpenSeadragon.Rect(left, 0, size.x - left, size.y) : null);
      this.#high.setOpacity(this.view === 'before' ? 0 : 1);
    }
    if (this.#crop) {
      const {canvas, box} = this.#crop, part = Math.max(0, Math.min(1, (at - box.x) / box.width));
      canvas.style.clipPath = slides ? `inset(0 0 0 ${part * 100}%)` : 'none';
      canvas.style.visibility = this.view === 'before' ? 'hidden' : 'visible';
    }
  }
}
