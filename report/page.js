// Sorting, filtering and hover text. What is chosen is kept in the address: #sort=…&text=…
"use strict";

const FILTERS = ["framework", "strategy", "family"];
const METHODS = JSON.parse(document.getElementById("methods").textContent);
const form = document.getElementById("filter");
const tip = document.getElementById("tip");

function cellValue(row, column) {
  const cell = row.cells[column];
  const given = cell.dataset.v;
  if (!cell.classList.contains("number")) return given ?? cell.textContent;
  return given === "" ? null : Number(given);
}

function compare(a, b) {
  return typeof a === "number" ? a - b : a.localeCompare(b);
}

// What has no value comes last, whichever way the rest is sorted.
function sortTable(table, column, descending) {
  const keyed = [...table.tBodies[0].rows].map((row) => [cellValue(row, column), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return descending ? compare(b, a) : compare(a, b);
  });
  table.tBodies[0].append(...keyed.map(([, row]) => row));
  [...table.tHead.rows[0].cells].forEach((head, place) => {
    if (place === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
}

function matches(method, wanted) {
  return (
    FILTERS.every((name) => !wanted[name] || METHODS[method][name] === wanted[name]) &&
    method.toLowerCase().includes(wanted.text.toLowerCase())
  );
}

function applyFilter() {
  const wanted = Object.fromEntries(new FormData(form));
  const shown = new Set();
  for (const element of document.querySelectorAll("[data-method]")) {
    const good = matches(element.dataset.method, wanted);
    element.classList.toggle("hidden", !good);
    if (element instanceof HTMLElement) element.hidden = !good;
    if (good) shown.add(element.dataset.method);
  }
  document.getElementById("shown").textContent = `${shown.size} method${shown.size === 1 ? "" : "s"} shown`;
}

function columnNamed(table, title) {
  const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
  return heads.indexOf(title);
}

function sortAll(title, descending) {
  for (const table of document.querySelectorAll("table.sortable")) {
    const column = columnNamed(table, title);
    if (column >= 0) sortTable(table, column, descending);
  }
}

function readAddress() {
  const state = new URLSearchParams(location.hash.slice(1));
  for (const name of [...FILTERS, "text"]) form.elements[name].value = state.get(name) ?? "";
  applyFilter();
  const sort = state.get("sort");
  if (sort) sortAll(sort.replace(/^-/, ""), sort.startsWith("-"));
}

function writeAddress(change) {
  const state = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
  for (const [name, value] of Object.entries(change)) {
    if (value) state.set(name, value);
    else state.delete(name);
  }
  history.replaceState(null, "", `#${state}`);
}

function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - width - 4))}px`;
  tip.style.top = `${y + 16 + height > innerHeight ? Math.max(4, y - height - 10) : y + 16}px`;
}

// Of a sign in a table: its row and its column.
function placeOf(cell) {
  if (!cell.matches("td.marks")) return "";
  const head = cell.closest("table").tHead.rows[0].cells[cell.cellIndex];
  return `${cell.parentElement.dataset.method}, ${head.textContent.trim()}, `;
}

function tipOf(target) {
  const marked = target.closest("[data-tip]");
  if (marked) return placeOf(marked.parentElement) + marked.dataset.tip;
  return target.closest(".curve")?.querySelector("title")?.textContent;
}

function pointAt(event) {
  const text = event.target instanceof Element && tipOf(event.target);
  if (text) showTip(text, event.clientX, event.clientY);
  else tip.hidden = true;
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.firstElementChild.addEventListener("click", () => {
      const descending = head.getAttribute("aria-sort") === "ascending";
      sortTable(table, column, descending);
      writeAddress({ sort: (descending ? "-" : "") + head.textContent.trim() });
    });
  });
}
form.addEventListener("input", () => {
  applyFilter();
  writeAddress(Object.fromEntries(new FormData(form)));
});
form.addEventListener("reset", () => setTimeout(() => form.dispatchEvent(new Event("input"))));
form.addEventListener("submit", (event) => event.preventDefault());
document.addEventListener("mouseover", pointAt);
document.addEventListener("click", pointAt);
addEventListener("hashchange", () => location.hash.includes("=") && readAddress());
if (location.hash.includes("=")) readAddress();
else applyFilter();
