// Fly: the training cameras as points in space, a path through some of them, and what each camera on it sees.
import {html, nothing, render} from '../vendor/lit.js';
import {commandOf, get, newest, pixels, post, sendFlight, turns} from '../api.js';
import {jobsOf} from '../jobs.js';
import {along, anglesBetween, lookFrom, move, shifted, turn, upOf} from '../cameras.js';
import {openSpace} from '../space.js';
import {choose, command, empty, fill, keys, player, problem, say, segments, title} from '../widgets.js';

const LEAD = 'Fly a camera through a place that a model has learned.', FRAME_MS = 60;
const MODES = [['turn', 'Turn'], ['draw', 'Draw'], ['move', 'Move path']];
const HINTS = {turn: 'Drag to turn; press a camera to fly through it.', draw: 'Draw the line that the camera is to follow.', move: 'Drag to move the whole path.'};
const TRUST = {near: 'close to a view that it learned', between: 'between views that it learned', guess: 'far from all that it learned'};
const COLOURS = {near: 'var(--good)', between: 'var(--middling)', guess: 'var(--bad)'};

// A few of many points, evenly spread.
const spread = (points, most = 8) => {
  const count = Math.min(most, points.length);
  return Array.from({length: count}, (_, number) => points[Math.round(number * (points.length - 1) / Math.max(1, count - 1))]);
};

