// Runs and models: what there is, under which licence, and which page it opens in.
import {html, nothing, render} from '../vendor/lit.js';
import {get} from '../api.js';
import {button, follow, joined, links, state} from '../jobs.js';
import {bytes, command, empty, problem, title} from '../widgets.js';

const PAGES = {upscale: 'Upscale', paint: 'Paint', explore: 'Explore', fly: 'Fly', clips: 'Clips'};

export async function open(root) {
  const found = {models: await get('models'), runs: await get('runs'), jobs: await get('jobs'), error: null};

  async function act(work) {
    try { await work(); found.error = null; } catch (error) { found.error = error; }
    show();
  }

  const card = model => html`<li>
    <div class="row"><strong class="grow">${model.name}</strong>${model.page ? html`<a href="#/${model.page}/${model.id}">Open in ${PAGES[model.page]}</a>` : html`<span class="faint small">by command only</span>`}</div>
    <p>${model.purpose || model.recipe || model.network}</p>
    <p class="faint small">${model.data}</p>
    <p class="faint small">${[model.licence, bytes(model.size)].filter(Boolean).join(', ')}</p></li>`;

  function show() {
    render(html`
      ${title('Runs and models', 'What there is to use, under which licence, and what was saved.')}
      ${problem(found.error)}
      <div class="library">
        <h2>Jobs</h2>
        ${found.jobs.length ? html`<ul class="list">${found.jobs.map(job => html`<li class="note">
            <div class="row fixed"><span class="grow">${state(job)}</span>${button(job, act)}</div>${links(job)}<code class="faint">${job.command}</code></li>`)}</ul>`
          : html`<p class="faint">What a page saves is a job, and stands here with its command.</p>`}
        <h2>Runs</h2>
        ${found.runs.length ? html`<ul class="cards">${found.runs.map(run => html`<li>
          <div class="row"><strong class="grow">${run.name}</strong><a href="#/watch/${run.id}">Watch</a></div>
          <p class="faint">${run.recipe}, step ${run.step.toLocaleString('en')}</p></li>`)}</ul>`
          : empty('There is no run yet. A training of minutes begins with:', 'ganvas train esrgan --data PHOTOS --preset preview')}
        <h2>Models</h2>
        <ul class="cards">${found.models.map(card)}</ul>
        ${command('ganvas models')}
      </div>`, root);
  }
  show();
  return follow(told => {
    found.jobs = told.reduce(joined, found.jobs);
    show();
  });
}
