"use strict";
// The page's only script: theme, keyboard, and the episode reader. Text from the log reaches the page as text nodes only.
// Data: `#head` holds {index, phases, strategies, personas, facts, items}, each `.chunk` some dialogues; both
// are gzip in base64. A row of the index is [id, phase, scenario, persona, stop, turns, return, last reward, evaluator,
// strategies, version, flaws, chunk, place].
(() => {
const ID = 0, PHASE = 1, SCENARIO = 2, PERSONA = 3, STOP = 4, TURNS = 5, RETURN = 6, REWARD = 7, EVALUATOR = 8,
  STRATEGIES = 9, VERSION = 10, FLAWS = 11, CHUNK = 12, PLACE = 13;
const PAGE = 150;
const $ = (selector) => document.querySelector(selector);

function el(name, props, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "onclick") node.addEventListener("click", value);
    else if (key === "class") node.className = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(9).filter((child) => child !== null && child !== undefined));
  return node;
}
function svg(name, props, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(props || {})) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

async function inflated(text) {
  const packed = atob(text), bytes = new Uint8Array(packed.length);
  for (let at = 0; at < packed.length; at++) bytes[at] = packed.charCodeAt(at);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

// Theme -------------------------------------------------------------------------------------------------------------
function theme(next) {
  if (next) document.documentElement.dataset.theme = next;
  try {
    if (next) localStorage.setItem("rso-theme", next);
    else if (localStorage.getItem("rso-theme")) document.documentElement.dataset.theme = localStorage.getItem("rso-theme");
  } catch { /* pages from file:// may have no storage */ }
}
function switchTheme() {
  const dark = document.documentElement.dataset.theme
    ? document.documentElement.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  theme(dark ? "light" : "dark");
}
theme();
$("#theme").addEventListener("click", switchTheme);

const links = [...document.querySelectorAll("nav a")];
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of links) {
      if (link.getAttribute("href") === "#" + entry.target.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }
}, { rootMargin: "-20% 0px -70% 0px" });
document.querySelectorAll("main section[id]").forEach((section) => seen.observe(section));

if (!$("#head")) { document.documentElement.dataset.ready = "1"; return; }

// Data --------------------------------------------------------------------------------------------------------------
let head = null;
const words = JSON.parse($("#words").textContent);
const stops = new Map(words.stops.map(([key, title, colour]) => [key, { title, colour }]));
const packed = [...document.querySelectorAll("script.chunk")];
const chunks = [];                       // promises of lists of dialogues
const texts = new Map();                 // chunk -> lower-case texts of its dialogues
const byId = new Map();
const scenarios = new Map();
const chunk = (number) => chunks[number] || (chunks[number] = inflated(packed[number].textContent));
const dialogueOf = async (row) => (await chunk(row[CHUNK]))[row[PLACE]];
const strategy = (key) => head.strategies.find((one) => one[0] === key);
const strategyName = (key) => (strategy(key) || [key, key])[1];
const phaseTitle = (key) => (head.phases.find(([phase]) => phase === key) || [key, key])[1];
const item = (place) => head.items[place];
const fixed = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));

// List --------------------------------------------------------------------------------------------------------------
let shown = [], drawn = 0, current = null, pinned = null, searching = 0;

const SORTS = {
  "log order": null,
  "return, high first": (a, b) => (b[RETURN] ?? -1) - (a[RETURN] ?? -1),
  "return, low first": (a, b) => (a[RETURN] ?? 1e9) - (b[RETURN] ?? 1e9),
  "last reward, high first": (a, b) => (b[REWARD] ?? -1) - (a[REWARD] ?? -1),
  "shortest first": (a, b) => a[TURNS] - b[TURNS],
  "longest first": (a, b) => b[TURNS] - a[TURNS],
};

function choices(select, entries, any) {
  if (any) select.append(el("option", { value: "" }, any));
  for (const [value, title] of entries) select.append(el("option", { value }, title));
}

