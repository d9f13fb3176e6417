// Watch: the losses of a run as they come, and its previews under one slider that stays where it is put.
import {html, nothing, render} from '../vendor/lit.js';
import uPlot from '../vendor/uplot.js';
import {get, post, remove} from '../api.js';
import {follow, newer} from '../jobs.js';
import {choose, command, empty, problem, say, segments, title} from '../widgets.js';

const LEAD = 'Losses and previews of a training as they come.', TURN_MS = 2000, PLOT_PX = 280;
const EVENTS = ['skipped', 'rollback', 'sentinel'], GRADIENT = 'gradient of ';

export async function open(root, [wanted]) {
  let all = await get('runs'), ended = false, timer = 0;
  if (!all.length) {
    render(html`${title('Watch', LEAD)}${empty('There is no run yet. A training of minutes begins with the lines below; it shows here by itself once it runs.',
      'ganvas shapes shapes --size 32 && ganvas train biggan --data shapes --preset preview')}`, root);
    const look = async () => {
      try { all = await get('runs'); } catch { /* asked again in a moment */ }
      if (ended) return;
      if (all.length) dispatchEvent(new HashChangeEvent('hashchange')); else timer = setTimeout(look, TURN_MS);
    };
    timer = setTimeout(look, TURN_MS);
    return () => { ended = true; clearTimeout(timer); };
  }
  const state = {id: wanted ?? all.at(-1).id, after: 0, columns: {}, events: [], scores: null, gradients: false, preview: -1, follows: true, run: null,
    error: null, lost: null, job: null};
  let plot = null;

  async function load() {
    state.run = await get(`runs/${state.id}`);
    const {after, lines} = await get(`runs/${state.id}/log?after=${state.after}`);
    state.after = after;
    for (const line of lines) {
      for (const kind of EVENTS) if (line[kind]) state.events.push({step: line.step, kind, told: line[kind]});
      if (line.scores) state.scores = {step: line.step, ...line.scores};
      for (const [name, value] of Object.entries(line.losses ?? {})) {
        if (typeof value === 'number') (state.columns[name] ??= new Map()).set(line.step, value);
      }
    }
    if (state.follows) state.preview = state.run.previews.length - 1;
  }

  // Gradients are of another size than losses, which would lie flat beside them: one or the other.
  const drawn = () => Object.keys(state.columns).filter(name => name.startsWith(GRADIENT) === state.gradients);
  function data() {
    const columns = drawn().map(name => state.columns[name]);
    const steps = [...new Set(columns.flatMap(column => [...column.keys()]))].sort((a, b) => a - b);
    return [steps, ...columns.map(column => steps.map(step => column.get(step) ?? null))];
  }

  function chart() {
    const place = root.querySelector('#plot');
    if (!place) return;
    const names = drawn();
    if (plot && plot.names === names.join()) { plot.chart.setData(data()); return; }
    plot?.chart.destroy();
    plot = null;
    if (!names.length) return;
    const style = getComputedStyle(document.body), ink = style.color, line = style.getPropertyValue('--line');
    const axis = {stroke: ink, grid: {stroke: line, width: 1}, ticks: {stroke: line, width: 1}};
    const chart = new uPlot({
      width: place.clientWidth, height: PLOT_PX, axes: [axis, axis], scales: {x: {time: false}},
      series: [{label: 'step'}, ...names.map((label, number) => ({
        label, stroke: `hsl(${(number * 67 + 210) % 360} 65% 50%)`, width: 1.5, spanGaps: true, points: {show: plotted => plotted.data[0].length < 3}}))],
    }, data(), place);
    chart.ctx.canvas.setAttribute('role', 'img');
    chart.ctx.canvas.setAttribute('aria-label', `${state.gradients ? 'Gradients' : 'Losses'} over the steps`);
    plot = {chart, names: names.join()};
  }
  const sized = new ResizeObserver(([entry]) => plot?.chart.setSize({width: entry.contentRect.width, height: PLOT_PX}));

  const act = work => async () => {
    try { state.job = newer(state.job, await work()); state.error = null; } catch (error) { state.error = error; }
    show();
  };

  function show() {
    if (ended) return;
    const previews = state.run.previews, chosen = previews[state.preview], {job} = state;
    const runs = job && ['queued', 'running'].includes(job.state), stops = job?.error === 'stopping';
    render(html`
      ${title('Watch', LEAD, runs
        ? html`<button ?disabled=${stops} @click=${act(() => remove(`jobs/${job.id}`))}>${stops ? 'Stopping …' : 'Stop'}</button>`
        : html`<button class="primary" @click=${act(() => post('jobs', {verb: 'resume', run: state.id}))}>Resume</button>`)}
      <div class="page">
        <div class="work">
          ${problem(state.error)}${problem(state.lost)}
          ${segments('Curves', [[false, 'Losses'], [true, 'Gradients']], state.gradients, gradients => { state.gradients = gradients; show(); })}
          <div id="plot"></div>
          ${Object.keys(state.columns).length ? nothing : html`<p class="faint">The first losses are written soon.</p>`}
          ${previews.length ? html`
            <label class="row fixed">Preview
              <input class="grow" type="range" min="0" max=${previews.length - 1} .value=${String(state.preview)}
                @input=${event => { state.preview = Number(event.target.value); state.follows = state.preview === previews.length - 1; show(); }}>
              <output>${chosen}</output></label>
            <div class="scroll" tabindex="0" role="region" aria-label="Preview"><img style="max-width:100%" alt="Preview ${chosen}" src="/api/runs/${state.id}/previews/${chosen}"></div>`
            : html`<p class="faint">There is no preview yet.</p>`}
          ${command(state.run.command)}
        </div>
        <div class="side">
          <div>
            ${choose('Run', all.map(run => [run.id, run.name]), state.id, id => { location.hash = `#/watch/${id}`; })}
            <p><strong>${state.run.recipe}</strong>, step ${state.run.step.toLocaleString('en')}</p>
            <p class="faint" role="status">${job ? `${stops ? 'stopping' : job.state}${job.error && !stops ? `: ${job.error}` : ''}` : ''}</p>
            <p class="faint small">Stop writes a checkpoint first; Resume goes on from it, bit for bit.</p>
          </div>
          ${state.scores ? html`<div><h2>Scores, step ${state.scores.step}</h2><ul class="list">${Object.entries(state.scores).filter(([name]) => name !== 'step').map(([name, value]) => html`
            <li class="row fixed"><span class="grow">${name}</span>${typeof value === 'number' ? value.toPrecision(4) : value}</li>`)}</ul></div>` : nothing}
          ${state.events.length ? html`<div><h2>Events</h2><ul class="list small">${state.events.slice(-20).reverse().map(({step, kind, told}) => html`
            <li>Step ${step}: ${kind} <span class="faint">${Object.entries(told).map(([name, value]) => `${name} ${value}`).join(', ')}</span></li>`)}</ul></div>` : nothing}
        </div>
      </div>`, root);
    chart();
  }

  async function turn() {
    try { await load(); state.lost = null; } catch (error) { state.lost = error; }
    show();
    if (!ended) timer = setTimeout(turn, TURN_MS);
  }
  await load();
  state.job = (await get('jobs')).find(job => job.order.run === state.id) ?? null;
  show();
  sized.observe(root.querySelector('#plot'));
  timer = setTimeout(turn, TURN_MS);
  const deaf = follow(told => {
    const job = told.find(each => each.order.run === state.id);  // newest first
    if (!job) return;
    if (state.job && job.state !== state.job.state) say(`The training is ${job.state}`);
    state.job = newer(state.job, job);
    show();
  });
  return () => { ended = true; clearTimeout(timer); sized.disconnect(); deaf(); plot?.chart.destroy(); };
}
