// Upscale: a picture and what models make of it in one view, under a divider that is an ordinary slider.
import {html, nothing, render} from '../vendor/lit.js';
import OpenSeadragon from '../vendor/openseadragon.js';
import {get, listen, newest, pixels, post, remove, upload} from '../api.js';
import {choose, command, draw, keys, problem, say, slide} from '../widgets.js';

const CROP = 256;

export async function open(root, [wanted]) {
  const [pictures, everything] = await Promise.all([get('pictures'), get('models')]);
  const models = everything.filter(model => model.takes === 'picture');
  const named = name => models.find(model => model.name === name);
  const state = {
    pictures, jobs: await get('jobs'), picture: pictures.find(each => !each.error)?.id ?? null,
    model: (models.find(model => model.id === wanted) ?? named('photo-x4') ?? named('compact-x4') ?? models[0])?.id,
    blend: '', alpha: 0.5, divider: 0.5, view: 'slider', error: null, live: null,
  };
  const model = () => models.find(each => each.id === state.model);
  const picture = () => state.pictures.find(each => each.id === state.picture);
  const partners = () => models.filter(each => each.id !== state.model && each.network === model().network && each.scale === model().scale);
  let viewer = null, low = null, high = null, overlay = null, shownResult = null;

  // The view

  async function source(id) {
    const info = await get(`pictures/${id}`);
    const levels = info.levels.length;
    return {
      width: info.width, height: info.height, tileSize: info.tile_px, minLevel: 0, maxLevel: levels - 1,
      getTileUrl: (level, x, y) => `/api/pictures/${id}/tiles/${levels - 1 - level}/${x}_${y}`,
    };
  }

  // Null where the view was closed or opened anew while the picture was looked up.
  async function add(id, index) {
    const mine = viewer, tileSource = await source(id);
    if (!mine || viewer !== mine) return null;
    return new Promise((resolve, reject) => mine.addTiledImage({
      tileSource, index, x: 0, y: 0, width: 1, success: event => resolve(event.item), error: reject}));
  }

  async function load() {
    viewer?.destroy();
    low = high = overlay = shownResult = null;
    const place = root.querySelector('#viewer');
    if (!place || !picture() || picture().error) return;
    viewer = new OpenSeadragon.Viewer({
      element: place, showNavigationControl: false, animationTime: 0.3, maxZoomPixelRatio: 8, gestureSettingsMouse: {clickToZoom: false},
      imageSmoothingEnabled: true, crossOriginPolicy: 'Anonymous', drawer: 'canvas'});
    viewer.addHandler('animation-finish', () => preview());
    const added = await add(state.picture, 0);
    if (!added) return;
    low = added;
    viewer.addHandler('update-viewport', clip);
    await compare();
    preview();
  }

  // A saved result of this picture and model is shown whole; without one, the middle of the view is made live.
  function result() {
    return state.jobs.find(job => job.state === 'done' && job.order.verb === 'upscale' && job.order.picture === state.picture
      && job.order.model === state.model && (job.order.blend ?? '') === state.blend
      && (!state.blend || job.order.alpha === state.alpha));
  }

  async function compare() {
    const job = result();
    if (!viewer || !low || shownResult === (job?.id ?? null)) return;
    shownResult = job?.id ?? null;
    if (high) { viewer.world.removeItem(high); high = null; }
    if (job) {
      state.pictures = await get('pictures');
      const name = job.results.find(each => /\.(png|jpe?g|webp|tiff?)$/i.test(each));
      const found = state.pictures.find(each => each.name === name?.split('/').at(-1));
      if (found) { high = await add(found.id, 1); hideLive(); clip(); }
    }
    show();
  }

  function clip() {
    if (!viewer || !low) return;
    const bounds = viewer.viewport.getBounds(true);
    const at = bounds.x + bounds.width * state.divider;
    if (high) {
      const size = high.getContentSize();
      const left = Math.max(0, Math.min(size.x, at * size.x));
      high.setClip(state.view === 'slider' ? new OpenSeadragon.Rect(left, 0, size.x - left, size.y) : null);
      high.setOpacity(state.view === 'before' ? 0 : 1);
    }
    if (overlay) {
      const box = overlay.box, part = Math.max(0, Math.min(1, (at - box.x) / box.width));
      overlay.canvas.style.clipPath = state.view === 'slider' ? `inset(0 0 0 ${part * 100}%)` : 'none';
      overlay.canvas.style.visibility = state.view === 'before' ? 'hidden' : 'visible';
    }
  }

  function hideLive() {
    if (overlay) { viewer.removeOverlay(overlay.canvas); overlay = null; state.live = null; }
  }

  const preview = newest(async () => {
    if (!viewer || !low || high || !model()) return;
    const size = low.getContentSize();
    const centre = low.viewportToImageCoordinates(viewer.viewport.getCenter(true));
    const width = Math.min(CROP, size.x), height = Math.min(CROP, size.y);
    const left = Math.round(Math.max(0, Math.min(size.x - width, centre.x - width / 2)));
    const top = Math.round(Math.max(0, Math.min(size.y - height, centre.y - height / 2)));
    const began = performance.now();
    try {
      const made = await pixels('crops', {picture: state.picture, left, top, width, height, model: state.model,
        blend: state.blend || null, alpha: state.alpha});
      if (!viewer || high) return;
      hideLive();
      const canvas = document.createElement('canvas');
      canvas.width = made.image.width;
      canvas.height = made.image.height;
      canvas.setAttribute('role', 'img');
      canvas.setAttribute('aria-label', 'The middle of the view, upscaled');
      draw(canvas, made.image);
      const box = low.imageToViewportRectangle(left, top, width, height);
      viewer.addOverlay({element: canvas, location: box});
      overlay = {canvas, box};
      state.live = Math.round(performance.now() - began);
      state.error = null;
      clip();
    } catch (error) {
      if (error.status !== 409) state.error = error;
    }
    show();
  });

  // What a user does

  function pick(name, value) {
    state[name] = value;
    if (name === 'model') state.blend = '';
    show();
    compare().then(() => { hideLive(); preview(); });
  }

  async function take(files) {
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
    load();
  }

  async function save() {
    try {
      const order = {verb: 'upscale', picture: state.picture, model: state.model};
      if (state.blend) Object.assign(order, {blend: state.blend, alpha: state.alpha});
      const job = await post('jobs', order);
      state.jobs = [job, ...state.jobs];
      state.error = null;
      say('The job is queued');
    } catch (error) { state.error = error; }
    show();
  }

  function line() {
    const names = state.blend ? `--blend ${model().source} ${models.find(each => each.id === state.blend).source} --alpha ${state.alpha}`
      : `--model ${model()?.source}`;
    return `ganvas upscale ${picture()?.name ?? 'PHOTO'} ${names} --out RESULT.png`;
  }

  const own = () => state.jobs.filter(job => job.order.verb === 'upscale').slice(0, 8);

  function show() {
    render(html`
      <h1>Upscale</h1>
      <div class="bar">
        ${choose('Model', models.map((each, number) => [each.id, `${number < 9 ? `${number + 1} ` : ''}${each.name}`]), state.model, id => pick('model', id))}
        ${partners().length ? choose('Blend with', [['', 'none'], ...partners().map(each => [each.id, each.name])], state.blend, id => pick('blend', id)) : nothing}
        ${state.blend ? slide('Alpha', state.alpha, {step: 0.05}, value => pick('alpha', value)) : nothing}
        <span role="group" aria-label="View">${['slider', 'after', 'before'].map(name => html`
          <button aria-pressed=${state.view === name} @click=${() => { state.view = name; clip(); show(); }}>${name}</button>`)}
          <button @click=${() => viewer?.viewport.goHome()}>fit</button>
          <button @click=${() => viewer && viewer.viewport.zoomTo(viewer.viewport.imageToViewportZoom(high ? high.getContentSize().x / low.getContentSize().x : 1))}>1:1</button></span>
        <button class="primary" ?disabled=${!picture()} @click=${save}>Save (Enter)</button>
      </div>
      ${problem(state.error)}
      <div class="columns">
        <div>
          <div id="viewer" class="viewer" aria-label="The picture; drag to pan, wheel to zoom"></div>
          <label class="bar">Divider <input id="divider" style="flex:1" type="range" min="0" max="1" step="0.005" .value=${String(state.divider)}
            aria-valuetext="${Math.round(state.divider * 100)} % as it was" @input=${event => { state.divider = Number(event.target.value); clip(); }}></label>
          <p class="faint" role="status">Left: as it is. Right: ${high ? 'the saved result, whole.' : state.live === null ? 'the middle of the view, upscaled live.' : `the middle of the view, upscaled live in ${state.live} ms.`}</p>
          ${command(line())}
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
  await load();
  const table = {Enter: save};
  models.slice(0, 9).forEach((each, number) => { table[String(number + 1)] = () => pick('model', each.id); });
  const quiet = keys(table);
  const deaf = listen('job', job => {
    state.jobs = [job, ...state.jobs.filter(other => other.id !== job.id)];
    show();
    if (job.state === 'done') compare();
  });
  return () => { quiet(); deaf(); viewer?.destroy(); viewer = null; };
}
