// The voting page. One duel is on the screen and the next two are already here, so a vote is answered by the
// next duel at once and travels to the disk behind it.

import { ask, Outbox, Refused } from "/static/outbox.js";
import { markDifferences } from "/static/diff.js";
import { actionOf } from "/static/keys.js";
import { Pictures } from "/static/pictures.js";

const at = (id) => document.getElementById(id);
const study = document.body.dataset.study;
const say = JSON.parse(document.body.dataset.words);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const VERDICTS = ["left", "right", "tie", "both_bad", "skip"];
const AHEAD = 2;

// Trusted Types: the one place where HTML from the server, already sanitised there, enters the page.
const policy = window.trustedTypes?.createPolicy("palate", { createHTML: (html) => html });
const setHTML = (element, html) => { element.innerHTML = policy ? policy.createHTML(html) : html; };

const page = {
  queue: [], // duels, the first one on the screen
  undo: null, // the duel whose vote an undo would take back
  state: "loading",
  closed: false,
  shown: null, // {id, key, at} of the duel on the screen
  progress: null,
  unseen: 0, // votes given here that the last progress report does not count yet
  busy: false,
  raw: false,
  diff: false,
  refill: null,
  blank: false, // the pictures of the duel on the screen cannot be seen yet
};

const pictures = new Pictures([at("left"), at("right")], (scale) => {
  if (page.shown) status(fill(say.zoomed, { percent: Math.round(100 * scale) }));
});

// -- small things kept across reloads ------------------------------------------------------------

function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(`palate.${study}.${name}`);
    else localStorage.setItem(`palate.${study}.${name}`, JSON.stringify(value));
  } catch { /* private windows may refuse; only drafts and keys of a lost tab depend on it */ }
}

function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(`palate.${study}.${name}`));
  } catch {
    return null;
  }
}

function mint() {
  const bytes = crypto.getRandomValues(new Uint8Array(18));
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}

// -- messages ------------------------------------------------------------------------------------

function status(text) {
  at("status").textContent = text;
}

function alarm(text) {
  at("alert").hidden = !text;
  at("alert").textContent = text || "";
}

// -- votes on their way --------------------------------------------------------------------------

const outbox = new Outbox(study, {
  saved() {
    alarm("");
    progress();
    status(say.saved);
    refill();
  },
  offline() {
    alarm(say.offline);
    progress();
  },
  back() {
    alarm("");
    status(say.back);
  },
  refused(error) {
    alarm(fill(say.refused, { error: error.message }));
  },
  lost(error) {
    alarm(error.status === 409 || error.status === 422 ? say.elsewhere : fill(say.lost, { error: error.message }));
    page.queue = [];
    page.shown = null;
    refill();
  },
});

// -- what the server says ------------------------------------------------------------------------

function take(view) {
  const fresh = view.duels.filter((duel) => !outbox.has(duel.id));
  const current = page.queue[0];
  // The duel being read stays on the screen, whatever order the server lists.
  const stays = current && fresh.some((duel) => duel.id === current.id);
  page.queue = stays ? [current, ...fresh.filter((duel) => duel.id !== current.id)] : fresh;
  page.undo = view.undo;
  page.closed = view.closed;
  page.state = page.queue.length ? "voting" : view.state === "done" ? "done" : "waiting";
  page.progress = view.progress;
  page.unseen = outbox.size;
  // What is shown next is fetched now, and kept by the browser.
  for (const duel of page.queue.slice(1)) {
    for (const side of ["left", "right"]) if (duel[side].picture) new Image().src = duel[side].picture;
  }
  advise(view.advice);
  guide(view.guidelines);
  progress();
  show();
}

// Keeps the queue full: asks at once after each vote, and then waits at the server for more.
async function refill(patient = false) {
  page.refill?.abort();
  const mine = new AbortController();
  page.refill = mine;
  try {
    if (outbox.size) return; // the vote's own acknowledgement asks again
    const query = patient ? `?wait=20&have=${page.queue.length}` : "";
    const view = await ask(`/api/duels${query}`, undefined, mine.signal);
    if (mine.signal.aborted || page.busy) return;
    if (outbox.size) return;
    take(view);
    if (at("alert").dataset.from === "refill") alarm("");
    delete at("alert").dataset.from;
    if (page.state !== "done" && page.queue.length < AHEAD) refill(true);
  } catch (error) {
    if (mine.signal.aborted) return;
    at("alert").dataset.from = "refill";
    alarm(error instanceof Refused ? fill(say.refused, { error: error.message }) : say.offline);
    setTimeout(() => { if (page.refill === mine) refill(); }, 1500 + 1500 * Math.random());
  }
}

// -- the screen ----------------------------------------------------------------------------------