function indexText(row) {
  const persona = head.personas[row[PERSONA]];
  return [row[ID], row[SCENARIO], persona.name, Object.values(persona.traits).join(" "), row[STOP],
    row[STRATEGIES].map((place) => head.strategies[place][1]).join(" ")].join(" ").toLowerCase();
}

function textOf(dialogue) {
  const parts = [dialogue.opening, dialogue.feelings, ...dialogue.goal.map(([, value]) => value)];
  for (const turn of dialogue.turns) parts.push(turn.a, turn.u, turn.e, turn.c, ...turn.i.map(item));
  return parts.join("\n").toLowerCase();
}

function filtered() {
  const query = $("#q").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const phase = $("#f-phase").value, stop = $("#f-stop").value, persona = $("#f-persona").value;
  const used = $("#f-strategy").value, flaw = $("#f-flaw").value;
  const low = $("#f-low").value === "" ? null : Number($("#f-low").value);
  const high = $("#f-high").value === "" ? null : Number($("#f-high").value);
  const rows = head.index.filter((row) => {
    if (phase && row[PHASE] !== phase) return false;
    if (stop && row[STOP] !== stop) return false;
    if (persona && row[PERSONA] !== persona) return false;
    if (used !== "" && !row[STRATEGIES].includes(Number(used))) return false;
    if (flaw && !row[FLAWS].includes(flaw)) return false;
    if (low !== null && (row[REWARD] === null || row[REWARD] < low)) return false;
    if (high !== null && (row[REWARD] === null || row[REWARD] > high)) return false;
    if (!query.length) return true;
    const said = texts.get(row[CHUNK]);
    const whole = row.text + (said ? "\n" + said[row[PLACE]] : "");
    return query.every((word) => whole.includes(word));
  });
  const order = SORTS[$("#f-sort").value];
  return order ? rows.sort(order) : rows;
}

function refresh() {
  shown = filtered();
  drawn = 0;
  $("#list").replaceChildren();
  more();
  const left = $("#q").value.trim() ? packed.length - texts.size : 0;
  $("#count").textContent = `${shown.length.toLocaleString("en")} of ${head.index.length.toLocaleString("en")} episodes`
    + (left > 0 ? `, still searching the dialogues (${Math.round(100 * texts.size / packed.length)}%)` : "");
  if (!shown.length) $("#list").append(el("p", { class: "empty" }, "No episode fits these filters."));
}

async function search() {
  const mine = ++searching;
  refresh();
  if (!$("#q").value.trim()) return;
  for (let number = 0; number < packed.length; number++) {
    if (texts.has(number)) continue;
    texts.set(number, (await chunk(number)).map(textOf));
    if (mine !== searching) return;
    if (number % 16 === 15) refresh();
  }
  refresh();
}

function more() {
  const rows = shown.slice(drawn, drawn + PAGE).map((row, offset) => {
    const persona = head.personas[row[PERSONA]], stop = stops.get(row[STOP]) || { title: row[STOP], colour: "#8a8f98" };
    return el("div", {
      class: "row", role: "option", id: "row-" + (drawn + offset), "data-id": row[ID],
      "aria-selected": current === row[ID] ? "true" : "false",
      onclick: () => open(row[ID]),
    },
      svg("svg", { viewBox: "0 0 10 10", width: 10, height: 10, "aria-hidden": "true" },
        svg("circle", { cx: 5, cy: 5, r: 5, fill: stop.colour })),
      el("b", {}, row[ID]),
      el("span", { class: "num" }, `R ${fixed(row[RETURN])}`),
      el("small", {}, `${stop.title} · ${row[TURNS]} turns · r ${fixed(row[REWARD])} · ${persona.name}`),
    );
  });
  drawn += rows.length;
  $("#list").append(...rows);
  $("#list").querySelector(".sentinel")?.remove();
  if (drawn < shown.length) {
    const sentinel = el("div", { class: "sentinel" }, " ");
    $("#list").append(sentinel);
    // On a desktop the list scrolls by itself, on a phone the page does.
    const root = $("#list").scrollHeight > $("#list").clientHeight ? $("#list") : null;
    new IntersectionObserver((entries, observer) => {
      if (entries.some((entry) => entry.isIntersecting)) { observer.disconnect(); more(); }
    }, { root, rootMargin: "300px" }).observe(sentinel);
  }
}

