// Clips: a stretch of the drawn street as video, frame by frame, with styles that change on the way.
import {html, nothing, render, svg} from '../vendor/lit.js';
import {commandOf, get, newest, pixels, turns} from '../api.js';
import {jobsOf} from '../jobs.js';
import {choose, command, empty, fill, keys, player, problem, title} from '../widgets.js';

const LEAD = 'Play a stretch of street as video, made frame by frame.', FRAME_MS = 100;

export async function open(root, [wanted]) {
  const models = (await get('models')).filter(model => model.takes === 'clip');
  if (!models.length) {
    render(html`${title('Clips', LEAD)}${empty('There is no generator of clips yet. One is trained in minutes:',
      'ganvas world clips --clips 4 --frames 24 --size 128x64 && ganvas train vid2vid --data clips --preset preview')}`, root);
    return;
  }
  const {classes} = await get('clips/street');
  const state = {model: (models.find(model => model.id === wanted) ?? models[0]).id, frames: 24, frame: 0, seed: 0, restyle: [],
    changes: 'car', drift: new Map(), error: null, image: null};
  const clips = turns();
  const styled = () => models.find(model => model.id === state.model).has_styles;
  const order = () => ({verb: 'clip', model: state.model, frames: state.frames, seed: state.seed, restyle: state.restyle});
  const shown = commandOf(order, () => show());

  async function fetchFrame() {
    const {isShown, model, frames, seed, restyle, frame} = state;
    if (!isShown()) return;
    try {
      const made = await pixels('clips/frame', {model, frames, seed, restyle, frame});
      if (!isShown()) return;
      state.image = made.image;
      fill(root.querySelector('#frame'), made.image);
      state.drift.set(frame, made.number('x-drift'));
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
  const save = () => { jobs.start(order()); };

  function curve() {
    const known = [...state.drift].sort((a, b) => a[0] - b[0]);
    const most = Math.max(1e-6, ...known.map(([, value]) => value));
    const at = ([frame, value]) => [8 + frame / (state.frames - 1) * 284, 66 - value / most * 60];
    return html`<svg class="chart" viewBox="0 0 300 72" preserveAspectRatio="none" role="img" aria-label="Drift by frame, at most ${most.toFixed(3)}">
      <line x1="8" x2="292" y1="66" y2="66" stroke="var(--line)" vector-effect="non-scaling-stroke"></line>
      <polyline points=${known.map(each => at(each).join()).join(' ')} fill="none" stroke="var(--accent)" stroke-width="2" vector-effect="non-scaling-stroke"></polyline>
      ${known.filter(([frame]) => frame === state.frame).map(each => svg`<line x1=${at(each)[0]} x2=${at(each)[0]} y1="4" y2="66" stroke="var(--edge)" vector-effect="non-scaling-stroke"></line>`)}</svg>`;
  }

  function show() {
    render(html`
      ${title('Clips', LEAD, html`<button class="primary" @click=${save}>Save video</button>`)}
      <div class="page">
        <div class="work">
          ${problem(state.error)}
          <div class="work" style="width:min(100%, 2 * max(200px, 100dvh - 388px))">
            <canvas id="frame" class="map" width="256" height="128" role="img" aria-label="Frame ${state.frame}"></canvas>
            <div class="row fixed"><button title="Play (p)" style="min-width:76px" aria-pressed=${film.plays} @click=${play}>${film.plays ? 'Pause' : 'Play'}</button>
              <label class="row fixed grow">Frame <input class="grow" type="range" min="0" max=${state.frames - 1} .value=${String(state.frame)} @input=${event => go(Number(event.target.value))}></label>
              <output style="min-width:48px;text-align:right">${state.frame} / ${state.frames - 1}</output></div>
          </div>
          <div><h2>Drift</h2><p class="faint small">How far each frame is from the one that would be made without a past. A curve that climbs and stays up means that errors add up.</p>
            ${state.drift.size > 1 ? curve() : html`<p class="faint">Play the clip to see the curve.</p>`}</div>
          ${command(shown.text)}
        </div>
        <div class="side">
          <div>
            ${choose('Generator', models.map(model => [model.id, model.name]), state.model, id => { state.model = id; state.restyle = []; reset(); })}
            <label class="field"><span>Seed</span><input type="number" min="0" .value=${String(state.seed)} @change=${event => { state.seed = Math.max(0, Math.floor(Number(event.target.value))); reset(); }}></label>
            <p class="faint small">Another seed is another street.</p>
          </div>
          ${styled() ? html`<div><h2>Styles</h2>
            ${choose('Change the style of', classes.map(name => [name, name]), state.changes, name => { state.changes = name; })}
            <button @click=${() => { state.restyle = [...state.restyle, `${state.changes}@${state.frame}=${state.restyle.length + 1}`]; reset(); show(); }}>From frame ${state.frame} on</button>
            ${state.restyle.length ? html`<ul class="list">${state.restyle.map(each => html`<li class="small">${each.replace('@', ' from frame ').replace('=', ': style ')}</li>`)}</ul>
              <button @click=${() => { state.restyle = state.restyle.slice(0, -1); reset(); show(); }}>Undo</button>` : nothing}</div>` : nothing}
          ${jobs.view()}
        </div>
      </div>`, root);
  }
  show();
  reset();
  const quiet = keys({p: play, ',': () => go(state.frame - 1), '.': () => go(state.frame + 1)});
  return () => { clips.end(); jobs.close(); film.stop(); quiet(); };
}
