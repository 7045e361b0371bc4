// What has happened: batches, rebalances, and what people have asked for.

import { html } from "./vendor/htm-preact.js";
import { AuditLine } from "./buttons.js";
import { clock, count, targetText } from "./format.js";

const BOUNDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

function sum(bridges, of) {
  const total = {};
  for (const bridge of bridges) {
    for (const [name, number] of Object.entries(of(bridge.totals))) total[name] = (total[name] || 0) + number;
  }
  return total;
}

function sizes(bridges) {
  const counts = sum(bridges, (totals) => ({ ...totals.sizes.counts }));
  return [...BOUNDS, Infinity].map((bound, index) => [
    bound === Infinity ? "over 5,000" : index && BOUNDS[index - 1] + 1 < bound
      ? `${count(BOUNDS[index - 1] + 1)} to ${count(bound)}` : count(bound), counts[index] || 0]);
}

function Tallies({ title, entries, empty }) {
  const used = entries.filter(([, number]) => number > 0);
  const most = Math.max(...used.map(([, number]) => number), 1);
  return html`
    <div>
      <h3>${title}</h3>
      ${used.length ? html`<table class="lanes-tallies"><tbody>${used.map(([name, number]) => html`
        <tr key=${name}><th scope="row">${name}</th><td>${count(number)}</td>
          <td aria-hidden="true"><i style=${{ width: `${(100 * number) / most}%` }}></i></td></tr>`)}</tbody></table>`
        : html`<p class="lanes-muted">${empty}</p>`}
    </div>`;
}

export function Totals({ bridges }) {
  const of = (name) => Object.entries(sum(bridges, (totals) => totals[name]));
  return html`
    <section class="lanes-box" aria-labelledby="totals-title">
      <div class="lanes-box-head">
        <h2 id="totals-title">Since the bridges started</h2>
      </div>
      <div class="lanes-columns">
        <${Tallies} title="Batches by what closed them" entries=${of("batches")} empty="none yet" />
        <${Tallies} title="Records in a batch" entries=${sizes(bridges)} empty="none yet" />
        <${Tallies} title="Chains that failed" entries=${of("failures")} empty="none" />
        <${Tallies} title="Records given up" entries=${of("disposed")} empty="none" />
      </div>
    </section>`;
}

export function Rebalances({ bridges, now }) {
  const all = bridges.flatMap((bridge) => bridge.totals.rebalances.map((each) => ({ ...each, bridge: bridge.id })));
  all.sort((a, b) => b.at_ms - a.at_ms);
  return html`
    <section class="lanes-box" aria-labelledby="rebalances-title">
      <h2 id="rebalances-title">Rebalances</h2>
      ${all.length ? html`<ul class="lanes-asked">${all.slice(0, 20).map((each) => html`
        <li key=${`${each.at_ms}${each.bridge}${each.kind}`}><time>${clock(each.at_ms, now)}</time> <b>${each.bridge}</b>${" "}
          ${each.kind} ${count(each.partitions.length)}: ${each.partitions.slice(0, 12).join(", ")}${
            each.partitions.length > 12 ? " …" : ""}</li>`)}</ul>`
        : html`<p class="lanes-muted">none since the bridges started</p>`}
    </section>`;
}

export function Asks({ tick, now, canAct, onAsk }) {
  const lines = [...tick.audit].reverse();
  return html`
    <section class="lanes-box" aria-labelledby="asks-title">
      <h2 id="asks-title">What people asked for</h2>
      ${tick.requests.length > 0 && html`
        <h3>Waiting for a bridge</h3>
        <ul class="lanes-asked">${tick.requests.map((request) => html`
          <li key=${request.id} data-pending="true"><time>${clock(request.at_ms, now)}</time> <b>${request.who}</b>${" "}
            ${request.action} ${targetText(request.target)} at offset ${request.offset}${" "}
            <button type="button" class="btn btn-sm btn-outline-secondary" disabled=${!canAct}
              onClick=${() => onAsk({ action: "withdraw", request: request.id, target: request.target })}>
              Take back</button></li>`)}</ul>`}
      <h3>Audit list</h3>
      ${lines.length ? html`<ul class="lanes-asked">${lines.slice(0, 20).map((line, index) => html`
        <${AuditLine} key=${`${line.at_ms} ${index}`} line=${line} now=${now}
          isPending=${!line.result && tick.requests.some((request) => request.id === line.request)} />`)}</ul>`
        : html`<p class="lanes-muted">nobody has asked for anything yet</p>`}
    </section>`;
}
