// Upscale: a picture and what models make of it in one view, under a divider that is an ordinary slider.
import {html, nothing, render} from '../vendor/lit.js';
import {commandOf, get, newest, pixels, sendMask, upload} from '../api.js';
import {openPair} from '../compare.js';
import {jobsOf} from '../jobs.js';
import {choose, command, keys, problem, say, slide} from '../widgets.js';

const CROP = 256;

export async function open(root, [wanted]) {
  const [pictures, everything] = await Promise.all([get('pictures'), get('models')]);
  const models = everything.filter(model => model.page === 'upscale');
  const named = name => models.find(model => model.name === name);
  const state = {
    pictures, picture: pictures.find(each => !each.error)?.id ?? null,
    model: (models.find(model => model.id === wanted) ?? named('photo-x4') ?? named('compact-x4') ?? models[0])?.id,
    blend: '', alpha: 0.5, divider: 0.5, view: 'slider', error: null, live: null, liveError: null, mask: null, brushes: false, erases: false, brush: 0.08,
  };
  const model = () => models.find(each => each.id === state.model);
  const picture = () => state.pictures.find(each => each.id === state.picture);
  const partners = () => models.filter(each => each.id !== state.model && each.network === model().network && each.scale === model().scale);
  let pair = null, opening = new AbortController(), shownResult;

  // The view. An answer counts only for the pair that is still open when it comes.

  async function load() {
    opening.abort();
    pair?.close();
    pair = null;
    shownResult = undefined;
    Object.assign(state, {live: null, mask: null, brushes: false, erases: false});
    shown.tell();
    const place = root.querySelector('#viewer'), {signal} = opening = new AbortController();
    if (!root.isConnected || !picture() || picture().error) return;
    let opened;
    try {
      opened = await openPair(place, state.picture, signal, () => preview());
    } catch (error) {
      if (!signal.aborted) { state.liveError = error; show(); }
      return;
    }
    if (signal.aborted) { opened.close(); return; }
    pair = opened;
    divide();
    await compare();
    preview();
  }

  function divide() {
    if (!pair) return;
    Object.assign(pair, {divider: state.divider, view: state.view, brushShare: state.brush, erases: state.erases});
    pair.clip();
  }

  // A saved result of this picture and model is shown whole; without one, the middle of the view is made live.
  function result() {
    return jobs.list.find(job => job.state === 'done' && job.order.verb === 'upscale' && job.order.picture === state.picture
      && job.order.model === state.model && (job.order.blend ?? '') === state.blend
      && (!state.blend || job.order.alpha === state.alpha && (job.order.mask ?? null) === state.mask));
  }

  async function compare() {
    const job = result(), mine = pair;
    if (!mine || shownResult === (job?.id ?? null)) return;
    shownResult = job?.id ?? null;
    try {
      await mine.showResult(job?.pictures.find(Boolean) ?? null);
    } catch (error) { state.liveError = error; }
    if (mine.hasResult) state.live = null;
    show();
  }

  const preview = newest(async () => {
    const mine = pair;
    if (!mine?.isOpen || mine.hasResult || !model()) return;
    const box = mine.middle(CROP), began = performance.now();
    try {
      const made = await pixels('crops', {picture: state.picture, ...box, model: state.model,
        blend: state.blend || null, alpha: state.alpha, mask: state.blend ? state.mask : null});
      if (pair !== mine || mine.hasResult) return;
      mine.showCrop(made.image, box);
      state.live = Math.round(performance.now() - began);
      state.liveError = null;
    } catch (error) {
      if (pair !== mine || error.status === 409) return;
      mine.hideCrop();
      Object.assign(state, {live: null, liveError: error});
    }
    show();
  });

  // What a user does

  function pick(name, value) {
    Object.assign(state, {[name]: value, error: null});
    if (name === 'model') state.blend = '';
    if (!state.blend) dropMask();
    show();
    shown.tell();
    compare().then(preview);
  }

  // Where the second model counts

  function brush(on) {
    state.brushes = on && !!state.blend;
    pair?.brush(state.brushes, async blob => {
      const mine = pair;
      try {
        const {id} = await sendMask(blob);
        if (pair !== mine) return;
        state.mask = id;
        shown.tell();
        await compare();
        preview();
      } catch (error) { if (pair === mine) { state.error = error; show(); } }
    });
    show();
  }
  function dropMask() {
    if (state.brushes) brush(false);
    pair?.clearMask();
    state.mask = null;
  }

  async function take(files) {
    const shown = state.picture;
    state.error = null;
    for (const file of files) {
      try {
        const added = await upload(file);
        state.pictures = await get('pictures');
        state.picture = added.id;
        say(`${file.name} is here`);
      } catch (error) { state.error = error; }
    }
    show();
    if (state.picture !== shown) load();
  }

  function order() {
    if (!picture() || picture().error || !model()) return null;
    const wanted = {verb: 'upscale', picture: state.picture, model: state.model};
    return state.blend ? {...wanted, blend: state.blend, alpha: state.alpha, mask: state.mask} : wanted;
  }
  const shown = commandOf(order, () => show());

  const jobs = jobsOf('upscale', job => { show(); if (!job || job.state === 'done') compare(); });
  const save = () => { if (order()) jobs.start(order()); };

  function show() {
    render(html`
      <h1>Upscale</h1>
      <div class="bar">
        ${choose('Model', models.map((each, number) => [each.id, `${number < 9 ? `${number + 1} ` : ''}${each.name}`]), state.model, id => pick('model', id))}
        ${partners().length ? choose('Blend with', [['', 'none'], ...partners().map(each => [each.id, each.name])], state.blend, id => pick('blend', id)) : nothing}
        ${state.blend ? slide('Mix', state.alpha, {step: 0.05}, value => pick('alpha', value)) : nothing}
        ${state.blend ? html`<button aria-pressed=${state.brushes} @click=${() => brush(!state.brushes)}>mask (m)</button>` : nothing}
        ${state.brushes ? html`<label>Brush <input type="range" min="0.01" max="0.3" step="0.01" .value=${String(state.brush)} @input=${event => { state.brush = Number(event.target.value); divide(); }}></label>
          <button aria-pressed=${state.erases} @click=${() => { state.erases = !state.erases; divide(); show(); }}>erase</button>` : nothing}
        ${state.mask ? html`<button @click=${() => { dropMask(); shown.tell(); compare().then(preview); show(); }}>no mask</button>` : nothing}
        <span role="group" aria-label="View">${['slider', 'after', 'before'].map(name => html`
          <button aria-pressed=${state.view === name} @click=${() => { state.view = name; divide(); show(); }}>${name}</button>`)}
          <button @click=${() => pair?.fit()}>fit</button>
          <button @click=${() => pair?.showPixels()}>1:1</button></span>
        <button class="primary" ?disabled=${!picture()} @click=${save}>Save (Enter)</button>
      </div>
      ${problem(state.error)}${problem(state.liveError)}
      <div class="columns">
        <div>
          <div id="viewer" class="viewer" aria-label="The picture; drag to pan, wheel to zoom"></div>
          <label class="bar">Divider <input id="divider" style="flex:1" type="range" min="0" max="1" step="0.005" .value=${String(state.divider)}
            aria-valuetext="${Math.round(state.divider * 100)} % as it was" @input=${event => { state.divider = Number(event.target.value); divide(); }}></label>
          <p class="faint" role="status">Left: as it is. Right: ${pair?.hasResult ? 'the saved result, whole.' : state.live === null ? 'the middle of the view, upscaled live.' : `the middle of the view, upscaled live in ${state.live} ms.`}</p>
          ${command(shown.text)}
        </div>
        <div>
          <h2>Pictures</h2>
          <ul class="list">${state.pictures.map(each => html`<li>
            <button aria-pressed=${each.id === state.picture} ?disabled=${!!each.error} @click=${() => { state.picture = each.id; show(); load(); }}>
              ${each.name}<br><span class="faint">${each.error || `${each.width} × ${each.height}, ${each.dtype}`}</span></button></li>`)}</ul>
          <p><label>Add pictures <input type="file" multiple accept="image/*,.exr,.dds,.tga,.jxl,.dpx" @change=${event => take(event.target.files)}></label></p>
          ${jobs.view()}
        </div>
      </div>`, root);
  }

  show();
  root.ondragover = event => event.preventDefault();
  root.ondrop = event => { event.preventDefault(); take(event.dataTransfer.files); };
  load();
  const table = {Enter: save, m: () => state.blend && brush(!state.brushes)};
  models.slice(0, 9).forEach((each, number) => { table[String(number + 1)] = () => pick('model', each.id); });
  const quiet = keys(table);
  return () => { quiet(); jobs.close(); opening.abort(); pair?.close(); pair = null; };
}
