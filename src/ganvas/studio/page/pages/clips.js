// Clips: a stretch of the drawn street as video, frame by frame, with styles that change on the way.
import {html, nothing, render, svg} from '../vendor/lit.js';
import {commandOf, get, newest, pixels, turns} from '../api.js';
import {jobsOf} from '../jobs.js';
import {choose, command, empty, fill, keys, player, problem, title} from '../widgets.js';

const LEAD = 'Play a stretch of street as video, made frame by frame.', FRAME_MS = 100;
const DRAWN = 'drawn', PLAIN = 'plain';  // beside ids of models

export async function open(root, [wanted]) {
  const models = (await get('models')).filter(model => model.takes === 'clip');
  if (!models.length) {
    render(html`${title('Clips', LEAD)}${empty('There is no generator of clips yet. One is trained in minutes:',
      'ganvas world clips --clips 4 --frames 24 --size 128x64 && ganvas train vid2vid --data clips --preset preview')}`, root);
    return;
  }
  const {classes} = await get('clips/street');
  const state = {model: (models.find(model => model.id === wanted) ?? models[0]).id, frames: 24, frame: 0, seed: 0, restyle: [],
    other: '', changes: 'car', drift: new Map(), error: null};
  const clips = turns();
  const styled = () => models.find(model => model.id === state.model).has_styles;
  const order = () => ({verb: 'clip', model: state.model, frames: state.frames, seed: state.seed, restyle: state.restyle});
  // What is shown beside it: the street itself, the clip before its styles changed, or another generator's.
  const isMade = () => state.other && state.other !== DRAWN;
  const otherOrder = () => isMade() ? {...order(), model: state.other === PLAIN ? state.model : state.other, restyle: []} : null;
  const shown = commandOf(order, () => show()), other = commandOf(otherOrder, () => show());
  const nameOf = id => models.find(model => model.id === id).name;
  const others = () => [['', 'nothing'], [DRAWN, 'the street as it is drawn'], ...(state.restyle.length ? [[PLAIN, 'its own styles, unchanged']] : []),
    ...models.filter(model => model.id !== state.model).map(model => [model.id, model.name])];
  const otherName = () => others().find(([value]) => value === state.other)[1];

  const clipFrame = ({verb, ...clip}, frame, side) => pixels('clips/frame', {...clip, frame, side});
  const drawnFrame = frame => pixels('clips/drawn', {frames: state.frames, seed: state.seed, frame});
  async function fetchFrame() {
    const {isShown, frame} = state;
    if (!isShown()) return;
    try {
      // Both come before either is shown, so that the two never part.
      const [made, beside] = await Promise.all([clipFrame(order(), frame, 'one'),
        isMade() ? clipFrame(otherOrder(), frame, 'other') : state.other ? drawnFrame(frame) : null]);
      if (!isShown()) return;
      fill(root.querySelector('#frame'), made.image);
      if (beside) fill(root.querySelector('#other'), beside.image);
      state.drift.set(frame, [made, ...(isMade() ? [beside] : [])].map(each => each.number('x-drift')));
      state.error = null;
    } catch (error) {
      if (!isShown() || error.status === 409) return;
      state.error = error;
      film.stop();
    }
    show();
  }
  const load = newest(fetchFrame);
  const film = player(async () => { state.frame = (state.frame + 1) % state.frames; await fetchFrame(); }, FRAME_MS);

  function reset() {
    Object.assign(state, {isShown: clips.begin(), drift: new Map()});
    load();
    shown.tell();
    other.tell();
  }
  function compare(value) {
    state.other = value;
    show();
    reset();
  }
  function restyle(changes) {
    state.restyle = changes;
    if (!changes.length && state.other === PLAIN) state.other = '';
    show();
    reset();
  }
  function go(frame) {
    film.stop();
    state.frame = Math.max(0, Math.min(state.frames - 1, frame));
    show();
    load();
  }
  function play() {
    if (film.plays) film.stop(); else film.start();
    show();
  }

  const jobs = jobsOf('clip', () => show());
  const save = () => { jobs.start(order()); if (isMade()) jobs.start(otherOrder()); };

  function curve() {
    const known = [...state.drift].sort((a, b) => a[0] - b[0]);
    const most = Math.max(1e-6, ...known.flatMap(([, values]) => values));
    const x = frame => 8 + frame / (state.frames - 1) * 284;
    const line = (number, color, dash) => svg`<polyline points=${known.filter(([, values]) => number < values.length).map(([frame, values]) => [x(frame), 66 - values[number] / most * 60].join()).join(' ')}
      fill="none" stroke=${color} stroke-width="2" stroke-dasharray=${dash} vector-effect="non-scaling-stroke"></polyline>`;
    return html`<svg class="chart" viewBox="0 0 300 72" preserveAspectRatio="none" role="img" aria-label="Drift by frame, at most ${most.toFixed(3)}">
      <line x1="8" x2="292" y1="66" y2="66" stroke="var(--line)" vector-effect="non-scaling-stroke"></line>
      ${line(0, 'var(--accent)', 'none')}${isMade() ? line(1, 'var(--middling)', '6 4') : nothing}
      ${state.drift.has(state.frame) ? svg`<line x1=${x(state.frame)} x2=${x(state.frame)} y1="4" y2="66" stroke="var(--edge)" vector-effect="non-scaling-stroke"></line>` : nothing}</svg>
      ${isMade() ? html`<p class="faint small">Solid: ${nameOf(state.model)}. Dashed: ${otherName()}.</p>` : nothing}`;
  }

  function show() {
    render(html`
      ${title('Clips', LEAD, html`<button class="primary" @click=${save}>${isMade() ? 'Save both videos' : 'Save video'}</button>`)}
      <div class="page">
        <div class="work">
          ${problem(state.error)}
          <div class="work" style="width:min(100%, ${state.other ? 4 : 2} * max(200px, 100dvh - 388px))">
            <div class=${state.other ? 'pair' : ''}>
              <figure class="figure"><canvas id="frame" class="map" width="256" height="128" role="img" aria-label="Frame ${state.frame}"></canvas>
                ${state.other ? html`<figcaption class="small faint">${nameOf(state.model)}</figcaption>` : nothing}</figure>
              ${state.other ? html`<figure class="figure"><canvas id="other" class="map" width="256" height="128" role="img" aria-label="Frame ${state.frame}, for comparison"></canvas>
                <figcaption class="small faint">${otherName()}</figcaption></figure>` : nothing}</div>
            <div class="row fixed"><button title="Play (p)" style="min-width:76px" aria-pressed=${film.plays} @click=${play}>${film.plays ? 'Pause' : 'Play'}</button>
              <label class="row fixed grow">Frame <input class="grow" type="range" min="0" max=${state.frames - 1} .value=${String(state.frame)} @input=${event => go(Number(event.target.value))}></label>
              <output style="min-width:48px;text-align:right">${state.frame} / ${state.frames - 1}</output></div>
          </div>
          <div><h2>Drift</h2><p class="faint small">How far each frame is from the one that would be made without a past. A curve that climbs and stays up means that errors add up.</p>
            ${state.drift.size > 1 ? curve() : html`<p class="faint">Play the clip to see the curve.</p>`}</div>
          ${command(shown.text)}${isMade() ? command(other.text) : nothing}
        </div>
        <div class="side">
          <div>
            ${choose('Generator', models.map(model => [model.id, model.name]), state.model, id => { state.model = id; if (state.other === id) state.other = ''; restyle([]); })}
            ${choose('Beside it', others(), state.other, compare)}
            <label class="field"><span>Seed</span><input type="number" min="0" .value=${String(state.seed)} @change=${event => { state.seed = Math.max(0, Math.floor(Number(event.target.value))); reset(); }}></label>
            <p class="faint small">Another seed is another street.</p>
          </div>
          ${styled() ? html`<div><h2>Styles</h2>
            ${choose('Change the style of', classes.map(name => [name, name]), state.changes, name => { state.changes = name; })}
            <button @click=${() => restyle([...state.restyle, `${state.changes}@${state.frame}=${state.restyle.length + 1}`])}>From frame ${state.frame} on</button>
            ${state.restyle.length ? html`<ul class="list">${state.restyle.map(each => html`<li class="small">${each.replace('@', ' from frame ').replace('=', ': style ')}</li>`)}</ul>
              <button @click=${() => restyle(state.restyle.slice(0, -1))}>Undo</button>` : nothing}</div>` : nothing}
          ${jobs.view()}
        </div>
      </div>`, root);
  }
  show();
  reset();
  const quiet = keys({p: play, ',': () => go(state.frame - 1), '.': () => go(state.frame + 1)});
  return () => { clips.end(); jobs.close(); film.stop(); quiet(); };
}
