// What an operator can do with a lane, and what became of what was asked.

import { html, useState } from "./vendor/htm-preact.js";
import { clock, targetText } from "./format.js";

// states in which a try now would help; the bridge refuses it in others
const WAITS = new Set(["retrying", "stopped", "stalled"]);

export function Buttons({ row, onAsk, canAct }) {
  const button = (text, wish, style = "outline-secondary", enabled = true) => html`
    <button type="button" class=${`btn btn-sm btn-${style}`} disabled=${!canAct || !enabled}
      onClick=${(event) => { event.stopPropagation(); onAsk({ row, ...wish }); }}>${text}</button>`;
  const unfinished = row.first_unfinished !== null || row.at_stake.length > 0;
  return html`
    <div class="lanes-buttons">
      ${row.pauses.map((target) => button(`Resume ${targetText(target)}`, { action: "resume", target }, "primary"))}
      ${!row.pauses.length && button("Pause …", { action: "pause" })}
      ${button("Retry now", { action: "retry" }, row.state === "stopped" ? "primary" : "outline-secondary", unfinished && WAITS.has(row.state))}
      ${row.at_stake.length > 0 && button("Skip record …", { action: "skip" }, "outline-danger")}
    </div>`;
}

// The audit list has one line for what was asked and one, with the same request id, for the bridge's answer.
export function Asked({ store, row, limit }) {
  const { audit, requests } = store.tick;
  const concerns = (target) => row.key === target || row.key.startsWith(`${target}/`);
  const pending = new Set(requests.map((request) => request.id));
  const lines = audit.filter((line) => concerns(line.target)).slice(-limit).reverse();
  if (!lines.length) return null;
  return html`<ul class="lanes-asked" aria-live="polite">
    ${lines.map((line) => html`<${AuditLine} key=${`${line.at_ms} ${line.who} ${line.result}`} line=${line}
      isPending=${!line.result && pending.has(line.request)} now=${store.now()} />`)}
  </ul>`;
}

export function AuditLine({ line, isPending, now }) {
  const offset = line.offset >= 0 ? ` at offset ${line.offset}` : "";
  return html`
    <li data-pending=${isPending} data-answer=${line.result ? (line.done ? "done" : "refused") : null}>
      <time>${clock(line.at_ms, now)}</time> <b>${line.who}</b>${" "}
      ${line.result ? `${line.action} ${line.target}${offset}: ${line.result}` : `${line.action} ${line.target}${offset}`}
      ${line.note && ` (${line.note})`}
      ${isPending && html` <span class="lanes-pending">waiting for the bridge …</span>`}
    </li>`;
}

export function Copy({ text }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return html`<span class="lanes-copy"><code>${text}</code>
    ${navigator.clipboard && html`<button type="button" class="btn btn-sm btn-outline-secondary" onClick=${copy}>
      ${copied ? "copied" : "Copy"}</button>`}</span>`;
}