function select(id) {
  current = id;
  for (const row of $("#list").querySelectorAll(".row")) row.setAttribute("aria-selected", row.dataset.id === id);
  const row = $("#list").querySelector('[aria-selected="true"]');
  if (row) {
    $("#list").setAttribute("aria-activedescendant", row.id);
    const box = $("#list").getBoundingClientRect(), at = row.getBoundingClientRect();
    if (at.top < box.top || at.bottom > box.bottom) $("#list").scrollTop += at.top - box.top - box.height / 3;
  }
}

function step(by) {
  const at = shown.findIndex((row) => row[ID] === current);
  const next = at < 0 ? (by > 0 ? 0 : shown.length - 1) : at + by;
  if (next < 0 || next >= shown.length) return;
  while (drawn <= next) more();
  open(shown[next][ID]);
}

// Dialogue ----------------------------------------------------------------------------------------------------------
function open(id) {
  if (pinned && pinned !== id) { const beside = pinned; pinned = null; go(`#c/${encodeURIComponent(beside)}/${encodeURIComponent(id)}`); }
  else go(`#e/${encodeURIComponent(id)}`);
}
function go(hash) { if (location.hash === hash) route(); else location.hash = hash; }

async function route() {
  const [kind, first, second] = location.hash.slice(1).split("/").map(safeDecoded);
  const reading = (kind === "e" && byId.has(first)) || (kind === "c" && byId.has(first) && byId.has(second));
  document.body.classList.toggle("reading", reading);
  document.body.classList.toggle("wide-reader", reading && kind === "c");
  if (!reading) return;
  const target = $("#dialogue");
  if (kind === "e") {
    const row = byId.get(first), dialogue = await dialogueOf(row);
    select(first);
    target.replaceChildren(...single(row, dialogue));
  } else {
    const rows = [byId.get(first), byId.get(second)];
    const pair = [await dialogueOf(rows[0]), await dialogueOf(rows[1])];
    select(second);
    target.replaceChildren(...sideBySide(rows, pair));
  }
  const panes = $("#panes").getBoundingClientRect();
  if (panes.top < 0 || panes.top > innerHeight * 0.6) $("#episodes").scrollIntoView();
}
function safeDecoded(part) { try { return decodeURIComponent(part); } catch { return ""; } }

function partners(row) { return (scenarios.get(row[SCENARIO]) || []).filter((other) => other[ID] !== row[ID]); }

function tools(row, rows) {
  const buttons = rows ? [] : [el("button", { class: "back", type: "button", onclick: () => go("#episodes") }, "← list")];
  if (rows) buttons.push(el("button", { type: "button", onclick: () => go(`#e/${encodeURIComponent(row[ID])}`) }, "only this one"));
  else {
    for (const other of partners(row)) {
      buttons.push(el("button", { type: "button", class: "beside",
        onclick: () => go(`#c/${encodeURIComponent(other[ID])}/${encodeURIComponent(row[ID])}`) },
        `beside ${phaseTitle(other[PHASE])}`));
    }
    buttons.push(el("button", { type: "button", onclick: () => pin(row[ID]) }, "pin"));
    buttons.push(el("button", { type: "button", onclick: toggleDetails }, "details"));
  }
  return el("div", { class: "tools" }, buttons);
}

function header(row, dialogue, rows) {
  const stop = stops.get(row[STOP]), badge = el("span", { class: "badge" }, stop.title);
  badge.style.background = stop.colour;
  return el("header", {},
    el("h3", {}, row[ID]),
    tools(row, rows),
    el("p", { class: "persona" }, badge, ` ${phaseTitle(row[PHASE])}, policy version ${row[VERSION]} · ${row[TURNS]} of ${dialogue.max} turns · R`,
      el("sub", {}, "1"), ` ${fixed(row[RETURN], 3)}` + (row[EVALUATOR] === null ? "" : ` · evaluator ${fixed(row[EVALUATOR], 3)}`)),
    row[FLAWS].length ? el("p", { class: "alarm" }, row[FLAWS].map((flaw) => words.flaws[flaw] || flaw).join("; ")) : null,
  );
}

