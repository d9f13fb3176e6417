// Fly: the training cameras as points in space, a path through some of them, and what each camera on it sees.
import {html, nothing, render} from '../vendor/lit.js';
import * as three from '../vendor/three.js';
import {get, newest, pixels, post, turns} from '../api.js';
import {choose, command, draw, empty, problem, say} from '../widgets.js';

export async function open(root, [wanted]) {
  const models = (await get('models')).filter(model => model.takes === 'camera');
  if (!models.length) {
    render(html`<h1>Fly</h1>${empty('There is no learned place yet. One is trained from a street with its cameras:',
      'ganvas world place --path survey --frames 200 --size 128x128 && ganvas train reverse_matchmove --data place --preset preview')}`, root);
    return;
  }
  const state = {model: (models.find(model => model.id === wanted) ?? models[0]).id, cameras: [], stops: [], path: null, frames: 96,
    at: 0, plays: false, error: null, trust: '', size: [256, 256]};
  const source = () => models.find(model => model.id === state.model).source;
  const places = turns(), paths = turns();
  let stage = null, timer = 0;

  async function load() {
    const isShown = places.begin();
    Object.assign(state, {isShown, cameras: [], stops: [], path: null});
    try {
      const told = await get(`models/${state.model}/cameras`);
      if (!isShown()) return;
      Object.assign(state, {cameras: told.cameras, size: [told.width, told.height], stops: [], path: null, error: null});
      const count = told.cameras.length;
      if (count > 1) state.stops = count > 3 ? [0, Math.floor(count / 3), Math.floor(2 * count / 3), count - 1] : [0, count - 1];
    } catch (error) { if (isShown()) state.error = error; }
    if (!isShown()) return;
    show();
    scene();
    await plan();
  }

  async function plan() {
    const isNewest = paths.begin(), {isShown, frames} = state;
    if (state.stops.length < 2) { state.path = null; show(); line(); return; }
    try {
      const path = await post('paths', {model: state.model, through: state.stops, frames});
      if (!isShown() || !isNewest()) return;
      Object.assign(state, {path, at: Math.min(state.at, frames - 1), error: null});
    } catch (error) {
      if (!isShown() || !isNewest()) return;
      state.error = error;
    }
    show();
    line();
    view();
  }

  const view = newest(async () => {
    const camera = state.path?.cameras[state.at] ?? state.cameras[0], {isShown} = state;
    if (!camera || !isShown()) return;
    try {
      const made = await pixels('views', {model: state.model, camera});
      if (!isShown()) return;
      const canvas = root.querySelector('#view');
      canvas.width = made.image.width;
      canvas.height = made.image.height;
      draw(canvas, made.image);
      state.trust = made.headers.get('x-trust') ?? '';
    } catch (error) {
      if (!isShown() || error.status === 409) return;
      state.error = error;
    }
    show();
  });

  // Space: each camera a short line from its place in the direction that it looks.

  function scene() {
    const place = root.querySelector('#space');
    stage?.renderer.dispose();
    stage = null;
    if (!place || !state.cameras.length) return;
    let renderer;
    try { renderer = new three.WebGLRenderer({antialias: true}); } catch { return; }  // a browser without WebGL: the list does
    renderer.setSize(place.clientWidth, 320);
    place.replaceChildren(renderer.domElement);
    const world = new three.Scene();
    world.background = new three.Color(0x202428);
    const origins = state.cameras.map(c => new three.Vector3(c[3], c[7], c[11]));
    const middle = origins.reduce((sum, p) => sum.add(p), new three.Vector3()).divideScalar(origins.length);
    const spread = Math.max(...origins.map(p => p.distanceTo(middle)));
    // Cameras that only turn stand in one place: they are shown where they look, a unit away.
    const isNodal = spread < 1e-3;
    const positions = state.cameras.map(c => at(c, isNodal));
    const centre = middle;
    const reach = isNodal ? 1 : spread, length = isNodal ? -1 : 0.15;
    const rays = [];
    state.cameras.forEach((c, number) => {
      const p = positions[number];
      rays.push(p.x, p.y, p.z, p.x - c[2] * reach * length, p.y - c[6] * reach * length, p.z - c[10] * reach * length);
    });
    const geometry = new three.BufferGeometry();
    geometry.setAttribute('position', new three.Float32BufferAttribute(rays, 3));
    world.add(new three.LineSegments(geometry, new three.LineBasicMaterial({color: 0x8ab6ff})));
    const balls = positions.map((p, number) => {
      const ball = new three.Mesh(new three.SphereGeometry(reach * 0.02, 8, 6), new three.MeshBasicMaterial({color: 0xffffff}));
      ball.position.copy(p);
      ball.userData.number = number;
      world.add(ball);
      return ball;
    });
    const eye = new three.PerspectiveCamera(50, place.clientWidth / 320, reach / 100, reach * 100);
    eye.position.copy(centre).add(new three.Vector3(reach * 1.5, reach * 1.5, reach * 2));
    const controls = new three.OrbitControls(eye, renderer.domElement);
    controls.target.copy(centre);
    controls.update();
    const paint = () => renderer.render(world, eye);
    controls.addEventListener('change', paint);
    const caster = new three.Raycaster();
    let pressed = null;
    renderer.domElement.addEventListener('pointerdown', event => { pressed = [event.clientX, event.clientY]; });
    renderer.domElement.addEventListener('pointerup', event => {
      if (!pressed || Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) > 4) return;
      const box = renderer.domElement.getBoundingClientRect();
      caster.setFromCamera(new three.Vector2((event.clientX - box.left) / box.width * 2 - 1, 1 - (event.clientY - box.top) / box.height * 2), eye);
      const hit = caster.intersectObjects(balls)[0];
      if (hit) { state.stops.push(hit.object.userData.number); plan(); }
    });
    stage = {renderer, world, paint, balls, line: null, isNodal};
    paint();
  }

  // Where a camera is shown: its place, or of cameras in one place where it looks.
  function at(c, isNodal) {
    return isNodal ? new three.Vector3(c[3] - c[2], c[7] - c[6], c[11] - c[10]) : new three.Vector3(c[3], c[7], c[11]);
  }

  function line() {
    if (!stage) return;
    if (stage.line) stage.world.remove(stage.line);
    stage.balls.forEach(ball => ball.material.color.set(state.stops.includes(ball.userData.number) ? 0xffb454 : 0xffffff));
    if (state.path) {
      const geometry = new three.BufferGeometry();
      geometry.setAttribute('position', new three.Float32BufferAttribute(state.path.cameras.flatMap(c => at(c, stage.isNodal).toArray()), 3));
      stage.line = new three.Line(geometry, new three.LineBasicMaterial({color: 0xffb454}));
      stage.world.add(stage.line);
    }
    stage.paint();
  }

  function play() {
    state.plays = !state.plays;
    clearInterval(timer);
    if (state.plays) timer = setInterval(() => { state.at = (state.at + 1) % state.frames; view(); }, 60);
    show();
  }

  async function save() {
    try {
      await post('jobs', {verb: 'fly', model: state.model, through: state.stops, frames: state.frames});
      say('The job is queued');
    } catch (error) { state.error = error; }
    show();
  }

  function show() {
    const trust = state.path?.trust[state.at] ?? state.trust;
    render(html`
      <h1>Fly</h1>
      <div class="bar">
        ${choose('Place', models.map(model => [model.id, model.name]), state.model, id => { state.model = id; load(); })}
        <label>Through cameras <input type="text" .value=${state.stops.join(',')} @change=${event => {
          state.stops = event.target.value.split(',').map(Number).filter(Number.isInteger); plan(); }}></label>
        <label>Frames <input type="number" min="2" max="2000" .value=${String(state.frames)} @change=${event => { state.frames = Math.max(2, Number(event.target.value)); plan(); }}></label>
        <button @click=${() => { state.stops.pop(); plan(); }}>drop last</button>
        <button aria-pressed=${state.plays} @click=${play}>play</button>
        <button class="primary" ?disabled=${!state.path} @click=${save}>Save film</button>
      </div>
      ${problem(state.error)}
      <div class="pair">
        <div><div id="space" style="height:320px" aria-label="Training cameras in space: press one to fly through it"></div>
          <p class="faint">${state.cameras.length} training cameras. Press one to fly through it; drag to turn.</p></div>
        <div><canvas id="view" class="map" width=${state.size[0]} height=${state.size[1]} role="img" aria-label="What the camera sees"></canvas>
          ${state.path ? html`<label class="bar">Frame <input style="flex:1" type="range" min="0" max=${state.frames - 1} .value=${String(state.at)} @input=${event => { state.at = Number(event.target.value); view(); }}><output>${state.at}</output></label>` : nothing}
          <p role="status">${trust ? html`Trust: <strong class="trust-${trust}">${trust}</strong>` : nothing}</p></div>
      </div>
      ${command(`ganvas generate ${source()} --through ${state.stops.join(',')} --frames ${state.frames} --out flight.mp4`)}`, root);
  }
  show();
  load();
  return () => { places.end(); clearInterval(timer); stage?.renderer.dispose(); };
}
