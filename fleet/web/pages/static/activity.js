// The command log and the charts of a running load. Both are streamed only while they are open.
import { attempt, h, post } from "./dom.js";

const ROWS = 200, POINTS = 120, SVG = "http://www.w3.org/2000/svg";
const SERIES = { rate: ["rate"], latency: ["p50", "p99"], failures: ["failures"] };
const number = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: 1 }));

export function startActivity() {
  const panel = document.querySelector("#activity");
  const body = panel.querySelector("tbody");
  const points = [];
  let viewer = null;

  const log = (entries) => {
    for (const entry of entries) body.prepend(row(entry));
    while (body.rows.length > ROWS) body.lastChild.remove();
    panel.querySelector("#log-empty").hidden = body.rows.length > 0;
  };
  const load = (figures) => {
    points.push(...figures);
    points.splice(0, Math.max(0, points.length - POINTS));
    for (const [name, series] of Object.entries(SERIES)) draw(panel.querySelector(`[data-chart="${name}"]`), series);
    const last = points.at(-1);
    panel.querySelector("#load-state").textContent = last?.load ? `Load ${last.load} is running` : "No load is running; all commands are counted";
  };
  const draw = (figure, series) => {
    const top = Math.max(1, ...points.flatMap((point) => series.map((name) => point[name] ?? 0)));
    series.forEach((name, index) => {
      const path = figure.querySelectorAll("path")[index];
      const steps = points.map((point, at) => `${at ? "L" : "M"}${(at / (POINTS - 1)) * 300},${70 - ((point[name] ?? 0) / top) * 66}`);
      path.setAttribute("d", steps.join(""));
      figure.querySelector(`[data-figure="${name}"]`).textContent = number(points.at(-1)?.[name]);
    });
  };
  const follow = async () => {
    if (viewer === null) return;
    const answer = await attempt(() => post(`/viewers/${viewer}/activity`, { on: panel.open }));
    if (!answer || !panel.open) return;
    body.replaceChildren();
    points.length = 0;
    log(answer.log);
    load(answer.load);
  };
  panel.addEventListener("toggle", follow);
  return { log, load, started: (name) => { viewer = name; if (panel.open) follow(); } };
}

function row(entry) {
  return h(
    "tr", {},
    h("td", { class: "mono" }, entry.time),
    h("td", {}, entry.device),
    h("td", {}, entry.action),
    h("td", {}, h("span", { class: `badge ${entry.state}` }, entry.state), entry.error ? ` ${entry.error}` : ""),
    h("td", {}, entry.message),
    h("td", { class: "native mono" }, entry.native),
  );
}
