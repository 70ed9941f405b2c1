// The one script of the page. Everything works without it; it adds news without a reload, the filter as you type, and the
// decision of the moment under the pointer.
"use strict";

const by = (id) => document.getElementById(id);
const live = by("live");
const UNITS = [[60, 1, "s"], [3600, 60, "min"], [172800, 3600, "h"], [Infinity, 86400, "d"]];

// Ages, as the server writes them.
function ages() {
  for (const time of document.querySelectorAll("time[data-t]")) {
    const seconds = Math.max(0, Math.floor((Date.now() - skew - Number(time.dataset.t)) / 1000));
    const [, unit, word] = UNITS.find(([most]) => seconds < most);
    const text = `${Math.floor(seconds / unit)} ${word}`;
    if (time.textContent !== text) time.textContent = text;
  }
}
// The clock of this browser minus that of the server.
let skew = 0;

// The filter as you type. Without the script, its button sends the form.
function filter() {
  const input = by("q");
  if (!input) return;
  const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...document.querySelectorAll("table.list tbody tr")];
  let found = 0;
  for (const row of rows) {
    const text = `${row.cells[0].textContent} ${row.cells[1].textContent}`.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    found += row.hidden ? 0 : 1;
  }
  const caption = document.querySelector("table.list caption");
  if (caption) caption.textContent = `${found === 1 ? "1 workload" : `${found} workloads`}${found < rows.length ? ` of ${rows.length}` : ""}`;
  const none = document.querySelector("#list .none");
  if (none) none.hidden = found > 0;
}

// News: the page is fetched again, and its sections that changed take the place of the old ones. A section that somebody uses
// stays as it is: with an open form, a field that differs from its default, selected text, a pointer on its charts, or a log
// that is scrolled back.
function isChanged(field) {
  if (field.type === "file") return field.files.length > 0;
  if (field.tagName !== "SELECT") return field.value !== field.defaultValue;
  // Without a default, the first choice is selected.
  const usual = [...field.options].find((option) => option.defaultSelected) ?? field.options[0];
  return field.selectedOptions[0] !== usual;
}

function inUse(section) {
  const active = document.activeElement;
  const writes = active && section.contains(active) && active.matches("input, select, textarea");
  const points = section.matches(":hover") && section.querySelector(".charts") !== null;
  const selection = getSelection();
  const reads = selection && !selection.isCollapsed && selection.containsNode(section, true);
  const scrolled = (section.querySelector(".log")?.scrollTop ?? 0) < -4;
  return writes || points || reads || scrolled || section.querySelector("details.act[open]") !== null
    || [...section.querySelectorAll("input, select, textarea")].some(isChanged);
}

function renew(fresh) {
  for (const id of ["banners", "main"]) {
    const [now, next] = [by(id), fresh.getElementById(id)];
    if (!now || !next) continue;
    const sections = id === "main" ? [...next.querySelectorAll("section[id]")] : [next];
    for (const section of sections) {
      const old = by(section.id);
      if (!old || inUse(old) || old.isEqualNode(section)) continue;
      const open = [...old.querySelectorAll("details[open][id]")].map((details) => details.id);
      const focused = old.contains(document.activeElement) ? document.activeElement : null;
      const place = focused && (focused.getAttribute("href") || focused.parentElement?.id);
      old.replaceWith(document.adoptNode(section));
      for (const key of open) if (by(key)) by(key).open = true;
      if (place) [...section.querySelectorAll("a, summary")].find((it) => it.getAttribute("href") === place || it.parentElement.id === place)?.focus();
    }
  }
  filter();
  ages();
}

function state(on) {
  live.className = on ? "on" : "off";
  const isSending = document.querySelector("[aria-busy]") !== null;
  const text = !on ? "disconnected: what you see may be old" : isSending ? "sending…" : "live";
  if (live.textContent !== text) live.textContent = text;
  document.body.classList.toggle("stale", !on);
}

let busy = false;
let again = false;
async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    // The sentence about a change appears once, and the filter is applied here.
    const url = new URL(location.href);
    url.searchParams.delete("done");
    url.searchParams.delete("q");
    // A request that nobody made does not prolong the session.
    const headers = { accept: "text/html", "x-windlass-background": "1" };
    const answer = await fetch(url, { headers, redirect: "manual", signal: AbortSignal.timeout(15000) });
    // The session has ended: the page leads to the log-in.
    if (answer.type === "opaqueredirect") { location.reload(); return; }
    const date = Date.parse(answer.headers.get("date") ?? "");
    // A difference of seconds may be that of the network.
    const difference = Date.now() - date;
    skew = Math.abs(difference) > 5000 ? difference : 0;
    if (answer.ok) {
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      renew(fresh);
      document.body.dataset.again = fresh.body.dataset.again ?? "";
    }
    // The subject of the page is gone: the server says so.
    if (answer.status === 404) { location.reload(); return; }
    state(answer.ok);
  } catch {
    state(false);
  }
  busy = false;
  if (again) { again = false; soon(); }
  later();
}