export async function open(root, [wanted]) {
  const models = (await get('models')).filter(model => model.takes === 'camera');
  if (!models.length) {
    render(html`${title('Fly', LEAD)}${empty('There is no learned place yet. One is trained from a street with its cameras:',
      'ganvas world place --path survey --frames 200 --size 128x128 && ganvas train reverse_matchmove --data place --preset preview')}`, root);
    return;
  }
  const state = {model: (models.find(model => model.id === wanted) ?? models[0]).id, cameras: [], stops: [], path: null, frames: 96,
    at: 0, error: null, trust: '', size: [256, 256], mode: 'turn', hand: null, file: ''};
  const places = turns(), paths = turns();
  let space = null;

  async function load() {
    const isShown = places.begin();
    film.stop();
    Object.assign(state, {isShown, cameras: [], stops: [], path: null, hand: null, file: ''});
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
    state.file = '';
    if (state.stops.length < 2) { state.path = null; show(); line(); return; }
    try {
      take(await post('paths', {model: state.model, through: state.stops, frames}), isShown, isNewest);
    } catch (error) {
      if (!isShown() || !isNewest()) return;
      Object.assign(state, {error, path: null});  // the path of before is not what is asked for
      arrived();
    }
  }
  function take(path, isShown, isNewest) {
    if (!isShown() || !isNewest()) return;
    Object.assign(state, {path, hand: null, at: Math.min(state.at, path.cameras.length - 1), error: null});
    arrived();
  }
  function arrived() {
    show();
    shown.tell();
    line();
    view();
  }

  // A path from a file: what cameras other programs wrote. Its own frames are flown, no stops.
  async function bring(file) {
    if (!file) return;
    const isNewest = paths.begin(), {isShown} = state;
    try {
      const path = await sendFlight(state.model, file);
      if (!isShown() || !isNewest()) return;
      Object.assign(state, {stops: [], file: file.name});
      say(`${file.name}: ${path.cameras.length} frames`);
      take(path, isShown, isNewest);
    } catch (error) { if (isShown()) { state.error = error; show(); } }
  }

  const count = () => state.path?.cameras.length ?? 0;
  const camera = () => state.hand ?? state.path?.cameras[state.at] ?? state.cameras[0];

  async function fetchView() {
    const seen = camera(), {isShown} = state;
    if (!seen || !isShown()) return;
    line();
    try {
      const made = await pixels('views', {model: state.model, camera: seen});
      if (!isShown()) return;
      fill(root.querySelector('#view'), made.image);
      state.trust = made.headers.get('x-trust') ?? '';
    } catch (error) {
      if (!isShown() || error.status === 409) return;
      state.error = error;
      film.stop();
    }
    show();
  }
  const view = newest(fetchView);
  const film = player(async () => { state.at = (state.at + 1) % Math.max(1, count()); await fetchView(); }, FRAME_MS);

  // The path, and the camera in hand

  function scene() {
    space?.close();
    const place = root.querySelector('#space');
    space = place && state.cameras.length ? openSpace(place, state.cameras, {
      pressed: number => { state.stops = [...state.stops, number]; plan(); },
      drawn: (points, from) => {
        const focal = state.cameras[0][12], up = upOf(state.cameras);
        // In one place the line says where to look; elsewhere, where to go.
        state.stops = from ? spread(points).map(point => lookFrom(from, point.map((value, axis) => value - from[axis]), up, focal)) : along(points, up, focal);
        plan();  // what is drawn is the path; presses and views of one's own add to it
      },
      moved: (from, to, isOver) => { if (isOver) plan(); else shiftPath(between(from, to)); },
    }) : null;
    space?.use(state.mode);
  }

  function line() { space?.show(state.path?.cameras, state.stops, camera()); }

  // What takes each camera of a path from one point of space to another: a way, or in one place an angle.
  function between(from, to) {
    if (!space.isNodal) return each => shifted(each, to.map((value, axis) => value - from[axis]));
    const up = upOf(state.cameras), [left, above] = anglesBetween(from, to, space.centre, up);
    return each => turn(each, left, above, up);
  }
  // Moves the path as a whole: shown at once, and planned anew when the hand lets go.
  function shiftPath(change) {
    if (!state.path || !state.stops.length) return;
    state.stops = state.stops.map(stop => change(Array.isArray(stop) ? stop : state.cameras[stop]));
    state.path = {...state.path, cameras: state.path.cameras.map(change)};
    state.hand = null;
    line();
  }
  function nudgePath(right, above, ahead) {
    const up = upOf(state.cameras), length = step();
    const first = state.stops[0], base = Array.isArray(first) ? first : state.cameras[first];
    if (!base) return;
    const moved = move(base, right * length, above * length, ahead * length);
    shiftPath(space?.isNodal ? each => turn(each, -0.05 * right, 0.05 * above, up) : each => shifted(each, [3, 7, 11].map(place => moved[place] - base[place])));
    plan();
  }

  // From here on the view is the camera in hand, until a frame of the path is chosen again.
  function steer(change) {
    if (!camera()) return;
    film.stop();
    state.hand = change(camera());
    show();
    view();
  }
  const step = () => (space?.reach ?? 1) * 0.05;
  const look = (left, upwards) => steer(each => turn(each, left, upwards, upOf(state.cameras)));
  const go = (right, above, ahead) => { if (!space?.isNodal) steer(each => move(each, right * step(), above * step(), ahead * step())); };
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
    state.hand = null;
    if (film.plays) film.stop(); else if (state.path) film.start();
    show();
  }

  // A path with a camera that was made by hand, or from a file, is a file, which the server has written.
  const order = () => state.path && (state.path.flight ? {verb: 'fly', model: state.model, flight: state.path.flight}
    : {verb: 'fly', model: state.model, through: state.stops, frames: state.frames});
  const shown = commandOf(order, () => show());

  const jobs = jobsOf('fly', () => show());
  const save = () => { if (state.path) jobs.start(order()); };

  function strip() {
    const {trust} = state.path, share = level => `${Math.round(trust.filter(each => each === level).length / trust.length * 100)} % ${level}`;
    const stops = trust.map((level, number) => `${COLOURS[level]} ${number / trust.length * 100}% ${(number + 1) / trust.length * 100}%`);
    return html`<div style="padding:0 8px"><div class="strip" role="img" aria-label="Trust over the path: ${Object.keys(TRUST).map(share).join(', ')}" style="background:linear-gradient(to right, ${stops.join(', ')})"></div></div>`;
  }

  function show() {
    const trust = state.hand ? state.trust : state.path?.trust?.[state.at] ?? state.trust;
    const words = state.stops.map(stop => Array.isArray(stop) ? 'own' : stop).join(', ');
    render(html`
      ${title('Fly', LEAD, html`<button class="primary" ?disabled=${!state.path} @click=${save}>Save film</button>`)}
      <div class="page">
        <div class="work">
          ${problem(state.error)}
          <div class="pair">
            <div class="figure"><div id="space" class="space" role="img" aria-label="Training cameras in space: press one to fly through it"></div>
              <div class="row">${segments('What dragging does', MODES, state.mode, mode => { state.mode = mode; space?.use(mode); show(); })}
                <span class="faint small wide">${HINTS[state.mode]}</span></div></div>
            <div class="figure"><canvas id="view" class="map" width=${state.size[0]} height=${state.size[1]} role="img" aria-label="What the camera sees: drag to look around" style="cursor:grab;width:min(100%, calc(${(state.size[0] / state.size[1]).toFixed(3)} * max(280px, 100dvh - 360px)))"
              @pointerdown=${grab} @pointermove=${drag} @pointerup=${release} @pointercancel=${release}></canvas>
              <div class="row"><button title="Add what you see (Enter)" ?disabled=${!state.hand} @click=${keep}>Add this view to the path</button>
                <span class="faint small wide">Drag or arrow keys look around${space?.isNodal ? '' : '; w a s d q e move'}.</span></div></div>
          </div>
          ${state.path ? html`<div class="row fixed" style="align-items:flex-start"><button title="Play (p)" style="min-width:76px" aria-pressed=${film.plays} @click=${play}>${film.plays ? 'Pause' : 'Play'}</button>
            <div class="grow"><input style="display:block;width:100%" aria-label="Frame" type="range" min="0" max=${count() - 1} .value=${String(state.at)} @input=${event => { film.stop(); state.at = Number(event.target.value); state.hand = null; show(); view(); }}>
              ${state.path.trust ? strip() : nothing}</div>
            <output style="min-width:72px;text-align:right;line-height:36px">${state.at} / ${count() - 1}</output></div>` : nothing}
          <p role="status">${trust ? html`Trust: <strong class="trust-${trust}">${trust}</strong> <span class="faint">– ${TRUST[trust] ?? ''}</span>` : nothing}</p>
          ${command(shown.text)}
        </div>
        <div class="side">
          <div>
            ${choose('Place', models.map(model => [model.id, model.name]), state.model, id => { state.model = id; load(); })}
            <p class="faint small">${state.cameras.length} training cameras</p>
          </div>
          <div>
            <h2>Path</h2>
            ${state.file ? html`<p>${state.file}, ${count()} frames</p>` : html`
            <label class="field"><span>Through</span><input type="text" .value=${words} @change=${through}></label>
            <p class="faint small">Numbers of training cameras; own: a view of yours.</p>
            <label class="field"><span>Frames</span><input type="number" min="2" max="2000" .value=${String(state.frames)} @change=${event => { state.frames = Math.max(2, Math.floor(Number(event.target.value))); plan(); }}></label>`}
            <div class="row even"><button ?disabled=${!state.stops.length} @click=${() => { state.stops = state.stops.slice(0, -1); plan(); }}>Drop last</button>
              <button ?disabled=${!state.stops.length && !state.file} @click=${() => { state.stops = []; plan(); }}>Clear</button></div>
            <label class="button">Load a path<input class="visually-hidden" type="file" @change=${event => { bring(event.target.files[0]); event.target.value = ''; }}></label>
          </div>
          <div>
            <h2>Move the whole path</h2>
            <span class="segments" role="group" aria-label="Move the whole path">${[['←', 'left', [-1, 0, 0]], ['→', 'right', [1, 0, 0]], ['↑', 'up', [0, 1, 0]], ['↓', 'down', [0, -1, 0]],
              ...(space?.isNodal ? [] : [['⤒', 'forward', [0, 0, 1]], ['⤓', 'back', [0, 0, -1]]])].map(([sign, name, way]) => html`
              <button aria-label="Path ${name}" title="Path ${name}" ?disabled=${!state.stops.length} @click=${() => nudgePath(...way)}>${sign}</button>`)}</span>
          </div>
          ${jobs.view()}
        </div>
      </div>`, root);
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
    Enter: keep, p: play,
  });
  show();
  load();
  return () => { places.end(); jobs.close(); quiet(); film.stop(); space?.close(); };
}