function show() {
  const duel = page.queue[0];
  at("duel").hidden = !duel;
  at("buttons").hidden = page.state === "done";
  document.querySelectorAll(".verdicts button, .split button").forEach((button) => { button.disabled = !duel; });
  if (!duel) {
    page.shown = null;
    between();
    return;
  }
  at("state").hidden = true;
  if (page.shown?.id === duel.id) return;
  const before = kept("shown");
  page.shown = { id: duel.id, key: before?.id === duel.id ? before.key : mint(), at: performance.now() };
  keep("shown", { id: duel.id, key: page.shown.key });
  at("question").textContent = duel.input;
  const draft = kept("draft");
  at("comment").value = draft?.id === duel.id ? draft.text : "";
  openComment(at("comment").value !== "");
  answers();
  for (const id of ["left", "right", "question"]) at(id).scrollTop = 0;
  if (matchMedia("(max-width: 49.99rem)").matches) scrollTo(0, 0);
  at("duel").classList.remove("fresh");
  void at("duel").offsetWidth; // restarts the animation
  at("duel").classList.add("fresh");
}

function answers() {
  const duel = page.queue[0];
  if (!duel) return;
  const seen = duel.left.picture && duel.right.picture;
  at("duel").classList.toggle("pictures", Boolean(seen));
  at("zoom").hidden = !seen;
  for (const action of ["diff", "raw"]) document.querySelector(`[data-do=${action}]`).hidden = Boolean(seen);
  for (const side of ["left", "right"]) {
    const raw = page.raw && !duel[side].picture;
    at(side).classList.toggle("raw", raw);
    if (raw) at(side).textContent = duel[side].raw;
    else setHTML(at(side), duel[side].html);
  }
  reveal(duel);
  if (page.diff && !seen && !markDifferences(at("left"), at("right"))) status(say.diff_long);
}

// Both pictures appear at the same moment, and the time to vote begins then.
async function reveal(duel) {
  const shown = pictures.show();
  if (!pictures.images.length) return ready(true);
  ready(false);
  const late = setTimeout(() => { if (page.shown?.id === duel.id) status(say.loading); }, 300);
  const both = await shown;
  clearTimeout(late);
  if (page.shown?.id !== duel.id) return;
  if (!both) return alarm(say.picture_lost);
  if (at("status").textContent === say.loading) status("");
  page.shown.at = performance.now();
  ready(true);
}

function ready(now) {
  page.blank = !now;
  at("duel").classList.toggle("blank", !now);
}

function between() {
  at("state").hidden = false;
  if (page.state === "loading") return;
  const done = page.state === "done";
  const words = at(done ? (page.closed ? "done-words" : "limit-words") : "waiting-words").content;
  at("state-title").textContent = words.querySelector("h2").textContent;
  at("state-text").textContent = words.querySelector("p").textContent;
  at("dots").hidden = done;
  at("done-buttons").hidden = !done;
  const reopen = document.querySelector("[data-do=reopen]"); // raters have none: the study is not theirs to open
  if (reopen) reopen.hidden = !page.closed;
}

function progress() {
  const { mine = 0, taught = 0, limit = null } = page.progress || {};
  const done = (limit === null ? mine : taught) + page.unseen;
  at("bar").hidden = limit === null;
  if (limit !== null) {
    at("bar").max = limit;
    at("bar").value = done;
    at("count").textContent = fill(say.votes_of, { done, limit });
  } else {
    at("count").textContent = done === 1 ? say.votes_one : fill(say.votes, { done });
  }
  const waiting = outbox.attempt > 1 ? outbox.size : 0;
  at("unsent").textContent = waiting ? fill(say.unsent, { n: waiting }) : "";
}

function advise(advice) {
  at("advice").hidden = !advice?.stop;
  if (!advice) return;
  at("advice-head").textContent = say.stop;
  at("advice-text").textContent = advice.text;
  at("count").title = advice.text;
}

function guide(guidelines) {
  if (at("guidelines").dataset.version === guidelines.version) return;
  at("guidelines").dataset.version = guidelines.version;
  if (!guidelines.html) return;
  setHTML(at("guidelines-text"), guidelines.html);
  if (kept("guidelines") !== guidelines.version) open("guidelines");
}

function open(id) {
  if (!document.querySelector("dialog[open]")) at(id).showModal();
}

function openComment(wanted) {
  at("comment-box").hidden = !wanted;
  document.querySelector("[data-do=comment]").setAttribute("aria-expanded", String(wanted));
}

// -- what a person does --------------------------------------------------------------------------