// A page about something in progress says after how many seconds it has news.
let next = 0;
function later() {
  const seconds = Number(document.body.dataset.again ?? "");
  clearTimeout(next);
  if (seconds > 0) next = setTimeout(refresh, seconds * 1000);
}

// However often events come, the page asks again after a quarter of a second.
let timer = 0;
function soon() {
  timer ||= setTimeout(() => { timer = 0; refresh(); }, 250);
}

// The stream of events says when there are news. Ages, the use of replicas and a lost engine make no event, so the page also
// asks every few seconds while somebody sees it.
const KINDS = ["decision", "replica", "alert", "policy", "override", "workload"];
function follow(after) {
  // The page shows what happened until its event; later events come through the stream.
  let isCurrent = after !== undefined;
  const source = new EventSource(isCurrent ? `/events?last_event_id=${after}` : "/events");
  source.onopen = () => {
    if (isCurrent) state(true); else refresh();
    isCurrent = false;
  };
  source.onerror = () => {
    soon();
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 30000);
  };
  // This page was too slow to follow: it says so until it has the current state.
  source.addEventListener("dropped", () => { source.close(); state(false); setTimeout(follow, 1000); });
  source.addEventListener("missed", soon);
  for (const kind of KINDS) source.addEventListener(kind, soon);
}

// The moment under the pointer, or at the mark with the focus.
function moment(charts, at) {
  const { since, until, moments } = charts.dataset;
  const list = charts.moments ??= JSON.parse(moments);
  const x = ((at - since) / (until - since)) * 1000;
  charts.classList.add("at");
  for (const cursor of charts.querySelectorAll(".cursor")) cursor.setAttribute("d", `M${x.toFixed(1)} 0V100`);
  const found = list.find(([time]) => time <= at);
  const clock = new Date(at).toISOString().slice(11, 19);
  const output = by("moment");
  output.textContent = "";
  const bold = document.createElement("b");
  bold.textContent = `${clock} UTC `;
  output.append(bold);
  if (!found) { output.append("no decision of that moment is on this page"); return; }
  const [, reason, target, stages] = found;
  output.append(`target ${target}: ${reason}`);
  if (stages.length) output.append(` (raw ${stages[0]}, stabilized ${stages[1]}, limited ${stages[2]}, within bounds ${stages[3]})`);
}

document.addEventListener("pointermove", (event) => {
  const plot = event.target.closest?.(".plot");
  const charts = plot?.closest(".charts");
  if (!charts) return;
  const box = plot.getBoundingClientRect();
  const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  moment(charts, Number(charts.dataset.since) + part * (charts.dataset.until - charts.dataset.since));
});
document.addEventListener("focusin", (event) => {
  const mark = event.target.closest?.(".plot a")?.querySelector(".mark");
  const charts = mark?.closest(".charts");
  if (!charts) return;
  const part = Number(/^M([\d.]+)/.exec(mark.getAttribute("d"))[1]) / 1000;
  moment(charts, Number(charts.dataset.since) + part * (charts.dataset.until - charts.dataset.since) + 1);
});
// An age shows its time.
document.addEventListener("pointerover", (event) => {
  const time = event.target.closest?.("time[data-t]");
  if (time) time.title = new Date(Number(time.dataset.t)).toISOString();
});
// A link to a decision opens it.
function openTarget() {
  const details = location.hash && by(location.hash.slice(1));
  if (details?.tagName === "DETAILS") details.open = true;
}
addEventListener("hashchange", openTarget);
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && document.querySelector("details.act[open]");
  if (open) { open.open = false; open.querySelector("summary").focus(); }
});
document.addEventListener("input", (event) => { if (event.target.id === "q") filter(); });
document.addEventListener("submit", (event) => {
  if (event.target.matches(".search")) { event.preventDefault(); filter(); return; }
  // A component takes seconds to arrive and to compile.
  event.target.setAttribute("aria-busy", "true");
  if (live) live.textContent = "sending…";
});
// The browser may show a page as it was left.
addEventListener("pageshow", () => document.querySelector("[aria-busy]")?.removeAttribute("aria-busy"));

openTarget();
filter();
setInterval(ages, 1000);
// A refusal is the answer to a form: its address shows nothing by itself. A log that is not followed stays as it is.
if (!document.querySelector(".login, .refused, .still")) {
  follow(document.body.dataset.event);
  // The server has filtered the list: the filter of the page needs all rows.
  if (by("q")?.value) soon();
  later();
  setInterval(() => { if (!document.hidden) refresh(); }, 5000);
}

// A component that is dropped on the form of the policies is its chosen file.
for (const type of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(type, (event) => {
    const form = event.target.closest?.(".drop");
    if (!form) return;
    event.preventDefault();
    form.classList.toggle("over", type === "dragover");
    if (type === "drop" && event.dataTransfer.files.length) form.querySelector("input[type=file]").files = event.dataTransfer.files;
  });
}
