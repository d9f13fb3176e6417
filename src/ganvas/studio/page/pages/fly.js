// Fly: the training cameras as points in space, a path through some of them, and what each camera on it sees.
import {html, nothing, render} from '../vendor/lit.js';
import {commandOf, get, newest, pixels, post, turns} from '../api.js';
import {jobsOf} from '../jobs.js';
import {along, lookFrom, move, turn, upOf} from '../cameras.js';
import {openSpace} from '../space.js';
import {choose, command, draw, empty, keys, problem, say} from '../widgets.js';

// A few of many points, evenly spread.
const spread = (points, most = 8) => {
  const count = Math.min(most, points.length);
  return Array.from({length: count}, (_, number) => points[Math.round(number * (points.length - 1) / Math.max(1, count - 1))]);
};

export async function open(root, [wanted]) {
  const models = (await get('models')).filter(model => model.takes === 'camera');
  if (!models.length) {
    render(html`<h1>Fly</h1>${empty('There is no learned place yet. One is trained from a street with its cameras:',
      'ganvas world place --path survey --frames 200 --size 128x128 && ganvas train reverse_matchmove --data place --preset preview')}`, root);
    return;
  }
  const state = {model: (models.find(model => model.id === wanted) ?? models[0]).id, cameras: [], stops: [], path: null, frames: 96,
    at: 0, plays: false, error: null, trust: '', size: [256, 256], draws: false, hand: null};
  const places = turns(), paths = turns();
  let space = null, timer = 0;

  async function load() {
    const isShown = places.begin();
    Object.assign(state, {isShown, cameras: [], stops: [], path: null, hand: null});
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
      Object.assign(state, {path, hand: null, at: Math.min(state.at, frames - 1), error: null});
    } catch (error) {
      if (!isShown() || !isNewest()) return;
      Object.assign(state, {error, path: null});  // the path of before is not what is asked for
    }
    show();
    shown.tell();
    line();
    view();
  }

  const view = newest(async () => {
    const camera = state.hand ?? state.path?.cameras[state.at] ?? state.cameras[0], {isShown} = state;
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

  // The path, and the camera in hand

  function scene() {
    space?.close();
    const place = root.querySelector('#space');
    space = place && state.cameras.length ? openSpace(place, state.cameras, {
      pressed: number => { state.stops = [...state.stops, number]; plan(); },
      drawn: (points, from) => {
        const focal = state.cameras[0][12], up = upOf(state.cameras);
        // In one place the line says where to look; elsewhere, where to go.
        const added = from ? spread(points).map(point => lookFrom(from, point.map((value, axis) => value - from[axis]), up, focal)) : along(points, up, focal);
        state.stops = added;  // what is drawn is the path; presses and views of one's own add to it
        plan();
      },
    }) : null;
    space?.draw(state.draws);
  }

  function line() { space?.show(state.path?.cameras, state.stops); }

  // From here on the view is the camera in hand, until a frame of the path is chosen again.
  function steer(change) {
    const camera = state.hand ?? state.path?.cameras[state.at] ?? state.cameras[0];
    if (!camera) return;
    state.hand = change(camera);
    show();
    view();
  }
  const step = () => (space?.reach ?? 1) * 0.05;
  const look = (left, upwards) => steer(camera => turn(camera, left, upwards, upOf(state.cameras)));
  const go = (right, above, ahead) => { if (!space?.isNodal) steer(camera => move(camera, right * step(), above * step(), ahead * step())); };
  const keep = () => { if (state.hand) { state.stops = [...state.stops, state.hand]; state.hand = null; plan(); } };

  let grip = null;
  const grab = event => { grip = [event.clientX, event.clientY]; event.target.setPointerCapture(event.pointerId); };
  const drag = event => {
    if (!grip) return;
    const [right, down] = [event.clientX - grip[0], event.clientY - grip[1]];
    grip = [event.clientX, event.clientY];
    look(right * 0.004, down * 0.004);
  };
  const release = () => { grip = null; };

  function play() {
    state.plays = !state.plays;
    clearInterval(timer);
    state.hand = null;
    if (state.plays) timer = setInterval(() => { state.at = (state.at + 1) % state.frames; view(); }, 60);
    show();
  }

  // A path with a camera that was made by hand is a file, which the server has written.
  const order = () => state.path && (state.path.flight ? {verb: 'fly', model: state.model, flight: state.path.flight}
    : {verb: 'fly', model: state.model, through: state.stops, frames: state.frames});
  const shown = commandOf(order, () => show());

  const jobs = jobsOf('fly', () => show());
  const save = () => { jobs.start(order()); };

  function show() {
    const trust = state.hand ? state.trust : state.path?.trust[state.at] ?? state.trust;
    render(html`
      <h1>Fly</h1>
      <div class="bar">
        ${choose('Place', models.map(model => [model.id, model.name]), state.model, id => { state.model = id; load(); })}
        <label>Frames <input type="number" min="2" max="2000" .value=${String(state.frames)} @change=${event => { state.frames = Math.max(2, Number(event.target.value)); plan(); }}></label>
        <button aria-pressed=${state.draws} @click=${() => { state.draws = !state.draws; space?.draw(state.draws); show(); }}>draw a path</button>
        <button ?disabled=${!state.stops.length} @click=${() => { state.stops = state.stops.slice(0, -1); plan(); }}>drop last</button>
        <button ?disabled=${!state.stops.length} @click=${() => { state.stops = []; plan(); }}>clear</button>
        <button aria-pressed=${state.plays} @click=${play}>play</button>
        <button class="primary" ?disabled=${!state.path} @click=${save}>Save film</button>
      </div>
      ${problem(state.error)}
      <p><label>Through <input type="text" size="30" .value=${state.stops.map(stop => Array.isArray(stop) ? 'own' : stop).join(', ')} @change=${through}></label>
        <span class="faint">numbers of training cameras, and views of your own</span></p>
      <div class="pair">
        <div><div id="space" style="height:320px" role="img" aria-label="Training cameras in space: press one to fly through it"></div>
          <p class="faint">${state.cameras.length} training cameras. Press one to fly through it; drag to turn${state.draws ? ', or draw the line that the camera is to follow' : ''}.</p></div>
        <div><canvas id="view" class="map" width=${state.size[0]} height=${state.size[1]} role="img" aria-label="What the camera sees: drag to look around" style="cursor:grab;width:min(100%, ${Math.round(56 * state.size[0] / state.size[1])}vh)"
          @pointerdown=${grab} @pointermove=${drag} @pointerup=${release} @pointercancel=${release}></canvas>
          ${state.path ? html`<label class="bar">Frame <input style="flex:1" type="range" min="0" max=${state.frames - 1} .value=${String(state.at)} @input=${event => { state.at = Number(event.target.value); state.hand = null; view(); }}><output>${state.at}</output></label>` : nothing}
          <div class="bar"><button ?disabled=${!state.hand} @click=${keep}>add this view to the path (Enter)</button>
            <span class="faint">drag or arrow keys look around${space?.isNodal ? '' : '; w a s d q e move'}</span></div>
          <p role="status">${trust ? html`Trust: <strong class="trust-${trust}">${trust}</strong>` : nothing}</p></div>
      </div>
      ${command(shown.text)}
      ${jobs.view()}`, root);
  }
  function through(event) {
    const own = state.stops.filter(Array.isArray);
    const words = event.target.value.split(',').map(word => word.trim()).filter(Boolean);
    state.stops = words.map(word => word === 'own' ? own.shift() : Number(word)).filter(stop => Array.isArray(stop) || Number.isInteger(stop));
    plan();
  }

  const quiet = keys({
    ArrowLeft: () => look(0.05, 0), ArrowRight: () => look(-0.05, 0), ArrowUp: () => look(0, 0.05), ArrowDown: () => look(0, -0.05),
    w: () => go(0, 0, 1), s: () => go(0, 0, -1), a: () => go(-1, 0, 0), d: () => go(1, 0, 0), e: () => go(0, 1, 0), q: () => go(0, -1, 0),
    Enter: keep,
  });
  show();
  load();
  return () => { places.end(); jobs.close(); quiet(); clearInterval(timer); space?.close(); };
}
