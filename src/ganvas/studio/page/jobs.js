// The jobs of a page: what was saved from it, how far that is, and where the results are.
import {html, nothing} from './vendor/lit.js';
import {get, listen, opened, post, remove} from './api.js';
import {baseName, problem, say} from './widgets.js';

const SHOWN = 6, FEW = 3;

// An answer can come later than the event of what happened since: of each job the newest revision counts.
export const newer = (one, other) => one && one.id === other.id && one.revision > other.revision ? one : other;
export const joined = (list, job) => [newer(list.find(each => each.id === job.id), job), ...list.filter(each => each.id !== job.id)]
  .sort((a, b) => b.id.localeCompare(a.id));

// Tells of all jobs at every connection, and of each that changes; returns how to end that.
export function follow(react) {
  const ask = () => get('jobs').then(react, () => { /* asked again at the next connection */ });
  const ends = [listen('job', job => react([job])), opened(ask)];
  ask();
  return () => { for (const end of ends) end(); };
}

// `verbs` are the orders' whose jobs are shown; `show` is called when one has changed, with that job.
export function jobsOf(verbs, show) {
  const mine = job => [verbs].flat().includes(job.order.verb);
  const jobs = {list: [], error: null};
  const put = job => { jobs.list = joined(jobs.list, job); };
  const deaf = follow(told => {
    for (const job of told.filter(mine)) {
      const before = jobs.list.find(other => other.id === job.id)?.state;
      if (before && before !== job.state) say(job.state === 'done' ? `Saved: ${job.results.map(baseName).slice(0, FEW).join(', ')}` : `The job is ${job.state} ${job.error}`);
      put(job);
    }
    if (told.some(mine)) show(told.length > 1 ? undefined : told[0]);
  });

  async function act(work) {
    try { put(await work()); jobs.error = null; } catch (error) { jobs.error = error; }
    show();
  }
  return Object.assign(jobs, {
    close: deaf,
    start: order => act(async () => { const job = await post('jobs', order); say('The job is queued'); return job; }),
    view: () => html`${problem(jobs.error)}${!jobs.list.length ? nothing : html`
      <div><h2>Saved</h2>
      <ul class="list">${jobs.list.slice(0, SHOWN).map(job => html`<li class="note">
        ${links(job)}
        <div class="row fixed"><span class="grow">${state(job)}</span>${button(job, act)}</div></li>`)}</ul></div>`}`,
  });
}

const link = job => (name, number) => html`<a href="/api/jobs/${job.id}/results/${number}" download>${baseName(name)}</a>`;

// A job's results: all where they are few.
export const links = job => {
  const all = job.results.map(link(job));
  return html`${all.slice(0, FEW)}${all.length > FEW ? html`<details><summary>${all.length - FEW} more</summary>${all.slice(FEW).map(each => html`${each}<br>`)}</details>` : nothing}`;
};

export const button = (job, act) => ['queued', 'running'].includes(job.state)
  ? html`<button @click=${() => act(() => remove(`jobs/${job.id}`))}>Stop</button>`
  : ['failed', 'stopped', 'interrupted'].includes(job.state)
    ? html`<button @click=${() => act(() => post(`jobs/${job.id}/resume`, {}))}>Resume</button>` : nothing;

// What a job is about, its state, and of one that runs how far it is.
export const state = job => html`<span class="small"><strong>${job.state}</strong> <span class="faint">${job.id}</span>
  ${job.state === 'running' && job.total ? html`<progress max=${job.total} value=${job.done} aria-label="How far ${job.id} is"></progress>
    ${job.left_s === null ? nothing : html`<span class="faint">${seconds(job.left_s)} left</span>`}` : nothing}
  ${job.error && job.state !== 'running' ? html`<br><span class="faint">${job.error}</span>` : nothing}</span>`;

const seconds = count => count < 90 ? `${Math.ceil(count)} s` : `${Math.round(count / 60)} min`;
