// Clips: a stretch of the drawn street as video, frame by frame, with styles that change on the way.
import {html, nothing, render} from '../vendor/lit.js';
import {commandOf, get, newest, pixels, post, turns} from '../api.js';
import {jobsOf} from '../jobs.js';
import {choose, command, draw, empty, problem, say} from '../widgets.js';

export async function open(root, [wanted]) {
  const models = (await get('models')).filter(model => model.takes === 'clip');
  if (!models.length) {
    render(html`<h1>Clips</h1>${empty('There is no generator of clips yet. One is trained in minutes:',
      'ganvas world clips --clips 4 --frames 24 --size 128x64 && ganvas train vid2vid --data clips --preset preview')}`, root);
    return;
  }
  const {classes} = await get('clips/street');
  const state = {model: (models.find(model => model.id === wanted) ?? models[0]).id, frames: 24, frame: 0, seed: 0, restyle: [],
    changes: 'car', drift: new Map(), plays: false, error: null};
  const clips = turns();
  const styled = () => models.find(model => model.id === state.model).has_styles;
  const order = () => ({verb: 'clip', model: state.model, frames: state.frames, seed: state.seed, restyle: state.restyle});
  const shown = commandOf(order, () => show());
  let timer = 0;

  const load = newest(async () => {
    const {isShown, model, frames, seed, restyle, frame} = state;
    if (!isShown()) return;
    try {
      const made = await pixels('clips/frame', {model, frames, seed, restyle, frame});
      if (!isShown()) return;
      const canvas = root.querySelector('#frame');
      canvas.width = made.image.width;
      canvas.height = made.image.height;
      draw(canvas, made.image);
      state.drift.set(frame, made.number('x-drift'));
      state.error = null;
    } catch (error) {
      if (!isShown() || error.status === 409) return;
      Object.assign(state, {error, plays: false});
      clearInterval(timer);
    }
    show();
  });

  function reset() {
    Object.assign(state, {isShown: clips.begin(), drift: new Map()});
    load();
    shown.tell();
  }

  const jobs = jobsOf('clip', () => show());
  const save = () => { jobs.start(order()); };

  function play() {
    state.plays = !state.plays;
    clearInterval(timer);
    if (state.plays) timer = setInterval(() => { state.frame = (state.frame + 1) % state.frames; load(); }, 100);
    show();
  }
  function curve() {
    const known = [...state.drift].sort((a, b) => a[0] - b[0]);
    const most = Math.max(1e-6, ...known.map(([, value]) => value));
    const line = known.map(([frame, value]) => `${frame / (state.frames - 1) * 300},${58 - value / most * 54}`).join(' ');
    return html`<svg viewBox="0 0 300 60" width="100%" height="60" role="img" aria-label="Drift by frame, at most ${most.toFixed(3)}">
      <polyline points=${line} fill="none" stroke="currentColor"></polyline></svg>`;
  }

  function show() {
    render(html`
      <h1>Clips</h1>
      <div class="bar">
        ${choose('Generator', models.map(model => [model.id, model.name]), state.model, id => { state.model = id; state.restyle = []; reset(); })}
        <label>Seed of the street and styles <input type="number" min="0" .value=${String(state.seed)} @change=${event => { state.seed = Number(event.target.value); reset(); }}></label>
        ${styled() ? html`${choose('Restyle', classes.map(name => [name, name]), state.changes, name => { state.changes = name; })}
        <button @click=${() => { state.restyle = [...state.restyle, `${state.changes}@${state.frame}=${state.restyle.length + 1}`]; reset(); }}>from this frame on</button>
        <button ?disabled=${!state.restyle.length} @click=${() => { state.restyle = state.restyle.slice(0, -1); reset(); }}>undo</button>` : nothing}
        <button aria-pressed=${state.plays} @click=${play}>play</button>
        <button class="primary" @click=${save}>Save video</button>
      </div>
      ${problem(state.error)}
      <canvas id="frame" class="map" style="max-width:1024px" width="256" height="128" role="img" aria-label="Frame ${state.frame}"></canvas>
      <label class="bar">Frame <input style="flex:1" type="range" min="0" max=${state.frames - 1} .value=${String(state.frame)} @input=${event => { state.frame = Number(event.target.value); load(); }}><output>${state.frame}</output></label>
      ${state.restyle.length ? html`<p>${state.restyle.join(', ')}</p>` : nothing}
      <h2>Drift</h2>${state.drift.size > 1 ? curve() : html`<p class="faint">Play the clip to see how far each frame has drifted from one without a past.</p>`}
      ${command(shown.text)}
      ${jobs.view()}`, root);
  }
  show();
  reset();
  return () => { clips.end(); jobs.close(); clearInterval(timer); };
}
