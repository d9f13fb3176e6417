// Explore: what a generator makes of seeds, classes and truncations, and the way from one picture to another.
import {html, nothing, render} from '../vendor/lit.js';
import {commandOf, get, newest, pixels, post, turns} from '../api.js';
import {jobsOf} from '../jobs.js';
import {nearestOf} from '../nearest.js';
import {choose, command, draw, empty, fill, problem, slide, squares, title} from '../widgets.js';

const SHOWN = 24, NO_TRUNCATION = 2.05;
const LEAD = 'Look through what a generator makes, and walk from one picture to another.';

export async function open(root, [wanted]) {
  const models = (await get('models')).filter(model => model.takes === 'seeds');
  if (!models.length) {
    render(html`${title('Explore', LEAD)}${empty('There is no generator from seeds yet. One is trained in minutes:',
      'ganvas shapes shapes --size 32 && ganvas train biggan --data shapes --preset preview')}`, root);
    return;
  }
  const state = {model: (models.find(model => model.id === wanted) ?? models[0]).id, names: [], label: '', truncation: NO_TRUNCATION,
    first: 0, pictures: [], pins: [], share: 0.5, between: null, error: null};

  const generators = turns();

  async function load() {
    const isShown = generators.begin();
    nearest.reset();
    Object.assign(state, {isShown, pins: [], pictures: [], between: null, names: [], label: ''});
    show();
    try {
      const {names} = await get(`models/${state.model}/classes`);
      if (!isShown()) return;
      state.names = names;
      grid();
    } catch (error) { if (isShown()) { state.error = error; show(); } }
  }

  const truncation = () => state.truncation < NO_TRUNCATION ? state.truncation : null;
  const grid = newest(async () => {
    shown.tell();
    const {isShown, label, names} = state, seeds = Array.from({length: SHOWN}, (_, number) => state.first + number);
    try {
      const made = await pixels('grids', {model: state.model, seeds, label: label === '' ? null : Number(label), truncation: truncation()});
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
    nearest.look();
  });

  // One picture that was pressed is shown large; of two, a place between them.
  const walk = newest(async () => {
    const {isShown, pins} = state;
    if (!isShown() || !pins.length) return;
    const one = pins[0], two = pins[1] ?? one;
    try {
      const made = await pixels('walks', {model: state.model, seeds: [one.seed, two.seed],
        labels: one.label === null ? null : [one.label, two.label], share: pins.length > 1 ? state.share : 0, truncation: truncation()});
      if (!isShown()) return;
      state.between = made.image;
      show();
    } catch (error) { if (isShown() && error.status !== 409) { state.error = error; show(); } }
  });

  function press(pin) {
    const others = state.pins.filter(each => each.seed !== pin.seed);
    state.pins = others.length < state.pins.length ? others : [...others.slice(-1), pin];
    if (!state.pins.length) state.between = null;
    show();
    walk();
    nearest.look();
  }
  const name = ({seed, label}) => `seed ${seed}${label === null ? '' : `, ${state.names[label]}`}`;

  const order = () => ({verb: 'sample', model: state.model, seeds: `${state.first}-${state.first + SHOWN - 1}`,
    classes: state.label === '' ? null : String(state.label), truncation: truncation()});
  const shown = commandOf(order, () => show());

  const jobs = jobsOf(['sample', 'neighbours'], () => show());
  const save = () => { jobs.start(order()); };
  // Of two pictures that were pressed the later one is looked at.
  const last = () => {
    const pin = state.pins.at(-1);
    return pin ? {model: state.model, seeds: String(pin.seed), classes: pin.label === null ? null : String(pin.label), truncation: truncation()} : null;
  };
  const nearest = nearestOf(last, () => show(), each => jobs.start(each));

  function show() {
    const {pins} = state, cut = truncation();
    render(html`
      ${title('Explore', LEAD, html`<button class="primary" @click=${save}>Save these</button>`)}
      <div class="page">
        <div class="work">
          ${problem(state.error)}
          <div class="grid">${state.pictures.map(({image, seed, label}) => html`
            <button aria-pressed=${pins.some(pin => pin.seed === seed)} @click=${() => press({seed, label})}>
              <canvas data-seed=${seed} width=${image.width} height=${image.height} aria-hidden="true"></canvas>
              ${seed}${label === null ? '' : ` ${state.names[label]}`}</button>`)}</div>
          ${command(shown.text)}
          ${pins.length ? nearest.view(name(pins.at(-1))) : nothing}
        </div>
        <div class="side">
          <div>
            ${choose('Generator', models.map(model => [model.id, model.name]), state.model, id => { state.model = id; load(); })}
            ${state.names.length ? choose('Class', [['', 'all in turn'], ...state.names.map((name, number) => [String(number), name])], state.label, value => { state.label = value; grid(); }) : nothing}
            ${slide('Truncation', state.truncation, {min: 0.05, max: NO_TRUNCATION, step: 0.05, shown: cut ?? 'none'}, value => { state.truncation = value; show(); grid(); })}
            <p class="faint small">Lower: more alike and cleaner. None: all that it can make.</p>
            <div class="row even"><button ?disabled=${!state.first} @click=${() => { state.first = Math.max(0, state.first - SHOWN); grid(); }}>Earlier seeds</button>
              <button @click=${() => { state.first += SHOWN; grid(); }}>Next seeds</button></div>
          </div>
          <div>
            <h2>Walk</h2>
            ${pins.length ? html`<canvas id="between" class="map" role="img" aria-label=${pins.length > 1 ? 'Between the two' : name(pins[0])}></canvas>` : nothing}
            ${pins.length > 1 ? html`${slide('Way', state.share, {}, value => { state.share = value; show(); walk(); })}
              <p class="row fixed faint small"><span class="grow">${name(pins[0])}</span><span>${name(pins[1])}</span></p>`
              : html`<p class="faint">${pins.length ? `${name(pins[0])}. Press another picture to walk to it.` : 'Press a picture to see it large, and another to walk from one to the other.'}</p>`}
          </div>
          ${jobs.view()}
        </div>
      </div>`, root);
    for (const {image, seed} of state.pictures) draw(root.querySelector(`canvas[data-seed="${seed}"]`), image);
    nearest.drawn(root);
    const between = root.querySelector('#between');
    if (between && state.between) fill(between, state.between);
  }
  load();
  return () => { generators.end(); nearest.close(); jobs.close(); };
}
