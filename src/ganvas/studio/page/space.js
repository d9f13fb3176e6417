// Space: each training camera as a short line from its place in the direction that it looks, the path, and a pen.
import * as three from './vendor/three.js';
import {upOf} from './cameras.js';

const HEIGHT = 320, PATH = 0xffb454, CAMERA = 0xffffff, RAY = 0x8ab6ff, CLICK_PX = 4;

// `pressed` is called with the number of a camera that was pressed, `drawn` with the points of a line that was drawn while
// `draws` was true: places at the height of the cameras, or of cameras in one place, points where they are to look.
// Null where the browser has no WebGL.
export function openSpace(place, cameras, {pressed, drawn}) {
  let renderer;
  try { renderer = new three.WebGLRenderer({antialias: true, preserveDrawingBuffer: true}); } catch { return null; }
  const world = new three.Scene();
  world.background = new three.Color(0x202428);
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
  world.add(new three.LineSegments(positions(rays), new three.LineBasicMaterial({color: RAY})));
  const balls = cameras.map((camera, number) => {
    const ball = new three.Mesh(new three.SphereGeometry(reach * 0.02, 8, 6), new three.MeshBasicMaterial({color: CAMERA}));
    ball.position.copy(at(camera));
    ball.userData.number = number;
    world.add(ball);
    return ball;
  });

  const eye = new three.PerspectiveCamera(50, place.clientWidth / HEIGHT, reach / 100, reach * 100);
  eye.up.copy(up);
  // Around what is shown, which for cameras in one place is a part of a sphere.
  const middle = balls.reduce((sum, ball) => sum.add(ball.position), new three.Vector3()).divideScalar(balls.length);
  eye.position.copy(middle).addScaledVector(up, reach).add(across(up).multiplyScalar(reach * 1.8));
  const controls = new three.OrbitControls(eye, renderer.domElement);
  controls.target.copy(middle);
  controls.update();
  renderer.setSize(place.clientWidth, HEIGHT);
  place.replaceChildren(renderer.domElement);
  const paint = () => renderer.render(world, eye);
  controls.addEventListener('change', paint);

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
    return distance > 0 && Number.isFinite(distance) ? ray.at(distance, new three.Vector3()) : null;
  }
  let start = null, points = [], ink = null;
  const canvas = renderer.domElement, space = {draws: false};

  function trace(event) {
    const point = meet(event);
    if (!point || point.distanceTo(centre) > reach * 5) return;
    points.push(point.toArray());
    if (ink) world.remove(ink);
    ink = new three.Line(positions(points.flat()), new three.LineBasicMaterial({color: CAMERA}));
    world.add(ink);
    paint();
  }
  canvas.addEventListener('pointerdown', event => {
    start = [event.clientX, event.clientY];
    points = [];
    if (space.draws) { canvas.setPointerCapture(event.pointerId); trace(event); }
  });
  canvas.addEventListener('pointermove', event => { if (start && space.draws) trace(event); });
  canvas.addEventListener('pointerup', event => {
    if (!start) return;
    const isClick = Math.hypot(event.clientX - start[0], event.clientY - start[1]) <= CLICK_PX;
    start = null;
    if (ink) { world.remove(ink); ink = null; paint(); }
    if (space.draws && points.length > 1) { drawn(points, isNodal ? centre.toArray() : null); return; }
    aim(event);
    const hit = isClick && caster.intersectObjects(balls)[0];
    if (hit) pressed(hit.object.userData.number);
  });

  let line = null;
  return Object.assign(space, {
    reach, isNodal,
    draw(on) { space.draws = on; controls.enabled = !on; canvas.style.cursor = on ? 'crosshair' : 'grab'; },
    show(path, chosen) {
      if (line) world.remove(line);
      line = null;
      balls.forEach(ball => ball.material.color.set(chosen.includes(ball.userData.number) ? PATH : CAMERA));
      if (path) {
        line = new three.Line(positions(path.flatMap(c => at(c).toArray())), new three.LineBasicMaterial({color: PATH}));
        world.add(line);
      }
      paint();
    },
    close() { controls.dispose(); renderer.dispose(); canvas.remove(); },
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
