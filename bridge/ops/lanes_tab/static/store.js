// What the page knows: filled by one stream of events, told to whoever subscribed.

const SILENT_AFTER_MS = 5000;
const AGAIN_AFTER_MS = 3000;

export class Store {
  constructor(path) {
    this.path = path;
    this.tick = null;
    this.rows = new Map();
    this.sorted = [];
    this.points = [];
    this.silent = "";
    this.offset = 0;
    this.heardAt = Date.now();
    this.listeners = new Set();
    this.connect();
    setInterval(() => this.watch(), 1000);
  }

  now() {
    return Date.now() + this.offset;
  }

  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  connect() {
    this.events = new EventSource(`${this.path}/api/stream`);
    this.events.onmessage = (event) => this.take(JSON.parse(event.data));
    this.events.onerror = () => {
      // a refused stream (login expired) is given up by the browser: ask again ourselves
      if (this.events.readyState === EventSource.CLOSED) setTimeout(() => this.connect(), AGAIN_AFTER_MS);
    };
  }

  async loadHour() {
    const answer = await ask(`${this.path}/api/hour`);
    if (!answer.error) {
      this.points = answer.points;
      this.tell();
    }
  }

  take(tick) {
    this.heardAt = Date.now();
    this.offset = tick.now_ms - this.heardAt;
    this.silent = "";
    if (tick.full) {
      // the beginning, or ticks were missed: their points too
      this.rows = new Map();
      this.loadHour();
    }
    for (const key of tick.gone) this.rows.delete(key);
    for (const row of tick.rows) this.rows.set(row.key, row);
    if (tick.point) this.points = [...this.points, tick.point].slice(-720);
    this.tick = tick;
    this.sorted = worstFirst([...this.rows.values()], tick.order);
    this.tell();
  }

  watch() {
    const silence = Date.now() - this.heardAt;
    if (silence > SILENT_AFTER_MS) {
      this.silent = `Flower has not answered for ${Math.round(silence / 1000)} s; what you see is from then. `
        + "Trying again; if you were logged out, reload the page.";
      this.tell();
    }
  }

  tell() {
    for (const listener of this.listeners) listener();
  }
}

// Of equal states the older ones first, by steps: rows must not dance when ages differ by a second.
function worstFirst(rows, order) {
  const rank = new Map(order.map((state, index) => [state, index]));
  const step = (row) => Math.floor(Math.log2(1 + (row.lag_seconds || 0)) / 2);
  return rows.sort((a, b) =>
    rank.get(a.state) - rank.get(b.state) || step(b) - step(a) || a.topic.localeCompare(b.topic)
    || a.partition - b.partition || a.lane - b.lane);
}

export async function ask(url, options) {
  try {
    const reply = await fetch(url, options);
    return await reply.json();
  } catch (error) {
    return { error: `Flower does not answer (${error.message})` };
  }
}

export function act(path, body, what = "act") {
  const headers = { "Content-Type": "application/json", "X-Lanebridge-Act": "1" };
  return ask(`${path}/api/${what}`, { method: "POST", headers, body: JSON.stringify(body) });
}
