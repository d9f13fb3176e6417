// A mask that is brushed over a picture: white where it was brushed, transparent elsewhere.
import OpenSeadragon from './vendor/openseadragon.js';

const MASK_PX = 1024, ZOOM = 1.2;

// `brush` says how thick (share of the longer side) and whether it erases; `onstroke` of what is returned gets a picture
// of the mask, white on black, after each stroke.
export function openMask(width, height, brush, viewer) {
  const scale = Math.min(1, MASK_PX / Math.max(width, height));
  const canvas = document.createElement('canvas');
  Object.assign(canvas, {width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)), id: 'mask'});
  canvas.style.cssText = 'cursor:crosshair;touch-action:none';
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', 'Mask: brush where the second is to count');
  const context = canvas.getContext('2d');
  let last = null;
  const at = event => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width * canvas.width, (event.clientY - box.top) / box.height * canvas.height];
  };
  const draw = point => {
    context.globalCompositeOperation = brush.erases ? 'destination-out' : 'source-over';
    context.strokeStyle = '#fff';
    context.lineCap = 'round';
    context.lineWidth = brush.brushShare * Math.max(canvas.width, canvas.height);
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
  canvas.onwheel = event => {  // the viewer itself hears nothing while a mask is brushed
    event.preventDefault();
    const box = viewer.element.getBoundingClientRect(), {viewport} = viewer;
    viewport.zoomBy(event.deltaY < 0 ? ZOOM : 1 / ZOOM, viewport.pointFromPixel(new OpenSeadragon.Point(event.clientX - box.left, event.clientY - box.top)));
    viewport.applyConstraints();
  };
  return canvas;
}
