// Upscale: a picture and what models make of it in one view, under a divider that is an ordinary slider.
import {html, nothing, render} from '../vendor/lit.js';
import {commandOf, get, listen, newest, pixels, post, remove, upload} from '../api.js';
import {openPair} from '../compare.js';
import {choose, command, keys, problem, say, slide} from '../widgets.js';

const CROP = 256;

export async function open(root, [wanted]) {
  const [pictures, everything] = await Promise.all([get('pictures'), get('models')]);
  const models = everything.filter(model => model.takes === 'picture');
  const named = name => models.find(model => model.name === name);
  const state = {
    pictures, jobs: await get('jobs'), picture: pictures.find(each => !each.error)?.id ?? null,
    model: (models.find(model => model.id === wanted) ?? named('photo-x4') ?? named('compact-x4') ?? models[0])?.id,
    blend: '', alpha: 0.5, divider: 0.5, view: 'slider', error: null, live: null, liveError: null,
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
    state.live = null;
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
    Object.assign(pair, {divider: state.divider, view: state.view});
    pair.clip();
  }

  // A saved result of this picture and model is shown whole; without one, the middle of the view is made live.
  function result() {
    return state.jobs.find(job => job.state === 'done' && job.order.verb === 'upscale' && job.order.picture === state.picture
      && job.order.model === state.model && (job.order.blend ?? '') === state.blend
      && (!state.blend || job.order.alpha === state.alpha));
  }

  async function compare() {
    const job = result(), mine = pair;
    if (!mine || shownResult === (job?.id ?? null)) return;
    shownResult = job?.id ?? null;
    try {
      const name = job?.results.find(each => /\.(png|jpe?g|webp|tiff?)$/i.test(each));
      if (name) state.pictures = await get('pictures');
      if (pair !== mine || shownResult !== (job?.id ?? null)) return;
      await mine.showResult(state.pictures.find(each => name && each.name === name.split('/').at(-1))?.id ?? null);
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
        blend: state.blend || null, alpha: state.alpha});
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
    state[name] = value;
    if (name === 'model') state.blend = '';
    show();
    shown.tell();
    compare().then(preview);
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
    return state.blend ? {...wanted, blend: state.blend, alpha: state.alpha} : wanted;
  }
  const shown = commandOf(order, () => show());

  async function save() {
    if (!order()) return;
    try {
      const job = await post('jobs', order());
      state.jobs = [job, ...state.jobs];
      state.error = null;
      say('The job is queued');
    } catch (error) { state.error = error; }
    show();
  }

  const own = () => state.jobs.filter(job => job.order.verb === 'upscale').slice(0, 8);

  function show() {
    render(html`
      <h1>Upscale</h1>
      <div class="bar">
        ${choose('Model', models.map((each, number) => [each.id, `${number < 9 ? `${number + 1} ` : ''}${each.name}`]), state.model, id => pick('model', id))}
        ${partners().length ? choose('Blend with', [['', 'none'], ...partners().map(each => [each.id, each.name])], state.blend, id => pick('blend', id)) : nothing}
        ${state.blend ? slide('Mix', state.alpha, {step: 0.05}, value => pick('alpha', value)) : nothing}
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
          ${own().length ? html`<h2>Jobs</h2><ul class="list">${own().map(job => html`<li class="panel">
            ${job.arguments[1].split('/').at(-1)}: <strong>${job.state}</strong>
            ${job.error && job.state === 'failed' ? html`<br><span class="faint">${job.error}</span>` : nothing}
            ${job.results.map((name, number) => html`<br><a href="/api/jobs/${job.id}/results/${number}">${name}</a>`)}
            ${['queued', 'running'].includes(job.state) ? html`<br><button @click=${() => remove(`jobs/${job.id}`)}>stop</button>` : nothing}
          </li>`)}</ul>` : nothing}
        </div>
      </div>`, root);
  }

  show();
  root.ondragover = event => event.preventDefault();
  root.ondrop = event => { event.preventDefault(); take(event.dataTransfer.files); };
  load();
  const table = {Enter: save};
  models.slice(0, 9).forEach((each, number) => { table[String(number + 1)] = () => pick('model', each.id); });
  const quiet = keys(table);
  const deaf = listen('job', job => {
    state.jobs = [job, ...state.jobs.filter(other => other.id !== job.id)];
    show();
    if (job.state === 'done') compare();
  });
  return () => { quiet(); deaf(); opening.abort(); pair?.close(); pair = null; };
}
