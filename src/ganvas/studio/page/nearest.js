// The training pictures nearest to a sample: is it one of them?
import {html, nothing} from './vendor/lit.js';
import {commandOf, get, newest, pixels, post, turns} from './api.js';
import {choose, command, draw, empty, problem, say, squares} from './widgets.js';

const AGAIN_MS = 300, SUSPICIOUS = 0.05, SPACES = {pixels: 'By pixels', features: 'By features'};
const percent = share => share > 0 && share < 0.01 ? 'less than 1 %' : `${Math.round(100 * share)} %`;

// `sample` returns what is looked at, as an order for samples without its verb, or null; `show` shows the page again.
export function nearestOf(sample, show, save) {
  const fresh = () => ({isOpen: false, sets: null, folder: '', reading: null, found: null, isOld: false, squares: [], error: null});
  const state = fresh(), looks = turns();
  const order = () => {
    const wanted = sample();
    return wanted && state.folder ? {verb: 'neighbours', ...wanted, folder: state.folder} : null;
  };
  const shown = commandOf(order, () => show());

  // Pictures that are read once are kept by the server; until then it is asked how far it is.
  const look = newest(async () => {
    const isShown = looks.begin(), wanted = sample();
    if (!state.isOpen || !wanted) return;
    const {model, seeds, classes, truncation} = wanted;
    try {
      const sets = state.sets ?? await get(`models/${model}/sets`);
      if (!isShown()) return;
      state.sets = sets;
      state.folder ||= state.sets[0]?.id ?? '';
      shown.tell();
      if (!state.folder) return;
      for (;;) {
        const reading = await post('neighbours/readings', {model, folder: state.folder});
        if (!isShown()) return;
        state.reading = reading;
        show();
        if (reading.is_ready) break;
        await new Promise(done => setTimeout(done, AGAIN_MS));
        if (!isShown()) return;
      }
      const made = await pixels('neighbours', {model, folder: state.folder, seed: Number(seeds), label: classes === null ? null : Number(classes), truncation});
      if (!isShown()) return;
      Object.assign(state, {found: JSON.parse(made.headers.get('x-found')), isOld: false, squares: squares(made.image).slice(1), error: null});
      say('The nearest training pictures are shown');
    } catch (error) {
      if (!isShown() || error.name === 'AbortError') return;
      Object.assign(state, {error, found: null, isOld: false});
    } finally { if (isShown()) show(); }
  });
  // What is asked now counts at once, also where an answer is under way.
  const again = () => { looks.end(); state.isOld = true; show(); look(); };

  const row = (space, number) => {
    const {names, nearer} = state.found[space];
    return html`<figure class="figure ${state.isOld ? 'old' : ''}"><figcaption class="small">${SPACES[space]}</figcaption>
      <div class="row fixed even">${names.map((name, at) => html`<canvas class="near" role="img" aria-label=${name} title=${name} data-at=${names.length * number + at}></canvas>`)}</div>
      <p class="small ${nearer <= SUSPICIOUS ? 'trust-guess' : 'faint'}">${nearer <= SUSPICIOUS ? 'Suspiciously near: ' : ''}${percent(nearer)} of the training pictures lie nearer to another one.</p></figure>`;
  };

  const waits = () => html`<p role="status" class="faint">${state.reading?.total ? `Reading ${state.reading.done} of ${state.reading.total} pictures …` : 'Reading the pictures …'}</p>
    ${state.reading?.total ? html`<progress max=${state.reading.total} value=${state.reading.done} aria-label="Pictures that are read"></progress>` : nothing}`;

  const result = () => html`
    ${problem(state.error)}
    ${state.found ? html`<div class="pair">${Object.keys(SPACES).map(row)}</div>` : state.error ? nothing : waits()}
    ${command(shown.text)}`;

  const among = () => html`
    ${choose('Among', state.sets.map(each => [each.id, each.is_own ? `${each.name} (trained on)` : each.name]), state.folder, id => { Object.assign(state, {folder: id, found: null, reading: null, error: null}); again(); })}
    <button @click=${() => save(order())}>Save as a sheet</button>`;

  const toggle = () => { state.isOpen = !state.isOpen; again(); };
  const hasSets = () => state.isOpen && state.sets?.length;

  return {
    look: again,
    close: () => looks.end(),
    reset: () => { looks.end(); Object.assign(state, fresh()); },
    view: name => html`<div class="work">
      <div class="row low"><button class="wide" aria-pressed=${state.isOpen} @click=${toggle}>Training pictures nearest to ${name}</button>${hasSets() ? among() : nothing}</div>
      ${!state.isOpen || !state.sets ? nothing : state.sets.length ? result()
        : empty('There are no pictures to look among. Eight or more are needed, best those that it was trained on: start the studio with their folder, or send them on the page Upscale.', 'ganvas studio pictures')}</div>`,
    drawn: root => { for (const canvas of root.querySelectorAll('canvas.near')) {
      const image = state.squares[canvas.dataset.at];
      if (canvas.width !== image.width || canvas.height !== image.height) Object.assign(canvas, {width: image.width, height: image.height});
      draw(canvas, image);
    } },
  };
}
