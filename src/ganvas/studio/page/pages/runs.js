// Runs and models: what there is, under which licence, and which page it opens in.
import {html, nothing, render} from '../vendor/lit.js';
import {get, listen, post, remove} from '../api.js';
import {links, state} from '../jobs.js';
import {bytes, command, empty, problem} from '../widgets.js';


export async function open(root) {
  const found = {models: await get('models'), runs: await get('runs'), jobs: await get('jobs'), error: null};

  const act = work => async () => {
    try { await work(); found.error = null; } catch (error) { found.error = error; }
    show();
  };

  const jobRow = job => html`<tr>
    <td>${state(job)}</td>
    <td><code>${job.command}</code></td>
    <td>${links(job)}</td>
    <td>${['queued', 'running'].includes(job.state)
      ? html`<button @click=${act(() => remove(`jobs/${job.id}`))}>stop</button>`
      : ['failed', 'stopped', 'interrupted'].includes(job.state)
        ? html`<button @click=${act(() => post(`jobs/${job.id}/resume`, {}))}>resume</button>` : nothing}</td></tr>`;

  function show() {
    render(html`
      <h1>Models</h1>
      ${problem(found.error)}
      <div class="scroll" tabindex="0" role="region" aria-label="Models"><table>
        <thead><tr><th>Name</th><th>What</th><th>Licence</th><th>Size</th></tr></thead>
        <tbody>${found.models.map(model => html`<tr>
          <td>${model.page ? html`<a href="#/${model.page}/${model.id}">${model.name}</a><br><span class="faint">${model.page}</span>` : model.name}</td>
          <td>${model.purpose || model.recipe || model.network}<br><span class="faint">${model.data}</span></td>
          <td>${model.licence}</td><td>${bytes(model.size)}</td></tr>`)}
        </tbody></table></div>
      <h1>Runs</h1>
      ${found.runs.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Runs"><table>
        <thead><tr><th>Run</th><th>Recipe</th><th>Step</th><th>Open</th></tr></thead>
        <tbody>${found.runs.map(run => html`<tr>
          <td>${run.name}</td><td>${run.recipe}</td><td>${run.step.toLocaleString()}</td>
          <td><a href="#/watch/${run.id}">watch</a></td></tr>`)}</tbody></table></div>`
        : empty('There is no run yet. A training of minutes begins with:', 'ganvas train esrgan --data PHOTOS --preset preview')}
      <h1>Jobs</h1>
      ${found.jobs.length ? html`<div class="scroll" tabindex="0" role="region" aria-label="Jobs"><table>
        <thead><tr><th>Job</th><th>Command</th><th>Results</th><th>Do</th></tr></thead>
        <tbody>${found.jobs.map(jobRow)}</tbody></table></div>`
        : html`<p class="faint">What a page saves is a job, and stands here with its command.</p>`}
      ${command('ganvas models')}`, root);
  }
  show();
  return listen('job', job => {
    found.jobs = [job, ...found.jobs.filter(other => other.id !== job.id)].sort((a, b) => b.id.localeCompare(a.id));
    show();
  });
}
