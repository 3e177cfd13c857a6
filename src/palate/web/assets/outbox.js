// Votes on their way. Each stays in localStorage until Palate says that it is on disk, so a closed tab, a
// crash or a lost reply loses nothing; a repeat carries the same key and so counts once.

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export async function ask(path, body, signal) {
  const options = body === undefined ? { signal } : {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
  };
  const reply = await fetch(path, { ...options, credentials: "same-origin", cache: "no-store" });
  let value = {};
  try {
    value = await reply.json();
  } catch {
    if (reply.ok) throw new Error("cut off");
  }
  if (!reply.ok) throw new Refused(reply.status, value.error || `${reply.status}`);
  return value;
}

const temporary = (error) => !(error instanceof Refused) || [408, 429, 500, 502, 503, 504].includes(error.status);

export class Outbox {
  // events: saved(), offline(), back(), refused(error), lost(error)
  constructor(study, events) {
    this.slot = `palate.${study}.outbox`;
    this.events = events;
    this.waiters = [];
    this.sending = false;
    this.attempt = 0;
    addEventListener("online", () => this.hurry());
    addEventListener("focus", () => this.hurry());
  }

  get ballots() {
    try {
      const kept = JSON.parse(localStorage.getItem(this.slot));
      return Array.isArray(kept) ? kept : [];
    } catch {
      return this.memory || [];
    }
  }

  set ballots(list) {
    this.memory = list;
    try {
      localStorage.setItem(this.slot, JSON.stringify(list));
    } catch { /* a full or forbidden storage must not stop a vote: it is in memory and on its way */ }
  }

  get size() {
    return this.ballots.length;
  }

  has(duel) {
    return this.ballots.some((ballot) => ballot.duel_id === duel);
  }

  add(ballot) {
    this.ballots = [...this.ballots, ballot];
    this.send();
  }

  // Resolves when nothing is waiting any more.
  empty() {
    if (this.size === 0 && !this.sending) return Promise.resolve();
    return new Promise((resolve) => { this.waiters.push(resolve); this.send(); });
  }

  hurry() {
    if (this.wake) this.wake();
    this.send();
  }

  async send() {
    if (this.sending) return;
    this.sending = true;
    try {
      while (this.size) await this.one(this.ballots[0]);
    } finally {
      this.sending = false;
    }
    this.waiters.splice(0).forEach((resolve) => resolve());
  }

  async one(ballot) {
    try {
      await ask("/api/votes", ballot);
      if (this.attempt) this.events.back();
      this.drop(ballot);
      this.events.saved(ballot);
    } catch (error) {
      if (!temporary(error)) {
        if (error.status === 403) {
          this.events.refused(error);
          await this.pause(15000);
          return;
        }
        this.drop(ballot);
        this.events.lost(error, ballot);
        return;
      }
      this.attempt += 1;
      if (this.attempt > 1) this.events.offline();
      // Full jitter, so that several open pages do not knock at the same moment.
      await this.pause(100 + Math.random() * Math.min(8000, 200 * 2 ** this.attempt));
    }
  }

  drop(ballot) {
    this.attempt = 0;
    // Two tabs share keys; a vote that says something else under the same key still has to be answered.
    this.ballots = this.ballots.filter((kept) => kept.key !== ballot.key || kept.verdict !== ballot.verdict);
  }

  pause(milliseconds) {
    return new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, milliseconds);
    });
  }
}
