// Paint: strokes are shown at once, sent to the server when they end, and the picture that comes back is put in place.
import {html, nothing, render} from '../vendor/lit.js';
import {change, commandOf, get, pixels, post, turns} from '../api.js';
import {jobsOf} from '../jobs.js';
import {choose, command, draw, empty, keys, problem, say} from '../widgets.js';

export async function open(root, [wanted]) {
  const models = (await get('models')).filter(model => model.takes === 'labels');
  if (!models.length) {
    render(html`<h1>Paint</h1>${empty('There is no painter yet. One is trained in minutes on the drawn street:',
      'ganvas world street --frames 48 && ganvas train pix2pixhd --data street --preset preview')}`, root);
    return;
  }
  const state = {
    model: (models.find(model => model.id === wanted) ?? models[0]).id, scene: null, label: 0, tool: 'brush', size: 12,
    picked: null, number: 0, error: null, busy: 0, took: null,
  };
  let points = [], queue = Promise.resolve();
  const scenes = turns();
  const canvas = name => root.querySelector(`#${name}`);
  const entry = id => state.scene.classes.find(each => each.id === id);

  async function begin(start) {
    const isShown = scenes.begin();
    Object.assign(state, {scene: null, error: null, picked: null});
    points = [];
    show();
    try {
      const scene = await post('scenes', {model: state.model, begin: start});
      if (!isShown()) return;
      Object.assign(state, {scene, label: scene.classes.at(-1).id, isShown});
      show();
      shown.tell();
      await refresh(scene.id, isShown);
    } catch (error) { if (isShown()) state.error = error; }
    if (isShown()) show();
  }

  async function refresh(id, isShown) {
    const labels = await pixels(`scenes/${id}/labels`), picture = await pixels(`scenes/${id}/picture`);
    if (!isShown()) return;
    draw(canvas('labels'), labels.image);
    draw(canvas('picture'), picture.image);
  }

  // Edits go one after the other: each is made on the revision that the one before left.
  function edit(what) {
    const {scene, isShown} = state;
    if (!scene) return queue;
    queue = queue.then(async () => {  // one that waits is made even when the page was left meanwhile
      const began = performance.now();
      state.busy += 1;
      try {
        const {id, revision} = scene;
        const made = await change(`scenes/${id}/edits`, {...what, revision});
        if (made) Object.assign(scene, {revision: made.number('x-revision'), undo: !!made.number('x-undo'), redo: !!made.number('x-redo')});
        if (!isShown()) return;
        if (made) {
          draw(canvas('picture'), made.image, made.number('x-left'), made.number('x-top'));
          state.took = Math.round(performance.now() - began);
        }
        const labels = await pixels(`scenes/${id}/labels`);
        if (!isShown()) return;
        draw(canvas('labels'), labels.image);
        state.error = null;
      } catch (error) {
        if (!isShown()) return;
        state.error = error;
        if (error.status === 409) await catchUp(scene, isShown);
      } finally {
        state.busy -= 1;
        if (isShown()) show();
      }
    });
    return queue;
  }

  async function catchUp(scene, isShown) {
    try {
      Object.assign(scene, await get(`scenes/${scene.id}`));
      await refresh(scene.id, isShown);
    } catch (error) { if (isShown()) state.error = error; }
  }

  const place = event => {
    const box = event.target.getBoundingClientRect();
    return [(event.clientX - box.left) * state.scene.width / box.width - 0.5, (event.clientY - box.top) * state.scene.height / box.height - 0.5];
  };

  function trace(from, to) {
    const context = canvas('labels').getContext('2d');
    context.strokeStyle = `rgb(${entry(state.label).color.join(' ')})`;
    context.lineWidth = state.size;
    context.lineCap = 'round';
    context.beginPath();
    context.moveTo(from[0] + 0.5, from[1] + 0.5);
    context.lineTo(to[0] + 0.5, to[1] + 0.5);
    context.stroke();
  }

  async function down(event) {
    const [x, y] = place(event);
    const pixel = {x: Math.round(x), y: Math.round(y)};
    if (state.tool === 'fill') return edit({kind: 'fill', ...pixel, label: state.label, is_thing: entry(state.label).is_thing});
    if (state.tool === 'pick') return pick(pixel);
    event.target.setPointerCapture(event.pointerId);
    points = [[x, y]];
    trace(points[0], points[0]);
  }
  function move(event) {
    if (!points.length) return;
    const next = place(event);
    trace(points.at(-1), next);
    points.push(next);
  }
  function up() {  // leaving the canvas loses no stroke: the pointer is captured
    if (!points.length) return;
    const stroke = points;
    points = [];
    edit({kind: 'stroke', points: stroke, width_px: state.size, label: state.label, is_thing: entry(state.label).is_thing});
  }

  async function pick({x, y}) {
    const {scene, isShown} = state;
    try {
      const picked = await get(`scenes/${scene.id}/at?x=${x}&y=${y}`);
      if (!isShown()) return;
      Object.assign(state, {picked, number: 0});
      say(`${picked.name} ${picked.instance}`);
    } catch (error) { if (isShown()) state.error = error; }
    if (isShown()) show();
  }

  function restyle(number) {
    if (!state.picked?.num_styles) return;
    state.number = (number + state.picked.num_styles) % state.picked.num_styles;
    edit({kind: 'style', instance: state.picked.instance, number: state.number});
  }
  const drop = () => {
    if (!state.picked) return;
    edit({kind: 'remove', instance: state.picked.instance});
    state.picked = null;
  };
  const nudge = (x, y, kind = 'move') => state.picked && edit({kind, instance: state.picked.instance, x, y}).then(() => {
    if (kind === 'move') state.picked = null;
    show();
  });

  const order = () => state.scene && {verb: 'paint', model: state.model, scene: state.scene.id};
  const shown = commandOf(order, () => show());

  const jobs = jobsOf('paint', () => show());
  const save = () => { if (state.scene) jobs.start(order()); };

  const tool = (name, key) => html`<button aria-pressed=${state.tool === name} @click=${() => { state.tool = name; show(); }}>${name} (${key})</button>`;

  function show() {
    const scene = state.scene;
    render(html`
      <h1>Paint</h1>
      <div class="bar">
        ${choose('Painter', models.map(model => [model.id, model.name]), state.model, id => { state.model = id; begin('street'); })}
        <button @click=${() => begin('street')}>new street</button><button @click=${() => begin('blank')}>blank</button>
        <span role="group" aria-label="Tool">${tool('brush', 'b')}${tool('fill', 'f')}${tool('pick', 'v')}</span>
        <label>Size <input type="range" min="1" max="80" .value=${String(state.size)} @input=${event => { state.size = Number(event.target.value); show(); }}><output>${state.size} px</output></label>
        <button ?disabled=${!scene?.undo} @click=${() => edit({kind: 'undo'})}>undo</button>
        <button ?disabled=${!scene?.redo} @click=${() => edit({kind: 'redo'})}>redo</button>
        <button class="primary" ?disabled=${!scene} @click=${save}>Save picture (s)</button>
        <span role="status" class="faint">${state.busy ? 'painting …' : state.took === null ? '' : `${state.took} ms`}</span>
      </div>
      ${problem(state.error)}
      ${scene?.note ? html`<p role="status">${scene.note}</p>` : nothing}
      ${!scene ? html`<p role="status">${state.error ? nothing : 'The painter is getting ready …'}</p>` : html`
      <div class="columns">
        <div>
          <div class="pair">
            <figure style="margin:0"><canvas id="labels" class="map" style="cursor:crosshair" width=${scene.width} height=${scene.height} tabindex="0" role="img" aria-label="Label map: draw here"
              @pointerdown=${down} @pointermove=${move} @pointerup=${up} @pointercancel=${up}></canvas><figcaption class="faint">labels: draw here</figcaption></figure>
            <figure style="margin:0"><canvas id="picture" class="map" width=${scene.width} height=${scene.height} role="img" aria-label="The picture that the painter makes"></canvas><figcaption class="faint">picture</figcaption></figure>
          </div>
          ${command(shown.text)}
      ${jobs.view()}
        </div>
        <div>
          ${state.picked ? html`<div class="panel"><strong>${state.picked.name} ${state.picked.instance}</strong>
            ${state.picked.num_styles ? html`<div class="bar" role="group" aria-label="Styles">${Array.from({length: state.picked.num_styles}, (_, number) => html`
              <button aria-pressed=${number === state.number} @click=${() => restyle(number)}>${number}</button>`)}</div>` : nothing}
            <div class="bar"><button @click=${drop}>remove</button><button @click=${() => nudge(24, 0, 'copy')}>copy</button>
              <button aria-label="Move left" @click=${() => nudge(-8, 0)}>←</button><button aria-label="Move right" @click=${() => nudge(8, 0)}>→</button>
              <button aria-label="Move up" @click=${() => nudge(0, -8)}>↑</button><button aria-label="Move down" @click=${() => nudge(0, 8)}>↓</button></div></div>` : nothing}
          <h2>Classes</h2>
          <ul class="list">${scene.classes.map(each => html`<li><button aria-pressed=${each.id === state.label} @click=${() => { state.label = each.id; show(); }}>
            <span class="swatch" style="background:rgb(${each.color.join(' ')})"></span>${each.name}</button></li>`)}</ul>
        </div>
      </div>`}`, root);
  }

  const resize = by => { state.size = Math.max(1, Math.min(80, state.size + by)); show(); };
  const quiet = keys({
    b: () => { state.tool = 'brush'; show(); }, f: () => { state.tool = 'fill'; show(); }, v: () => { state.tool = 'pick'; show(); },
    '[': () => resize(-2), ']': () => resize(2), r: () => restyle(state.number + 1), s: save, Delete: drop,
    'Ctrl+z': () => state.scene?.undo && edit({kind: 'undo'}), 'Ctrl+Shift+z': () => state.scene?.redo && edit({kind: 'redo'}),
  });
  show();
  begin('street');
  return () => { scenes.end(); jobs.close(); quiet(); };
}