function vote(verdict, reason = null) {
  const duel = page.queue[0];
  if (!duel || page.busy || page.shown?.id !== duel.id) return;
  if (page.blank && verdict !== "skip") return; // nobody can judge what is not there yet
  const comment = at("comment").value.trim() || null;
  const seconds = Math.round(performance.now() - page.shown.at) / 1000;
  const ballot = { duel_id: duel.id, verdict, key: page.shown.key, seconds, reason, comment };
  page.refill?.abort(); // its answer would be from before this vote
  page.queue.shift();
  page.undo = duel.id;
  page.unseen += 1;
  page.state = page.queue.length ? "voting" : "waiting";
  alarm("");
  outbox.add(ballot);
  keep("draft", null);
  keep("shown", null);
  flash(verdict);
  progress();
  show();
  status(page.queue.length ? `${say[verdict]}. ${say.next}` : `${say[verdict]}.`);
}

function flash(verdict) {
  const button = document.querySelector(`[data-do=${verdict}]`);
  button.classList.add("chosen");
  setTimeout(() => button.classList.remove("chosen"), 140);
}

let undoing = Promise.resolve();
let undos = 0;

// Undoes follow one another, and no vote is taken while one is under way: it could land on the wrong duel.
function undo() {
  undos += 1;
  page.busy = true;
  page.refill?.abort();
  undoing = undoing.then(undoOne).finally(() => {
    undos -= 1;
    page.busy = undos > 0;
    if (!page.busy) refill();
  });
}

async function undoOne() {
  await outbox.empty();
  if (!page.undo) page.undo = (await ask("/api/duels")).undo;
  if (!page.undo) {
    status(say.nothing_to_undo);
    return;
  }
  status(say.undoing);
  try {
    const view = await ask("/api/undo", { duel_id: page.undo });
    page.queue = [];
    page.shown = null;
    keep("shown", null); // a vote that was undone is followed by a new one, under a new key
    take(view);
    status(say.undone);
  } catch (error) {
    alarm(error instanceof Refused ? error.message : say.offline);
  }
}

async function change(path) {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  await outbox.empty();
  try {
    page.queue = [];
    take(await ask(path, {}));
    refill();
  } catch (error) {
    alarm(error instanceof Refused ? error.message : say.offline);
  }
}

function toggle(name) {
  if (pictures.on) return;
  page[name] = !page[name];
  document.querySelector(`[data-do=${name}]`).setAttribute("aria-pressed", String(page[name]));
  status(say[`${name}_${page[name] ? "on" : "off"}`]);
  answers();
}

function comment() {
  const wanted = at("comment-box").hidden || document.activeElement !== at("comment");
  openComment(wanted || at("comment").value !== "");
  if (wanted) at("comment").focus();
}

function act(action, source) {
  if (VERDICTS.includes(action)) {
    at("reasons").close();
    vote(action, source?.dataset.reason || null);
  } else if (action === "undo") undo();
  else if (action === "raw" || action === "diff") toggle(action);
  else if (pictures.act(action)) return;
  else if (action === "comment") comment();
  else if (action === "finish") change("/api/close");
  else if (action === "reopen") change("/api/reopen");
  else if (action !== "reasons" || page.queue.length) open(action);
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element && event.target.closest("[data-do]");
  if (!button) return;
  // After a click or a touch, Space means skip again; whoever came by keyboard keeps the focus and presses anew.
  if (event.detail) button.blur();
  act(button.dataset.do, button);
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target === at("comment")) at("comment").blur();
  const action = actionOf(event);
  if (!action) return;
  event.preventDefault();
  if (action === "comment" && at("duel").hidden) return;
  act(action, null);
});

at("comment").addEventListener("input", () => {
  if (page.shown) keep("draft", { id: page.shown.id, text: at("comment").value });
});
at("comment").addEventListener("blur", () => openComment(at("comment").value !== ""));
at("guidelines").addEventListener("close", () => {
  keep("guidelines", at("guidelines").dataset.version);
  if (page.shown) page.shown.at = performance.now(); // reading the guidelines is not time spent on the pair
});

// -- both answers scroll together ----------------------------------------------------------------

let leader = null;
for (const [side, other] of [["left", "right"], ["right", "left"]]) {
  for (const name of ["pointerenter", "wheel", "touchstart", "focus", "keydown"]) {
    at(side).addEventListener(name, () => { leader = side; }, { passive: true });
  }
  at(side).addEventListener("scroll", () => {
    if (leader !== side) return;
    const room = at(side).scrollHeight - at(side).clientHeight;
    const share = room > 0 ? at(side).scrollTop / room : 0;
    at(other).scrollTop = share * (at(other).scrollHeight - at(other).clientHeight);
  }, { passive: true });
}

// What a crash or a closed tab left behind goes first: until then the server still lists those duels.
outbox.empty().then(() => refill());
