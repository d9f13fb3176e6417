// Explore: what a generator makes of seeds, classes and truncations, and the way from one picture to another.
import {html, nothing, render} from '../vendor/lit.js';
import {commandOf, get, newest, pixels, post, turns} from '../api.js';
import {jobsOf} from '../jobs.js';
import {choose, command, draw, empty, problem, say, slide, squares} from '../widgets.js';

const SHOWN = 24;

export async function open(root, [wanted]) {
  const models = (await get('models')).filter(model => model.takes === 'seeds');
  if (!models.length) {
    render(html`<h1>Explore</h1>${empty('There is no generator from seeds yet. One is trained in minutes:',
      'ganvas shapes shapes --size 32 && ganvas train biggan --data shapes --preset preview')}`, root);
    return;
  }
  const state = {model: (models.find(model => model.id === wanted) ?? models[0]).id, names: [], label: '', truncation: 0,
    first: 0, pictures: [], pins: [], share: 0.5, between: null, error: null};

  const generators = turns();

  async function load() {
    const isShown = generators.begin();
    Object.assign(state, {isShown, pins: [], pictures: [], between: null, names: [], label: ''});
    show();
    try {
      const {names} = await get(`models/${state.model}/classes`);
      if (!isShown()) return;
      state.names = names;
      grid();
    } catch (error) { if (isShown()) { state.error = error; show(); } }
  }

  const truncation = () => state.truncation || null;
  const grid = newest(async () => {
    shown.tell();
    const {isShown, label, names} = state, seeds = Array.from({length: SHOWN}, (_, number) => state.first + number);
    try {
      const made = await pixels('grids', {model: state.model, seeds, label: state.label === '' ? null : Number(state.label), truncation: truncation()});
      if (!isShown()) return;
      state.pictures = squares(made.image).map((image, number) => ({image, seed: seeds[number],
        label: label === '' ? (names.length ? seeds[number] % names.length : null) : Number(label)}));
      state.error = null;
    } catch (error) {
      if (!isShown() || error.status === 409) return;
      state.error = error;
    }
    show();
    walk();
  });

  const walk = newest(async () => {
    const {isShown} = state;
    if (!isShown() || state.pins.length < 2) return;
    const [one, two] = state.pins.slice(-2);
    try {
      const made = await pixels('walks', {model: state.model, seeds: [one.seed, two.seed],
        labels: one.label === null ? null : [one.label, two.label], share: state.share, truncation: truncation()});
      if (!isShown()) return;
      state.between = made.image;
      show();
    } catch (error) { if (isShown() && error.status !== 409) { state.error = error; show(); } }
  });

  const order = () => ({verb: 'sample', model: state.model, seeds: `${state.first}-${state.first + SHOWN - 1}`,
    classes: state.label === '' ? null : String(state.label), truncation: truncation()});
  const shown = commandOf(order, () => show());

  const jobs = jobsOf('sample', () => show());
  const save = () => { jobs.start(order()); };

  function show() {
    render(html`
      <h1>Explore</h1>
      <div class="bar">
        ${choose('Generator', models.map(model => [model.id, model.name]), state.model, id => { state.model = id; load(); })}
        ${state.names.length ? choose('Class', [['', 'all in turn'], ...state.names.map((name, number) => [String(number), name])], state.label, value => { state.label = value; grid(); }) : nothing}
        ${slide('Truncation', state.truncation, {max: 2, step: 0.05}, value => { state.truncation = value; grid(); })}
        <button @click=${() => { state.first = Math.max(0, state.first - SHOWN); grid(); }}>earlier seeds</button>
        <button @click=${() => { state.first += SHOWN; grid(); }}>next seeds</button>
        <button class="primary" @click=${save}>Save these</button>
      </div>
      ${problem(state.error)}
      <p class="faint">Truncation 0 is none. Press two pictures to walk from one to the other.</p>
      ${state.pins.length > 1 ? html`<div class="panel bar">
        <span>${state.pins.slice(-2).map(pin => `seed ${pin.seed}${pin.label === null ? '' : `, ${state.names[pin.label]}`}`).join(' → ')}</span>
        ${slide('Way', state.share, {}, value => { state.share = value; walk(); })}
        <canvas id="between" class="map" style="width:160px" role="img" aria-label="Between the two"></canvas></div>` : nothing}
      <div class="grid">${state.pictures.map(({image, seed, label}) => html`
        <button aria-pressed=${state.pins.slice(-2).some(pin => pin.seed === seed)} @click=${() => { state.pins.push({seed, label}); show(); walk(); }}>
          <canvas data-seed=${seed} width=${image.width} height=${image.height} aria-hidden="true"></canvas>
          ${seed}${label === null ? '' : ` ${state.names[label]}`}</button>`)}</div>
      ${command(shown.text)}
      ${jobs.view()}`, root);
    for (const {image, seed} of state.pictures) draw(root.querySelector(`canvas[data-seed="${seed}"]`), image);
    const between = root.querySelector('#between');
    if (between && state.between) {
      between.width = state.between.width;
      between.height = state.between.height;
      draw(between, state.between);
    }
  }
  load();
  return () => { generators.end(); jobs.close(); };
}
