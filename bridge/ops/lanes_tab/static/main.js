// The page: puts the parts together, and knows which lane is open and what is being asked.

import { html, render, useEffect, useReducer, useRef, useState } from "./vendor/htm-preact.js";
import { Asks, Rebalances, Totals } from "./activity.js";
import { Charts } from "./charts.js";
import { Confirm, bodyOf } from "./confirm.js";
import { Detail } from "./detail.js";
import { Head } from "./head.js";
import { Letters } from "./letters.js";
import { List, NeedsYou } from "./list.js";
import { Store, act } from "./store.js";
import { Strip } from "./strip.js";

const NOTICE_MS = 8000;
const DIALOGS = new Set(["pause", "skip"]);

const root = document.getElementById("lanes");
const { path, taskPath, whyNotAct, showValues } = root.dataset;

function laneInAddress() {
  const found = window.location.hash.match(/^#lane=(.+)$/);
  return found ? decodeURIComponent(found[1]) : "";
}

function App({ store }) {
  const [, redraw] = useReducer((number) => number + 1, 0);
  const [open, setOpen] = useState(laneInAddress());
  const [wish, setWish] = useState(null);
  const [notice, setNotice] = useState(null);
  const [chosen, setChosen] = useState("");
  useEffect(() => store.subscribe(redraw), []);
  useEffect(() => {
    const follow = () => setOpen(laneInAddress());
    window.addEventListener("hashchange", follow);
    return () => window.removeEventListener("hashchange", follow);
  }, []);
  useEffect(() => {
    const timer = notice && setTimeout(() => setNotice(null), NOTICE_MS);
    return () => clearTimeout(timer);
  }, [notice]);
  const opener = useRef(null);
  useEffect(() => {
    if (!open && opener.current) opener.current.focus();
    opener.current = open ? opener.current || document.activeElement : null;
  }, [open]);
  const onOpen = (key) => {
    if (key && !open) opener.current = document.activeElement;
    window.location.hash = key ? `lane=${encodeURIComponent(key)}` : "";
  };
  const onAsk = async (asked) => {
    if (DIALOGS.has(asked.action)) setWish(asked);
    else setNotice(await act(path, bodyOf(asked)));
  };
  const onDone = (text) => {
    setWish(null);
    if (text) setNotice({ text });
  };
  if (!store.tick) return html`<p class="lanes-muted" role="status">${store.silent || "Asking for the lanes …"}</p>`;
  const { tick, sorted: rows } = store;
  const shared = { store, onAsk, onOpen, open, canAct: !whyNotAct };
  return html`
    <${Head} store=${store} />
    ${whyNotAct && html`<p class="lanes-hint">${whyNotAct}</p>`}
    <${NeedsYou} ...${shared} rows=${rows} />
    <${Strip} rows=${rows} open=${open} onOpen=${onOpen} counts=${tick.summary.states} order=${tick.order}
      chosen=${chosen} onChoose=${setChosen} />
    <${List} rows=${rows} open=${open} onOpen=${onOpen} chosen=${chosen} onChoose=${setChosen} />
    <${Charts} points=${store.points} sinceMs=${tick.since_ms} now=${store.now()} />
    <div class="lanes-pair">
      <${Asks} tick=${tick} now=${store.now()} canAct=${!whyNotAct} onAsk=${onAsk} />
      <${Rebalances} bridges=${tick.bridges} now=${store.now()} />
    </div>
    <${Totals} bridges=${tick.bridges} />
    <${Letters} path=${path} now=${store.now()} showValues=${Boolean(showValues)}
      canAct=${!whyNotAct} />
    ${open && html`<${Detail} ...${shared} lane=${open} onClose=${() => onOpen("")} taskPath=${taskPath} />`}
    ${wish && html`<${Confirm} path=${path} wish=${wish} onClose=${onDone} />`}
    <div class="lanes-notice" role="status" aria-live="polite">
      ${notice && html`<p data-error=${Boolean(notice.error)}>${notice.error || notice.text}</p>`}
    </div>`;
}

root.replaceChildren();
render(html`<${App} store=${new Store(path)} />`, root);