function scenario(row, dialogue) {
  const persona = head.personas[row[PERSONA]];
  return el("div", { class: "both" },
    el("p", { class: "persona" }, el("b", {}, persona.name), ` (${Object.entries(persona.traits).map(([k, v]) => `${k}: ${v}`).join(", ")}). ${persona.text}`),
    el("div", { class: "chips" }, dialogue.goal.map(([kind, value]) => el("span", { class: "chip" }, `${kind}: ${value}`)),
      el("span", { class: "chip fit", title: "The seeker never sees this title" }, `hidden target: ${item(dialogue.target)}`),
      el("span", { class: "chip" }, `${dialogue.matches} ${dialogue.matches === 1 ? "film fits" : "films fit"}`)));
}

function opening(dialogue) {
  return el("div", { class: "open" },
    dialogue.feelings ? el("p", { class: "feelings" }, dialogue.feelings) : null,
    dialogue.opening ? el("p", { class: "says you" }, el("span", { class: "who" }, "seeker"), dialogue.opening) : null);
}

function bars(turn) {
  const rows = turn.p.length, height = rows * 14 + 2, chart = svg("svg", { viewBox: `0 0 300 ${height}`, role: "img" });
  chart.append(svg("title", {}, document.createTextNode("Probabilities of the strategies")));
  turn.p.forEach((p, place) => {
    const [key, name, , , colour] = head.strategies[place] || [place, String(place), "", "", "#8a8f98"];
    const y = place * 14;
    const label = svg("text", { x: 142, y: y + 11, "text-anchor": "end" }, document.createTextNode(name.toLowerCase()));
    const share = svg("text", { x: 296, y: y + 11, "text-anchor": "end" }, document.createTextNode((100 * p).toFixed(1) + "%"));
    if (key === turn.h) { label.setAttribute("class", "pick"); share.setAttribute("class", "pick"); }
    chart.append(label, svg("rect", { class: "track", x: 148, y: y + 3, width: 104, height: 8, rx: 2 }),
      svg("rect", { x: 148, y: y + 3, width: Math.max(104 * p, 0.5).toFixed(1), height: 8, rx: 2, fill: colour }), share);
  });
  return chart;
}

function facts(turn) {
  const byItem = new Map();
  for (const place of turn.f) {
    const [about, relation, value] = head.facts[place];
    if (!byItem.has(about)) byItem.set(about, []);
    byItem.get(about).push([relation, value]);
  }
  return el("ul", {}, [...byItem].map(([about, edges]) => el("li", {}, item(about),
    edges.map(([relation, value]) => [el("span", { class: "edge" }, ` —${relation}→ `), value]))));
}

function scores(score) {
  const parts = [el("b", {}, score.reward === null ? "missing" : score.reward.toFixed(3))];
  if (score.raw.length) parts.push(el("span", { class: "edge" }, "from"), score.raw.map((raw) => el("span", { class: "score" }, String(raw))));
  if (score.bad) parts.push(el("span", {}, `${score.bad} unreadable`));
  const notes = [];
  if (score.dist.length) notes.push("p(1..5) " + score.dist.map((p) => fixed(p)).join(" "));
  if (score.mass !== null) notes.push(`label mass ${fixed(score.mass, 3)}`);
  return [el("div", { class: "scores" }, parts), notes.length ? el("p", { class: "edge" }, notes.join(", ")) : null];
}

