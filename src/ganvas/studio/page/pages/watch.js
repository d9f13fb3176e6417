// Watch: the losses of a run as they come, and its previews under one slider that stays where it is put.
import {html, nothing, render} from '../vendor/lit.js';
import uPlot from '../vendor/uplot.js';
import {get, listen, post, remove} from '../api.js';
import {choose, command, empty, problem} from '../widgets.js';

export async function open(root, [wanted]) {
  const all = await get('runs');
  if (!all.length) {
    render(html`<h1>Watch</h1>${empty('There is no run to watch. Begin one:', 'ganvas train esrgan --data PHOTOS --preset preview')}`, root);
    return;
  }
  const state = {id: wanted ?? all.at(-1).id, after: 0, columns: {}, events: [], preview: -1, follows: true, run: null,
    error: null, lost: null, job: null};
  let plot = null, timer = 0, ended = false;

  async function load() {
    state.run = await get(`runs/${state.id}`);
    const {after, lines} = await get(`runs/${state.id}/log?after=${state.after}`);
    state.after = after;
    for (const line of lines) {
      if (line.event && line.event !== 'step') state.events.push(line);
      const losses = line.losses ?? line;
      if (line.step === undefined) continue;
      for (const [name, value] of Object.entries(losses)) {
        if (typeof value !== 'number' || ['step', 'time', 'images', 'seconds', 'stage_step'].includes(name)) continue;
        (state.columns[name] ??= new Map()).set(line.step, value);
      }
    }
    if (state.follows) state.preview = state.run.previews.length - 1;
  }

  function data() {
    const steps = [...new Set(Object.values(state.columns).flatMap(column => [...column.keys()]))].sort((a, b) => a - b);
    return [steps, ...Object.values(state.columns).map(column => steps.map(step => column.get(step) ?? null))];
  }

  function chart() {
    const place = root.querySelector('#plot');
    if (!place) return;
    const names = Object.keys(state.columns);
    if (plot && plot.names === names.join()) { plot.chart.setData(data()); return; }
    plot?.chart.destroy();
    if (!names.length) return;
    const ink = getComputedStyle(document.body).color;
    const chart = new uPlot({
      width: place.clientWidth, height: 300, axes: [{stroke: ink}, {stroke: ink}],
      scales: {x: {time: false}},
      series: [{label: 'step'}, ...names.map((label, number) => ({
        label, stroke: `hsl(${(number * 67) % 360} 70% 50%)`, spanGaps: true, points: {show: false}}))],
    }, data(), place);
    plot = {chart, names: names.join()};
  }

  const act = work => async () => {
    try { state.job = await work(); state.error = null; } catch (error) { state.error = error; }
    show();
  };

  function show() {
    if (ended) return;
    const previews = state.run.previews, chosen = previews[state.preview];
    render(html`
      <h1>Watch</h1>
      <div class="bar">
        ${choose('Run', all.map(run => [run.id, run.name]), state.id, id => { location.hash = `#/watch/${id}`; })}
        <span>${state.run.recipe}, step ${state.run.step.toLocaleString()}</span>
        ${state.job && ['queued', 'running'].includes(state.job.state)
          ? html`<button @click=${act(() => remove(`jobs/${state.job.id}`))}>stop</button>`
          : html`<button class="primary" @click=${act(() => post('jobs', {verb: 'resume', run: state.id}))}>resume</button>`}
        ${state.job ? html`<span role="status">${state.job.state} ${state.job.error}</span>` : nothing}
      </div>
      ${problem(state.error)}${problem(state.lost)}
      <div id="plot" role="img" aria-label="Losses over the steps"></div>
      <h2>Previews</h2>
      ${previews.length ? html`
        <div class="bar"><label>Preview
          <input type="range" min="0" max=${previews.length - 1} .value=${String(state.preview)}
            @input=${event => { state.preview = Number(event.target.value); state.follows = state.preview === previews.length - 1; show(); }}>
          <output>${chosen}</output></label></div>
        <div class="scroll" tabindex="0" role="region" aria-label="Preview"><img alt="Preview ${chosen}" src="/api/runs/${state.id}/previews/${chosen}"></div>`
        : html`<p class="faint">There is no preview yet.</p>`}
      ${state.events.length ? html`<h2>Events</h2><ul>${state.events.slice(-20).map(line => html`
        <li>step ${line.step}: ${line.event} ${line.message ?? line.reason ?? ''}</li>`)}</ul>` : nothing}
      ${command(state.run.command)}`, root);
    chart();
  }

  async function turn() {
    try { await load(); state.lost = null; } catch (error) { state.lost = error; }
    show();
    if (!ended) timer = setTimeout(turn, 2000);
  }
  await load();
  state.job = (await get('jobs')).find(job => job.order.run === state.id) ?? null;
  show();
  timer = setTimeout(turn, 2000);
  const deaf = listen('job', job => { if (job.order.run === state.id) { state.job = job; show(); } });
  return () => { ended = true; clearTimeout(timer); deaf(); plot?.chart.destroy(); };
}
