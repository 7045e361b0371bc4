// The last hour: throughput, lag and latency, drawn by uPlot in the colours of the page.

import { html, useEffect, useRef } from "./vendor/htm-preact.js";
import { clock, compact, count, rate, shortSeconds } from "./format.js";

const HEIGHT = 150;
const HOUR_S = 3600;

const CHARTS = [
  { title: "Throughput", unit: "records finished a second", values: rate, ticks: compact, lines: [["rate", 1, "--lanes-line-1"]] },
  { title: "Lag", unit: "records", values: count, ticks: compact, lines: [["lag", 2, "--lanes-line-2"]] },
  { title: "Latency", unit: "dispatch to outcome", values: shortSeconds, ticks: shortSeconds,
    lines: [["median", 4, "--lanes-line-1"], ["95 %", 5, "--lanes-line-2"]] },
];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function options(chart, width) {
  const axis = { stroke: colour("--flower-text-muted"), grid: { stroke: colour("--bs-border-color"), width: 1 },
    ticks: { show: false }, font: "12px system-ui, sans-serif" };
  return {
    width, height: HEIGHT, legend: { show: false }, cursor: { y: false },
    scales: { x: { time: true }, y: { range: (_, __, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [{ ...axis, size: 28, values: (_, ticks) => ticks.map((at) => clock(at * 1000, Date.now()).slice(-8, -3)) },
      { ...axis, size: 58, values: (_, ticks) => ticks.map(chart.ticks) }],
    series: [{}, ...chart.lines.map(([label, , name]) => ({ label, stroke: colour(name), width: 2, spanGaps: false,
      points: { show: false } }))],
  };
}

function columns(points, chart) {
  return [points.map((point) => point[0] / 1000), ...chart.lines.map(([, index]) => points.map((point) => point[index]))];
}

function Chart({ chart, points }) {
  const box = useRef(null);
  const drawn = useRef(null);
  const latest = useRef(points);
  latest.current = points;
  useEffect(() => {
    const draw = () => {
      drawn.current?.destroy();
      drawn.current = new uPlot(options(chart, box.current.clientWidth), columns(latest.current, chart), box.current);
    };
    const sized = new ResizeObserver(() => drawn.current?.setSize({ width: box.current.clientWidth, height: HEIGHT }));
    const themed = new MutationObserver(draw);
    draw();
    sized.observe(box.current);
    themed.observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });
    return () => { sized.disconnect(); themed.disconnect(); drawn.current.destroy(); };
  }, []);
  useEffect(() => drawn.current?.setData(columns(points, chart)), [points]);
  const last = points[points.length - 1];
  const values = chart.lines.map(([, index]) => (last ? chart.values(last[index]) : "–"));
  const now = chart.lines.length > 1 ? chart.lines.map(([label], index) => `${label} ${values[index]}`).join(", ") : values[0];
  return html`
    <figure class="lanes-chart">
      <figcaption><b>${chart.title}</b> <span class="lanes-muted">${chart.unit}</span>
        <span class="lanes-chart-now">${chart.lines.map(([label], index) => html`
          <span key=${label} data-line=${chart.lines.length > 1 ? index + 1 : null} >
            ${chart.lines.length > 1 && html`<small>${label}</small>${" "}`}${values[index]}</span>`)}</span>
      </figcaption>
      <div ref=${box} role="img" aria-label=${`${chart.title}, ${chart.unit}: now ${now}`}></div>
    </figure>`;
}

export function Charts({ points, sinceMs, now }) {
  const isWhole = now - sinceMs >= HOUR_S * 1000;
  return html`
    <section class="lanes-box" aria-labelledby="charts-title">
      <div class="lanes-box-head">
        <h2 id="charts-title">The last hour</h2>
        <span class="lanes-muted">${isWhole ? "" : `kept since this Flower started, ${clock(sinceMs, now)}; `}
          a point every 5 s</span>
      </div>
      <div class="lanes-charts">
        ${CHARTS.map((chart) => html`<${Chart} key=${chart.title} chart=${chart} points=${points} />`)}
      </div>
    </section>`;
}
