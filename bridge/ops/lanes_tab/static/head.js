// The head of the page: one sentence, four numbers, and what stands in the way of believing them.

import { html } from "./vendor/htm-preact.js";
import { clock, count, plural, rate, span } from "./format.js";

const MARKS = { good: "✓", attention: "!", broken: "✕" };

export function Head({ store }) {
  const { tick } = store;
  const { summary } = tick;
  return html`
    <header class="lanes-head" data-health=${summary.health}>
      <span class="lanes-mark" aria-hidden="true">${MARKS[summary.health]}</span>
      <div>
        <p class="page-eyebrow">Group ${tick.group}</p>
        <h1><span role="status">${summary.headline}</span></h1>
      </div>
      <p class="refresh-status lanes-live">
        <span class=${`status-dot ${store.silent || tick.trouble ? "status-dot-error" : "status-dot-live"}`}></span>
        ${store.silent || tick.trouble ? "stands still" : "live"}, ${clock(tick.at_ms, store.now())}
      </p>
    </header>
    <${Warnings} store=${store} />
    <section class="metric-grid" aria-label="Summary">
      <${Card} label="Lag" value=${count(summary.lag)} note="records not committed" />
      <${Card} label="Rate" value=${rate(summary.rate)} note="records finished a second" />
      <${Card} label="Oldest unfinished" value=${summary.oldest_seconds ? span(summary.oldest_seconds) : "none"}
        note=${summary.oldest_lane || "nothing waits"} />
      <${Card} label="Bridges" value=${count(summary.bridges)}
        note=${`${plural(summary.partitions, "partition")}, ${plural(summary.lanes, "lane")}`} />
    </section>`;
}

function Card({ label, value, note }) {
  return html`
    <article class="metric-card">
      <p class="metric-label">${label}</p>
      <p class="metric-value">${value}</p>
      <p class="lanes-note">${note}</p>
    </article>`;
}

function Warnings({ store }) {
  const { tick } = store;
  const warnings = [store.silent, tick.trouble && `${tick.trouble}; what you see is from ${clock(tick.at_ms, store.now())}`,
    ...tick.summary.troubles].filter(Boolean);
  return warnings.map((text) => html`<p class="lanes-warning" role="alert" key=${text}>${text}</p>`);
}