function details(turn, dialogue) {
  const parts = [];
  if (turn.p.length) parts.push(el("h4", {}, "strategy"), bars(turn));
  parts.push(el("h4", {}, "reward"), scores(turn.r));
  if (turn.c) parts.push(el("h4", {}, "preferences"), el("p", {}, turn.c));
  if (turn.k.length) parts.push(el("h4", {}, "ranking"), el("div", { class: "chips" }, turn.k.map((place) =>
    el("span", { class: dialogue.fits.includes(place) ? "chip fit" : "chip", title: dialogue.fits.includes(place) ? "covers the goal" : null }, item(place)))));
  if (turn.f.length) parts.push(el("details", {}, el("summary", {}, `${turn.f.length} facts from the knowledge graph`), facts(turn)));
  const roles = Object.keys(turn.w);
  if (roles.length) parts.push(el("h4", {}, "time and tokens"), el("p", { class: "edge" }, roles.map((role) =>
    `${role} ${fixed(turn.t[role])} s, ${turn.w[role][1]} + ${turn.w[role][3]}` + (turn.w[role][2] ? ` (${turn.w[role][2]} cached)` : "")).join("; ")));
  return el("div", { class: "more" }, parts);
}

function turnNode(turn, dialogue) {
  const name = turn.h ? strategyName(turn.h) : "no decision", found = strategy(turn.h);
  const label = el("span", { class: "strategy", title: found ? found[3] : null }, name);
  return el("div", { class: "turn" },
    el("div", { class: "turnhead" }, el("span", { class: "no" }, `turn ${turn.n}`), label,
      el("span", { class: "reward" }, `r ${turn.r.reward === null ? "missing" : turn.r.reward.toFixed(2)}` + (turn.s ? ` · ends: ${(stops.get(turn.s) || {}).title || turn.s}` : ""))),
    el("div", {},
      el("p", { class: "says me" }, el("span", { class: "who" }, "recommender"), turn.a),
      turn.i.length ? el("div", { class: "chips" }, turn.i.map((place) =>
        el("span", { class: dialogue.fits.includes(place) ? "chip fit" : "chip" }, (dialogue.fits.includes(place) ? "✓ " : "✗ ") + item(place)))) : null,
      turn.e ? el("p", { class: "feelings" }, turn.e) : null,
      el("p", { class: "says you" }, el("span", { class: "who" }, "seeker" + (turn.x ? `, ${turn.x}` : "")), turn.u)),
    details(turn, dialogue));
}

function ending(row, dialogue) {
  const parts = [el("b", {}, `ended after ${dialogue.turns.length} turns: ${stops.get(dialogue.stop).title}`)];
  if (dialogue.failure) parts.push(el("p", { class: "alarm" }, `turn ${dialogue.failure[2]}, ${dialogue.failure[0]}: ${dialogue.failure[1]}`));
  if (dialogue.evaluation) parts.push(el("div", { class: "more" }, el("h4", {}, "held-out evaluator"), scores(dialogue.evaluation)));
  return el("div", { class: "end" }, parts);
}

function single(row, dialogue) {
  return [header(row, dialogue), scenario(row, dialogue), opening(dialogue), ...dialogue.turns.map((turn) => turnNode(turn, dialogue)), ending(row, dialogue)];
}

function sideBySide(rows, pair) {
  const same = rows[0][SCENARIO] === rows[1][SCENARIO];
  const cells = [header(rows[0], pair[0], rows), header(rows[1], pair[1], rows)];
  if (!same) cells.push(scenario(rows[0], pair[0]), scenario(rows[1], pair[1]));
  cells.push(opening(pair[0]), opening(pair[1]));
  const longest = Math.max(pair[0].turns.length, pair[1].turns.length);
  for (let at = 0; at < longest; at++) {
    for (const dialogue of pair) cells.push(dialogue.turns[at] ? turnNode(dialogue.turns[at], dialogue) : el("div", {}));
  }
  cells.push(ending(rows[0], pair[0]), ending(rows[1], pair[1]));
  const back = el("div", { class: "tools" },
    el("button", { type: "button", onclick: () => go(`#e/${encodeURIComponent(rows[1][ID])}`) }, "← back"),
    el("button", { type: "button", onclick: toggleDetails }, "details"),
    same ? el("span", { class: "note" }, `same scenario ${rows[0][SCENARIO]}: same persona, goal and random streams`) : el("span", { class: "note" }, "two different scenarios"));
  return [back, same ? scenario(rows[0], pair[0]) : null, el("div", { class: "pair" }, cells)].filter(Boolean);
}

