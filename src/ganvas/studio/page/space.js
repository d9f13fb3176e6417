// Space: each training camera as a short line from its place in the direction that it looks, the path, the camera of now.
import * as three from './vendor/three.js';
import {upOf} from './cameras.js';

const PATH = 0xffb454, CAMERA = 0xffffff, RAY = 0x8ab6ff, NOW = 0x7fe0a0, CLICK_PX = 4, FEW = 60;

// `pressed` is called with the number of a camera that was pressed, `drawn` with the points of a line that was drawn while
// the mode was `draw`: places at the height of the cameras, or of cameras in one place, points where they are to look;
// `moved` with two such points between which the pointer went while the mode was `move`, at last with `true`.
// Null where the browser has no WebGL.
export function openSpace(place, cameras, {pressed, drawn, moved}) {
  let renderer;
  try { renderer = new three.WebGLRenderer({antialias: true, preserveDrawingBuffer: true}); } catch { return null; }
  const world = new three.Scene();
  world.background = new three.Color(0x1b1e23);
  const origins = cameras.map(c => new three.Vector3(c[3], c[7], c[11]));
  const centre = origins.reduce((sum, p) => sum.add(p), new three.Vector3()).divideScalar(origins.length);
  const spread = Math.max(...origins.map(p => p.distanceTo(centre)));
  // Cameras that only turn stand in one place: they are shown where they look, a unit away.
  const isNodal = spread < 1e-3, reach = isNodal ? 1 : spread;
  const at = c => isNodal ? new three.Vector3(c[3] - c[2], c[7] - c[6], c[11] - c[10]) : new three.Vector3(c[3], c[7], c[11]);
  const up = new three.Vector3(...upOf(cameras));

  const rays = cameras.flatMap(c => {
    const p = at(c), length = isNodal ? -1 : 0.15;
    return [p.x, p.y, p.z, p.x - c[2] * reach * length, p.y - c[6] * reach * length, p.z - c[10] * reach * length];
  });
  const fades = Math.min(1, FEW / cameras.length);  // many rays would be a blot
  world.add(new three.LineSegments(positions(rays), new three.LineBasicMaterial({color: RAY, transparent: true, opacity: 0.15 + 0.6 * fades * fades})));
  const shape = new three.SphereGeometry(reach * (0.008 + 0.012 * fades), 8, 6);
  const balls = cameras.map((camera, number) => {
    const ball = new three.Mesh(shape, new three.MeshBasicMaterial({color: CAMERA}));
    ball.position.copy(at(camera));
    ball.userData.number = number;
    world.add(ball);
    return ball;
  });

  // All that is shown fits in, seen from above and aside.
  const eye = new three.PerspectiveCamera(40, 1, reach / 100, reach * 100);
  eye.up.copy(up);
  const seen = [...balls.map(ball => ball.position), ...(isNodal ? [centre] : [])];
  const side = pick => new three.Vector3(...['x', 'y', 'z'].map(axis => pick(...seen.map(point => point[axis]))));
  const middle = side(Math.min).add(side(Math.max)).multiplyScalar(0.5);
  const radius = Math.max(...seen.map(point => point.distanceTo(middle))) || 1;
  const away = across(up).multiplyScalar(1.5).add(up).normalize();
  const controls = new three.OrbitControls(eye, renderer.domElement);
  controls.target.copy(middle);
  renderer.setPixelRatio(Math.min(2, devicePixelRatio));
  place.replaceChildren(renderer.domElement);
  const paint = () => renderer.render(world, eye);
  function fit() {
    const width = Math.max(1, place.clientWidth), height = Math.max(1, place.clientHeight);
    renderer.setSize(width, height);
    eye.aspect = width / height;
    eye.updateProjectionMatrix();
    paint();
  }
  eye.position.copy(middle).addScaledVector(away, radius / Math.sin(20 / 180 * Math.PI) * 1.1);
  controls.update();
  controls.addEventListener('change', paint);
  const sized = new ResizeObserver(fit);
  sized.observe(place);
  fit();

  // The pen, and presses

  const caster = new three.Raycaster();
  const aim = event => {
    const box = renderer.domElement.getBoundingClientRect();
    caster.setFromCamera(new three.Vector2((event.clientX - box.left) / box.width * 2 - 1, 1 - (event.clientY - box.top) / box.height * 2), eye);
    return caster.ray;
  };
  // Where the pen meets the sphere around cameras in one place, or the plane through the others; null where it does not.
  function meet(event) {
    const ray = aim(event);
    if (isNodal) return ray.intersectSphere({center: centre, radius: 1}, new three.Vector3());
    const distance = up.dot(centre.clone().sub(ray.origin)) / up.dot(ray.direction);
    const point = distance > 0 && Number.isFinite(distance) ? ray.at(distance, new three.Vector3()) : null;
    return point && point.distanceTo(centre) <= reach * 5 ? point : null;
  }
  let start = null, points = [], ink = null, held = null;
  const canvas = renderer.domElement, space = {mode: 'turn'};

  function trace(event) {
    const point = meet(event);
    if (!point) return;
    points.push(point.toArray());
    if (ink) world.remove(ink);
    ink = new three.Line(positions(points.flat()), new three.LineBasicMaterial({color: CAMERA}));
    world.add(ink);
    paint();
  }
  function shift(event) {
    const point = meet(event);
    if (!point) return;
    if (held) moved(held.toArray(), point.toArray(), false);
    held = point;
  }
  canvas.addEventListener('pointerdown', event => {
    start = [event.clientX, event.clientY];
    points = [];
    held = null;
    if (space.mode !== 'turn') canvas.setPointerCapture(event.pointerId);
    if (space.mode === 'draw') trace(event);
    if (space.mode === 'move') shift(event);
  });
  canvas.addEventListener('pointermove', event => {
    if (start && space.mode === 'draw') trace(event);
    if (start && space.mode === 'move') shift(event);
  });
  canvas.addEventListener('pointerup', event => {
    if (!start) return;
    const isClick = Math.hypot(event.clientX - start[0], event.clientY - start[1]) <= CLICK_PX;
    start = null;
    if (ink) { world.remove(ink); ink = null; paint(); }
    if (space.mode === 'draw' && points.length > 1) { drawn(points, isNodal ? centre.toArray() : null); return; }
    if (space.mode === 'move' && !isClick) { if (held) moved(null, null, true); return; }
    aim(event);
    const hit = isClick && caster.intersectObjects(balls)[0];
    if (hit) pressed(hit.object.userData.number);
  });

  let line = null, now = null;
  const put = (old, made) => { if (old) world.remove(old); if (made) { made.renderOrder = 1; world.add(made); } return made; };
  const above = color => new three.LineBasicMaterial({color, depthTest: false});
  // A camera as the edges of a pyramid.
  function pyramid(c) {
    const apex = isNodal ? centre : at(c), length = isNodal ? 1 : reach * 0.15;
    const corner = (right, top) => [0, 1, 2].map(axis => apex.getComponent(axis) + length * (-c[4 * axis + 2] + 0.35 * right * c[4 * axis] + 0.35 * top * c[4 * axis + 1]));
    const corners = [corner(-1, -1), corner(1, -1), corner(1, 1), corner(-1, 1)];
    return new three.LineSegments(positions(corners.flatMap((each, number) => [...apex.toArray(), ...each, ...each, ...corners[(number + 1) % 4]])), above(NOW));
  }
  return Object.assign(space, {
    reach, isNodal, centre: centre.toArray(),
    use(mode) { space.mode = mode; controls.enabled = mode === 'turn'; canvas.style.cursor = {turn: 'grab', draw: 'crosshair', move: 'move'}[mode]; },
    show(path, chosen, camera) {
      balls.forEach(ball => ball.material.color.set(chosen.includes(ball.userData.number) ? PATH : CAMERA));
      line = put(line, path && new three.Line(positions(path.flatMap(c => at(c).toArray())), above(PATH)));
      now = put(now, camera && pyramid(camera));
      paint();
    },
    close() { sized.disconnect(); controls.dispose(); renderer.dispose(); canvas.remove(); },
  });
}

function positions(values) {
  const geometry = new three.BufferGeometry();
  geometry.setAttribute('position', new three.Float32BufferAttribute(values, 3));
  return geometry;
}

// A direction across another.
function across(up) {
  const other = Math.abs(up.y) > 0.9 ? new three.Vector3(0.5, 0, 0.85) : new three.Vector3(0.2, 1, 0.1);
  return other.addScaledVector(up, -other.dot(up)).normalize();
}
