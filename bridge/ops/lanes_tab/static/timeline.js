// The last batches of a partition by Flower's own task events: how long each link waited, and ran.

import { html } from "./vendor/htm-preact.js";
import { clock, shortSeconds } from "./format.js";

export function Batches({ batches, known, taskPath, now, of }) {
  const longest = Math.max(...batches.map(lengthOf), 0.001);
  return html`
    <section>
      <h3>Last batches of ${of}</h3>
      ${!batches.length && html`<p class="lanes-muted">${known
        ? "Flower has heard of none since it started."
        : "Flower has heard of no tasks at all: workers send events only with -E."}</p>`}
      <ol class="lanes-batches">
        ${batches.map((chain) => html`<li key=${chain.chain}>
          <p><time>${clock(1000 * begun(chain), now)}</time> <b>${chain.links[0].records || chain.chain}</b>
            ${chain.cut && html` <span class="lanes-cut">chain cut: ${chain.cut}</span>`}</p>
          ${chain.links.map((link) => html`<${Link} key=${link.id} link=${link} longest=${longest} taskPath=${taskPath} />`)}
        </li>`)}
      </ol>
    </section>`;
}

function begun(chain) {
  return Math.min(...chain.links.map((link) => link.received ?? link.started ?? Infinity));
}

function lengthOf(chain) {
  return Math.max(...chain.links.map((link) => (waited(link) ?? 0) + (ran(link) ?? 0)));
}

function waited(link) {
  return link.received !== null && link.started !== null ? Math.max(0, link.started - link.received) : null;
}

function ran(link) {
  return link.runtime ?? (link.started !== null && link.ended !== null ? Math.max(0, link.ended - link.started) : null);
}

function Link({ link, longest, taskPath }) {
  const [wait, run] = [waited(link) ?? 0, ran(link) ?? 0];
  return html`
    <div class="lanes-link">
      <a href=${`${taskPath}/${encodeURIComponent(link.id)}`}>${link.name || `link ${link.link}`}</a>
      <span class="lanes-link-state" data-celery=${link.state}>${link.state.toLowerCase()}</span>
      <span class="lanes-link-bar" aria-hidden="true">
        <i data-part="wait" style=${{ width: `${(100 * wait) / longest}%` }}></i>
        <i data-part="run" data-celery=${link.state} style=${{ width: `${(100 * run) / longest}%` }}></i>
      </span>
      <span class="lanes-muted">waited ${shortSeconds(waited(link))}, ran ${shortSeconds(ran(link))}${
        link.worker ? ` on ${link.worker}` : ""}</span>
      ${link.exception && html`<span class="lanes-error">${link.exception}</span>`}
    </div>`;
}
