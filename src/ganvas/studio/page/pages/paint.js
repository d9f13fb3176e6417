// Paint: strokes are shown at once, sent to the server when they end, and the picture that comes back is put in place.
import {html, nothing, render} from '../vendor/lit.js';
import {change, commandOf, get, pixels, post, turns} from '../api.js';
import {jobsOf} from '../jobs.js';
import {choose, command, draw, empty, keys, problem, say, segments, slide, title} from '../widgets.js';

const TOOLS = [['brush', 'Brush', 'b'], ['line', 'Line', 'l'], ['fill', 'Fill', 'f'], ['select', 'Select', 'v']];
const LEAD = 'Draw what should be where; a model turns it into a picture.', DRAG_PX = 2;

export async function open(root, [wanted]) {
  const models = (await get('models')).filter(model => model.takes === 'labels');
  if (!models.length) {
    render(html`${title('Paint', LEAD)}${empty('There is no painter yet. One is trained in minutes on the drawn street:',
      'ganvas world street --frames 48 && ganvas train pix2pixhd --data street --preset preview')}`, root);
    return;
  }
  const state = {
    model: (models.find(model => model.id === wanted) ?? models[0]).id, scene: null, scenes: [], label: 0, tool: 'brush', size: 12,
    picked: null, isWanted: () => false, at: null, number: null, error: null, busy: 0, took: null,
  };
  let points = [], under = null, grip = null, queue = Promise.resolve(), moves = Promise.resolve();
  const scenes = turns(), selections = turns();
  const canvas = name => root.querySelector(`#${name}`);
  const entry = id => state.scene.classes.find(each => each.id === id);
  const source = () => models.find(model => model.id === state.model).source;

  // Opens the scene that was painted last, or of this name; without one, or where `start` says how, begins one.
  async function begin({start = null, name = null} = {}) {
    const isShown = scenes.begin();
    unpick();
    Object.assign(state, {scene: null, error: null, isShown});
    points = [];
    show();
    try {
      const all = await get('scenes'), mine = all.filter(each => each.model === source()).map(each => each.id);
      const found = start ? null : name ?? mine.at(-1);
      const scene = found ? await get(`scenes/${found}`) : await post('scenes', {model: state.model, begin: start ?? 'street', seed: all.length});
      if (!isShown()) return;
      const first = scene.classes.find(each => each.is_thing) ?? scene.classes[0];
      Object.assign(state, {scene, label: first.id, scenes: [...new Set([...mine, scene.id])].reverse()});
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
      if (isShown()) show();
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
        if (!points.length) draw(canvas('labels'), labels.image);  // a stroke that was begun meanwhile stays
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

  // The pointer on the label map

  const place = event => {
    const box = event.currentTarget.getBoundingClientRect();
    return [(event.clientX - box.left) * state.scene.width / box.width - 0.5, (event.clientY - box.top) * state.scene.height / box.height - 0.5];
  };
  const pixelOf = ([x, y]) => ({
    x: Math.max(0, Math.min(state.scene.width - 1, Math.round(x))), y: Math.max(0, Math.min(state.scene.height - 1, Math.round(y))),
  });

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

  function down(event) {
    if (event.button) return;
    const at = place(event), pixel = pixelOf(at);
    event.currentTarget.setPointerCapture(event.pointerId);
    if (state.tool === 'fill') { edit({kind: 'fill', ...pixel, label: state.label, is_thing: entry(state.label).is_thing}); return; }
    if (state.tool === 'select') { grip = {from: at, to: at, ready: pick(pixel)}; return; }
    under = canvas('labels').getContext('2d').getImageData(0, 0, state.scene.width, state.scene.height);
    points = [at];
    trace(at, at);
  }
  function move(event) {
    follow(event);
    if (grip) { grip.to = place(event); show(); return; }
    if (!points.length) return;
    const next = place(event);
    if (state.tool === 'line') {
      draw(canvas('labels'), under);
      points = [points[0], next];
    } else { points.push(next); }
    trace(points.at(-2), next);
  }
  async function up() {  // leaving the canvas loses no stroke: the pointer is captured
    if (grip) {
      const {from, to, ready} = grip, [right, below] = [0, 1].map(axis => Math.round(to[axis] - from[axis]));
      grip = null;
      show();
      await ready;
      if (Math.max(Math.abs(right), Math.abs(below)) >= DRAG_PX) nudge(right, below);
      return;
    }
    if (!points.length) return;
    const stroke = points;
    points = [];
    edit({kind: 'stroke', points: stroke, width_px: state.size, label: state.label, is_thing: entry(state.label).is_thing});
  }

  // A circle of the brush's true size
  function follow(event) {
    const ring = canvas('brush'), box = event.currentTarget.getBoundingClientRect(), size = state.size * box.width / state.scene.width;
    ring.hidden = !['brush', 'line'].includes(state.tool) || event.pointerType === 'touch';
    Object.assign(ring.style, {left: `${event.clientX - box.left}px`, top: `${event.clientY - box.top}px`, width: `${size}px`, height: `${size}px`});
  }
  const leave = () => { canvas('brush').hidden = true; };

  // What is selected

  async function pick(pixel, isWanted = selections.begin()) {
    const {scene, isShown} = state;
    try {
      const picked = await get(`scenes/${scene.id}/at?x=${pixel.x}&y=${pixel.y}`);
      if (!isShown() || !isWanted()) return;
      Object.assign(state, {picked, at: pixel, number: null, error: null});
      say(`Selected: ${picked.name}`);
    } catch (error) { if (isShown() && isWanted()) Object.assign(state, {picked: null, error}); }
    state.isWanted = isWanted;
    if (isShown()) show();
  }

  function restyle(number) {
    if (!state.picked?.num_styles) return;
    state.number = (number + state.picked.num_styles) % state.picked.num_styles;
    edit({kind: 'style', instance: state.picked.instance, number: state.number});
  }
  function unpick() {
    selections.end();
    state.picked = null;
  }
  function drop() {
    if (!state.picked) return;
    edit({kind: 'remove', instance: state.picked.instance});
    unpick();
  }
  // It stays selected where it went. A move waits for the one before: only then is it known what is selected, and where.
  function nudge(x, y, kind = 'move') {
    const {isWanted} = state;
    moves = moves.then(async () => {
      if (!state.picked || !isWanted()) return;
      const {at, picked} = state;
      await edit({kind, instance: picked.instance, x, y});
      if (state.scene && !state.error && isWanted()) await pick(pixelOf([at.x + x, at.y + y]), isWanted);
    });
  }

  const order = () => state.scene && {verb: 'paint', model: state.model, scene: state.scene.id};
  const shown = commandOf(order, () => show());

  const jobs = jobsOf('paint', () => show());
  const save = () => { if (state.scene) jobs.start(order()); };
  const step = kind => { unpick(); edit({kind}); };

  function outline() {
    const {picked, scene} = state;
    if (!picked?.box) return nothing;
    const [right, below] = grip ? [0, 1].map(axis => grip.to[axis] - grip.from[axis]) : [0, 0];
    const share = (value, whole) => `${value / whole * 100}%`;
    return html`<div class="chosen" style="left:${share(picked.box.left + right, scene.width)};top:${share(picked.box.top + below, scene.height)};width:${share(picked.box.width, scene.width)};height:${share(picked.box.height, scene.height)}"></div>`;
  }

  const selected = () => {
    const {picked} = state;
    return html`<div class="note thing"><div class="row">
      ${!picked ? html`<span class="faint">Nothing is selected. With Select, press a thing to give it another style, to move, copy or remove it.</span>` : html`
      <strong class="grow">${picked.name}</strong>
      ${picked.num_styles ? html`<span class="faint small">Style</span>${segments('Style', Array.from({length: picked.num_styles}, (_, number) => [number, String(number + 1)]), state.number, restyle)}` : nothing}
      <span class="segments" role="group" aria-label="Move"><button aria-label="Move left" @click=${() => nudge(-8, 0)}>←</button><button aria-label="Move right" @click=${() => nudge(8, 0)}>→</button><button
        aria-label="Move up" @click=${() => nudge(0, -8)}>↑</button><button aria-label="Move down" @click=${() => nudge(0, 8)}>↓</button></span>
      <button @click=${() => nudge(24, 0, 'copy')}>Copy</button><button @click=${drop}>Remove</button>`}</div></div>`;
  };

  function show() {
    const scene = state.scene;
    render(html`
      ${title('Paint', LEAD, html`<button class="primary" title="Save the picture (s)" ?disabled=${!scene} @click=${save}>Save picture</button>`)}
      <div class="page">
        <div class="work">
          ${problem(state.error)}
          ${!scene ? html`<p role="status">${state.error ? nothing : 'The painter is getting ready …'}</p>` : html`
          <div class="pair">
            <figure><div class="stage"><canvas id="labels" class="map sharp" width=${scene.width} height=${scene.height} tabindex="0" role="img" aria-label="Label map: draw here"
              @pointerdown=${down} @pointermove=${move} @pointerup=${up} @pointercancel=${up} @pointerleave=${leave}></canvas>${outline()}<div id="brush" class="brush" hidden></div></div>
              <figcaption class="faint">Labels: draw here</figcaption></figure>
            <figure><canvas id="picture" class="map" width=${scene.width} height=${scene.height} role="img" aria-label="The picture made of it"></canvas>
              <figcaption class="faint"><span role="status">${state.busy ? 'painting …' : state.took === null ? 'Picture' : `Picture, made in ${state.took} ms`}</span></figcaption></figure>
          </div>
          ${selected()}
          ${scene.note ? html`<p class="faint" role="status">${scene.note}</p>` : nothing}
          ${command(shown.text)}`}
        </div>
        <div class="side">
          <div>
            ${choose('Painter', models.map(model => [model.id, model.name]), state.model, id => { state.model = id; begin(); })}
            ${scene ? choose('Scene', state.scenes.map(name => [name, name]), scene.id, name => begin({name})) : nothing}
            <div class="row even"><button @click=${() => begin({start: 'street'})}>New street</button><button @click=${() => begin({start: 'blank'})}>Blank</button></div>
          </div>
          <div>
            ${segments('Tool', TOOLS, state.tool, tool => { state.tool = tool; show(); })}
            ${slide('Size', state.size, {min: 1, max: 80, step: 1, shown: `${state.size} px`}, size => { state.size = size; show(); })}
            <div class="row even"><button title="Undo (Ctrl Z)" ?disabled=${!scene?.undo} @click=${() => step('undo')}>Undo</button>
              <button title="Redo (Shift Ctrl Z)" ?disabled=${!scene?.redo} @click=${() => step('redo')}>Redo</button></div>
          </div>
          ${scene ? html`<div><h2>Classes</h2>
            <div class="classes" role="group" aria-label="Classes">${scene.classes.map(each => html`<button aria-pressed=${each.id === state.label} @click=${() => { state.label = each.id; show(); }}>
              <span class="swatch" style="background:rgb(${each.color.join(' ')})"></span>${each.name}</button>`)}</div></div>` : nothing}
          ${jobs.view()}
        </div>
      </div>`, root);
  }

  const resize = by => { state.size = Math.max(1, Math.min(80, state.size + by)); show(); };
  const quiet = keys({
    ...Object.fromEntries(TOOLS.map(([tool, , key]) => [key, () => { state.tool = tool; show(); }])),
    '[': () => resize(-2), ']': () => resize(2), r: () => restyle((state.number ?? -1) + 1), s: save, Delete: drop,
    // Also while the stroke is still painted that is to be undone.
    'Ctrl+z': () => step('undo'), 'Ctrl+Shift+z': () => step('redo'),
  });
  show();
  begin();
  return () => { scenes.end(); jobs.close(); quiet(); };
}
