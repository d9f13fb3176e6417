// Upscale: a picture and what models make of it in one view: under a divider, a lens, side by side or in turn.
import {html, nothing, render} from '../vendor/lit.js';
import {commandOf, get, newest, pixels, sendMask, upload} from '../api.js';
import {openPair} from '../compare.js';
import {jobsOf} from '../jobs.js';
import {choose, command, keys, problem, say, segments, slide, title} from '../widgets.js';

const QUICK_PX = 128, WHOLE_PX = 640, PATIENCE_MS = 250;
const VIEWS = [['slider', 'Slider'], ['lens', 'Lens'], ['side', 'Side'], ['blink', 'Blink']];
const BLINKS = [['both', 'In turn'], ['before', 'Before'], ['after', 'After']];

export async function open(root, [wanted]) {
  const [pictures, everything] = await Promise.all([get('pictures'), get('models')]);
  const models = everything.filter(model => model.page === 'upscale');
  const named = name => models.find(model => model.name === name);
  const state = {
    pictures, picture: pictures.find(each => !each.error)?.id ?? null, before: '',
    model: (models.find(model => model.id === wanted) ?? named('photo-x4') ?? named('compact-x4') ?? models[0])?.id,
    blend: '', alpha: 0.5, divider: 0.5, lens: 0.4, view: 'slider', blinks: 'both', showsAfter: true,
    error: null, live: null, liveError: null, mask: null, brushes: false, erases: false, brush: 0.08,
  };
  const model = () => models.find(each => each.id === state.model);
  const picture = () => state.pictures.find(each => each.id === state.picture);
  const partners = () => models.filter(each => each.id !== state.model && each.network === model().network && each.scale === model().scale);
  let pair = null, opening = new AbortController(), larger = new AbortController(), shownResult;

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
      opened = await openPair(place, state.picture, signal, {
        moved: () => preview(),
        divided: share => { state.divider = share; show(); },
        blinked: isAfter => { state.showsAfter = isAfter; show(); },
      });
    } catch (error) {
      if (!signal.aborted) { state.liveError = error; show(); }
      return;
    }
    if (signal.aborted) { opened.close(); return; }
    pair = opened;
    divide();
    look();
    if (state.brushes) brush(true);  // it was asked for before the picture was open
    await compare();
    preview();
  }

  function divide() {
    if (!pair) return;
    pair.lens.size = state.lens;
    Object.assign(pair, {divider: state.divider, brushShare: state.brush, erases: state.erases});
    pair.clip();
  }

  function look(view = state.view, blinks = state.blinks) {
    Object.assign(state, {view, blinks, showsAfter: blinks !== 'before'});
    show();
    pair?.show(view, blinks).catch(error => { state.liveError = error; show(); });
  }
  const flip = () => look('blink', state.showsAfter ? 'before' : 'after');
  const nextView = () => look(VIEWS[(VIEWS.findIndex(([name]) => name === state.view) + 1) % VIEWS.length][0], 'both');

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

  // First a small part, which follows a slider; then, when nothing moves any more, as much as is seen.
  const preview = newest(async () => {
    larger.abort();
    const mine = pair, {signal} = larger = new AbortController();
    if (!mine?.isOpen || !model()) return;
    if (!await crop(mine, QUICK_PX)) return;
    const seen = mine.middle(WHOLE_PX);
    if (Math.max(seen.width, seen.height) <= QUICK_PX) return;
    setTimeout(() => { if (!signal.aborted && pair === mine) crop(mine, WHOLE_PX, signal); }, PATIENCE_MS);
  });

  async function crop(mine, side, signal = undefined) {
    const box = mine.middle(side), began = performance.now();
    const one = {picture: state.picture, ...box, model: state.model, blend: state.blend || null, alpha: state.alpha,
      mask: state.blend ? state.mask : null};
    const made = async (order, where) => {
      const look = JSON.stringify([order.model, order.blend, order.alpha, order.mask]);
      if (mine.covers(box, where, look)) return false;
      const answer = await pixels('crops', order, signal);
      if (pair !== mine) return false;
      mine.showCrop(answer.image, box, where, look);
      return true;
    };
    try {
      if (!mine.hasResult && await made(one, 'after')) state.live = Math.round(performance.now() - began);
      if (pair !== mine) return false;
      if (state.before) await made({...one, model: state.before, blend: null, mask: null, side: 'before'}, 'before');
      if (pair === mine) state.liveError = null;
    } catch (error) {
      if (pair !== mine || error.status === 409 || signal?.aborted) return false;
      mine.dropCrops('after');
      Object.assign(state, {live: null, liveError: error});
    }
    show();
    return pair === mine && !state.liveError;
  }

  // What a user does

  function pick(name, value) {
    Object.assign(state, {[name]: value, error: null});
    if (name === 'model') state.blend = '';
    if (name === 'before' && !value) pair?.dropCrops('before');
    if (!state.blend) dropMask();
    show();
    shown.tell();
    compare().then(preview);
  }

  // Where the second model counts

  let mask = 0;  // a mask that was dropped while it was sent is not taken up again
  function brush(on) {
    state.brushes = on && !!state.blend;
    pair?.brush(state.brushes, async blob => {
      const mine = pair, turn = ++mask;
      try {
        const {id} = await sendMask(blob);
        if (pair !== mine || turn !== mask) return;
        state.mask = id;
        shown.tell();
        await compare();
        preview();
      } catch (error) { if (pair === mine) { state.error = error; show(); } }
    });
    show();
  }
  function dropMask() {
    mask += 1;
    if (state.brushes) brush(false);
    pair?.clearMask();
    state.mask = null;
  }

  async function take(files) {
    const before = state.picture;
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
    if (state.picture !== before) load();
  }

  function order() {
    if (!picture() || picture().error || !model()) return null;
    const wanted = {verb: 'upscale', picture: state.picture, model: state.model};
    return state.blend ? {...wanted, blend: state.blend, alpha: state.alpha, mask: state.mask} : wanted;
  }
  const shown = commandOf(order, () => show());

  const jobs = jobsOf('upscale', job => { show(); if (!job || job.state === 'done') compare(); });
  const save = () => { if (order()) jobs.start(order()); };

  const nameOf = id => models.find(each => each.id === id)?.name ?? '';
  const after = () => state.blend ? `${nameOf(state.model)} + ${nameOf(state.blend)}` : nameOf(state.model);
  const status = () => pair?.hasResult ? 'The saved result, whole.'
    : state.live === null ? 'The middle of the view is upscaled live.' : `Upscaled live in ${state.live} ms, inside the dashed line. Save makes the whole picture.`;

  const control = () => ({
    slider: html`<label class="row grow">Divider <input id="divider" class="grow" type="range" min="0" max="1" step="0.005" .value=${String(state.divider)}
      aria-valuetext="${Math.round(state.divider * 100)} % before" @input=${event => { state.divider = Number(event.target.value); divide(); }}></label>`,
    lens: html`<label class="row grow">Lens size <input class="grow" type="range" min="0.1" max="1" step="0.05" .value=${String(state.lens)}
      @input=${event => { state.lens = Number(event.target.value); divide(); }}></label>`,
    side: nothing,
    blink: segments('Shown', BLINKS, state.blinks, blinks => look('blink', blinks)),
  })[state.view];

  const tags = () => {
    const before = html`<span class="tag before">${state.before ? nameOf(state.before) : 'Before'}</span>`, made = html`<span class="tag after">${after()}</span>`;
    return state.view === 'lens' ? before : state.view === 'blink' ? state.showsAfter ? made : before : html`${before}${made}`;
  };

  function show() {
    render(html`
      ${title('Upscale', 'Enlarge a picture, and compare what models make of it.', html`<button class="primary" title="Save (Enter)" ?disabled=${!order()} @click=${save}>Save</button>`)}
      <div class="page">
        <div class="work">
          ${problem(state.error)}${problem(state.liveError)}
          <div class="viewer"><div id="viewer" class="whole" role="group" aria-label="The picture; drag to pan, wheel to zoom"></div>${picture() ? tags() : nothing}</div>
          <div class="row" style="min-height:40px">
            ${segments('View', VIEWS, state.view, view => look(view, 'both'))}
            <div class="row wide">${control()}</div>
            <span class="segments" role="group" aria-label="Zoom"><button @click=${() => pair?.fit()}>Fit</button><button title="A pixel of the result on a pixel of the screen" @click=${() => pair?.showPixels()}>1:1</button></span>
          </div>
          <p class="faint" role="status">${status()}</p>
          ${command(shown.text)}
        </div>
        <div class="side">
          <div>
            ${choose('Model', models.map(each => [each.id, each.name]), state.model, id => pick('model', id))}
            <p class="faint small">${model()?.purpose ?? ''}</p>
            ${choose('Compare with', [['', 'the picture itself'], ...models.filter(each => each.id !== state.model).map(each => [each.id, each.name])], state.before, id => pick('before', id))}
            ${partners().length ? choose('Blend with', [['', 'nothing'], ...partners().map(each => [each.id, each.name])], state.blend, id => pick('blend', id)) : nothing}
            ${state.blend ? html`${slide('Mix', state.alpha, {step: 0.05}, value => pick('alpha', value))}
              <div class="row"><button aria-pressed=${state.brushes} title="Brush where ${nameOf(state.blend)} counts (m)" @click=${() => brush(!state.brushes)}>Mask</button>
                <button aria-pressed=${state.erases} ?disabled=${!state.brushes} @click=${() => { state.erases = !state.erases; divide(); show(); }}>Erase</button>
                <button ?disabled=${!state.mask} @click=${() => { dropMask(); shown.tell(); compare().then(preview); show(); }}>No mask</button></div>
              ${state.brushes ? slide('Brush', state.brush, {min: 0.01, max: 0.3, shown: `${Math.round(state.brush * 100)} %`}, value => { state.brush = value; divide(); show(); }) : nothing}` : nothing}
          </div>
          <div>
            <h2>Pictures</h2>
            <ul class="list pictures">${state.pictures.map(each => html`<li>
              <button class="entry" aria-pressed=${each.id === state.picture} ?disabled=${!!each.error} @click=${() => { state.picture = each.id; show(); load(); }}>
                ${each.error ? nothing : html`<img alt="" loading="lazy" src="/api/pictures/${each.id}/shown?side=96">`}
                <span class="name">${each.name}<br><span class="faint small">${each.error || `${each.width} × ${each.height}`}</span></span></button></li>`)}</ul>
            <label class="button">Add pictures<input class="visually-hidden" type="file" multiple accept="image/*,.exr,.dds,.tga,.jxl,.dpx" @change=${event => { take([...event.target.files]); event.target.value = ''; }}></label>
            <p class="faint small">Or drop them anywhere on this page.</p>
          </div>
          ${jobs.view()}
        </div>
      </div>`, root);
  }

  show();
  root.ondragover = event => event.preventDefault();
  root.ondrop = event => { event.preventDefault(); take(event.dataTransfer.files); };
  load();
  const table = {Enter: save, m: () => state.blend && brush(!state.brushes), l: nextView, x: flip};
  models.slice(0, 9).forEach((each, number) => { table[String(number + 1)] = () => pick('model', each.id); });
  const quiet = keys(table);
  return () => { quiet(); jobs.close(); opening.abort(); larger.abort(); pair?.close(); pair = null; };
}