function toggleDetails() { $("#dialogue").classList.toggle("hide"); }
function pin(id) {
  pinned = id;
  $("#dialogue").querySelector(".pinned")?.remove();
  $("#dialogue").append(el("p", { class: "pinned" }, `${id} is pinned: open another episode to see both.`));
}

function compareNext() {
  const [kind, first, second] = location.hash.slice(1).split("/").map(safeDecoded);
  const row = byId.get(kind === "c" ? second : kind === "e" ? first : current);
  if (!row) return;
  const others = partners(row);
  if (!others.length) return;
  const at = kind === "c" ? others.findIndex((other) => other[ID] === first) : -1;
  go(`#c/${encodeURIComponent(others[(at + 1) % others.length][ID])}/${encodeURIComponent(row[ID])}`);
}

// Keys --------------------------------------------------------------------------------------------------------------
function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || $("#help").open) return;
  const typing = event.target.closest("input, select, textarea");
  if (event.key === "Escape") {
    if (typing) typing.blur();
    else if (location.hash.startsWith("#c/")) go("#e/" + location.hash.split("/")[2]);
    else if (location.hash.startsWith("#e/")) go("#episodes");
    return;
  }
  if (typing) return;
  const inList = document.activeElement === $("#list");
  const actions = {
    "/": () => { $("#episodes").scrollIntoView(); $("#q").focus(); },
    j: () => step(1), k: () => step(-1), c: compareNext, d: toggleDetails, t: switchTheme,
    p: () => current && pin(current), "?": () => $("#help").showModal(),
  };
  if (inList) Object.assign(actions, { ArrowDown: () => step(1), ArrowUp: () => step(-1), Enter: () => $("#dialogue").focus() });
  const action = actions[event.key];
  if (action) { event.preventDefault(); action(); }
}

async function main() {
  head = await inflated($("#head").textContent);
  for (const row of head.index) {
    byId.set(row[ID], row);
    if (!scenarios.has(row[SCENARIO])) scenarios.set(row[SCENARIO], []);
    scenarios.get(row[SCENARIO]).push(row);
    row.text = indexText(row);
  }
  const there = new Set(head.index.map((row) => row[STOP])), flawed = new Set(head.index.flatMap((row) => row[FLAWS]));
  choices($("#f-phase"), head.phases, "all");
  choices($("#f-stop"), words.stops.filter(([stop]) => there.has(stop)), "all");
  choices($("#f-persona"), Object.entries(head.personas).map(([id, persona]) => [id, persona.name]).sort((a, b) => a[1].localeCompare(b[1])), "all");
  choices($("#f-strategy"), head.strategies.map(([, name], place) => [place, name]), "any");
  choices($("#f-flaw"), Object.entries(words.flaws).filter(([flaw]) => flawed.has(flaw)), "any or none");
  choices($("#f-sort"), Object.keys(SORTS).map((name) => [name, name]));
  let timer = 0;
  $("#q").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 120); });
  for (const id of ["#f-phase", "#f-stop", "#f-persona", "#f-strategy", "#f-flaw", "#f-low", "#f-high", "#f-sort"]) $(id).addEventListener("input", refresh);
  $("#filters").addEventListener("submit", (event) => event.preventDefault());
  $("#help-button").addEventListener("click", () => $("#help").showModal());
  document.addEventListener("keydown", key);
  addEventListener("hashchange", route);
  refresh();
  $("#dialogue").replaceChildren(el("p", { class: "empty" }, "Choose an episode, or press j."));
  await route();
  if (location.hash === "#episodes") $("#episodes").scrollIntoView();  // the list was empty when the browser went there
  performance.mark("ready");
  document.documentElement.dataset.ready = "1";
}
main();
})();
