"use strict";
// What the page does beside drawing: choices that live in the address, tables that sort, and files to keep.

const views = {};
const lists = () => [...document.querySelectorAll("select[data-charts]")];

/** Draw a chart, and show in it what its lists say. */
function draw(place, specification, patch) {
  vegaEmbed("#" + CSS.escape(place), specification, { renderer: "svg", actions: false, patch }).then(({ view }) => {
    views[place] = view;
    lists().forEach((list) => tell(list, place));
    const chart = document.getElementById(place);
    chart.querySelector("svg").setAttribute("aria-hidden", "true"); // the chart has a name, and the tables its numbers
    chart.dataset.drawn = "yes";
  });
}

/** Let a chart, or all charts of a list, show what the list says. */
function tell(list, only) {
  for (const place of list.dataset.charts.split(" ")) {
    const view = views[place];
    if (!view || (only && only !== place)) continue;
    view.signal(list.dataset.signal, JSON.parse(list.value)).runAsync();
  }
}

/** A place on an axis along which a chart is drawn cannot be chosen. */
function freeze() {
  for (const list of lists()) {
    const index = /^at_([0-9]+)$/.exec(list.dataset.signal);
    if (!index) continue;
    const along = lists().filter((other) => other.dataset.charts === list.dataset.charts && /^[xy]_axis$/.test(other.dataset.signal));
    list.disabled = along.some((other) => other.value === `"c${index[1]}"`);
  }
}

/** Two lists may not show the same axis: the other one takes what this one had. */
function keepApart(list, before) {
  const other = { x_axis: "y_axis", y_axis: "x_axis" }[list.dataset.signal];
  for (const rival of lists()) {
    const same = rival.dataset.charts === list.dataset.charts && rival.dataset.signal === other;
    if (same && rival.value === list.value) { rival.value = before; tell(rival); }
  }
}

// --- the address: what was chosen, by name, so that a link still means the same after the run has grown

const label = (list) => list.selectedOptions[0].textContent;

function writeAddress() {
  const chosen = new URLSearchParams();
  for (const list of lists()) if (!list.selectedOptions[0].defaultSelected) chosen.set(list.id, label(list));
  history.replaceState(null, "", "#" + chosen);
}

function readAddress() {
  const chosen = new URLSearchParams(location.hash.slice(1));
  for (const list of lists()) {
    const wanted = [...list.options].find((option) =>
      chosen.has(list.id) ? option.textContent === chosen.get(list.id) : option.defaultSelected);
    if (wanted) { list.value = wanted.value; list.dataset.before = list.value; }
    tell(list);
  }
  freeze();
}

// --- files

function save(name, type, text) {
  const link = document.createElement("a");
  link.href = text.startsWith("data:") ? text : URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
}

const PAPER = { "currentColor": "#1c1f23", "var(--page)": "#ffffff", "var(--anti)": "#8a2d7d" };

/** A chart as a picture of its own, in the colours of paper. */
async function picture(place) {
  let text = await views[place].toSVG();
  for (const [name, colour] of Object.entries(PAPER)) text = text.replaceAll(name, colour);
  return text.replace(/(<svg[^>]*>)/, '$1<rect width="100%" height="100%" fill="#ffffff"/>');
}

async function saveChart(name, place, kind) {
  const text = await picture(place);
  if (kind === "svg") return save(name + ".svg", "image/svg+xml", text);
  const image = new Image();
  image.src = "data:image/svg+xml," + encodeURIComponent(text);
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [2 * image.width, 2 * image.height];
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  save(name + ".png", "image/png", canvas.toDataURL("image/png"));
}

/** Rows of numbers as CSV: a column per axis, count, quantity and limit. */
function csv(conditions) {
  const flat = (value, path) => value !== null && typeof value === "object" && !Array.isArray(value)
    ? Object.entries(value).flatMap(([key, part]) => flat(part, path ? `${path}.${key}` : key))
    : [[path, Array.isArray(value) ? JSON.stringify(value) : value]];
  const rows = conditions.map(({ schedule, ...condition }) => new Map(flat(condition, "")));
  const columns = [...new Set(rows.flatMap((row) => [...row.keys()]))];
  const cell = (value) => /[",\n\r]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? "");
  return [columns, ...rows.map((row) => columns.map((column) => row.get(column)))].map((row) => row.map(cell).join(",") + "\n").join("");
}

function saveData(name, place, kind) {
  const data = JSON.parse(document.getElementById(place).textContent);
  if (kind === "json") save(name + ".json", "application/json", JSON.stringify(data, null, 1) + "\n");
  else save(name + ".csv", "text/csv", csv(data.conditions));
}

// --- tables

function sort(button) {
  const head = button.closest("th"), section = button.closest("section");
  const descending = head.getAttribute("aria-sort") === "ascending";
  const key = (row) => row.cells[head.cellIndex].dataset.key ?? row.cells[head.cellIndex].textContent;
  const compare = (one, two) => head.cellIndex ? one - two : one.localeCompare(two);
  const order = [...head.closest("table").tBodies[0].rows].sort((one, two) => compare(key(one), key(two)) * (descending ? -1 : 1));
  const numbers = order.map((row) => row.dataset.row);
  section.querySelectorAll("th[aria-sort]").forEach((other) => other.setAttribute("aria-sort", "none"));
  head.setAttribute("aria-sort", descending ? "descending" : "ascending");
  for (const { tBodies: [body] } of section.querySelectorAll("table.every")) {
    const rows = new Map([...body.rows].map((row) => [row.dataset.row, row]));
    body.append(...numbers.map((number) => rows.get(number)));
  }
}

function search(input) {
  const text = input.value.toLowerCase();
  for (const row of input.closest("section").querySelectorAll("table.every tbody tr")) {
    row.hidden = !row.cells[0].textContent.toLowerCase().includes(text);
  }
}

document.addEventListener("change", ({ target }) => {
  if (!target.matches("select[data-charts]")) return;
  keepApart(target, target.dataset.before);
  tell(target);
  freeze();
  lists().forEach((list) => { list.dataset.before = list.value; });
  writeAddress();
});
document.addEventListener("input", ({ target }) => { if (target.matches(".search input")) search(target); });
document.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (!button) return;
  const { file, of, kind } = button.dataset;
  if (button.closest("th")) sort(button);
  else if (of) (kind === "json" || kind === "csv" ? saveData : saveChart)(file, of, kind);
});
window.addEventListener("hashchange", readAddress);
readAddress();
