// Which key does what. Keys rest while somebody types, while a dialogue is open and while one is held down.

const BY_KEY = {
  1: "left", ArrowLeft: "left", a: "left",
  2: "right", ArrowRight: "right", b: "right",
  3: "tie", e: "tie",
  4: "both_bad",
  s: "skip", " ": "skip",
  u: "undo", Backspace: "undo",
  "+": "zoom_in", "=": "zoom_in", "-": "zoom_out", 0: "zoom_reset",
  r: "raw", d: "diff", c: "comment", g: "guidelines", "?": "help",
};
// Keyboards on which the upper row gives signs unless shifted still vote with it.
const BY_CODE = { Digit1: "left", Digit2: "right", Digit3: "tie", Digit4: "both_bad" };

const MOVES = { ArrowLeft: "pan_left", ArrowRight: "pan_right", ArrowUp: "pan_up", ArrowDown: "pan_down" };
const steady = /^(zoom|pan)_/; // what may go on while a key is held down

const typing = (element) => element instanceof HTMLElement
  && (element.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName));
const pressable = (element) => element instanceof HTMLElement && ["BUTTON", "A", "SUMMARY"].includes(element.tagName);

export function actionOf(event) {
  const action = meant(event);
  return event.repeat && !steady.test(action) ? null : action;
}

function meant(event) {
  if (event.isComposing || typing(event.target) || document.querySelector("dialog[open]")) return null;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if ((event.ctrlKey || event.metaKey) && key === "z" && !event.shiftKey && !event.altKey) return "undo";
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (key === " " && pressable(event.target)) return null;
  if (event.shiftKey && MOVES[key]) return MOVES[key];
  if (key === "s" && event.shiftKey) return "reasons";
  return BY_KEY[key] || (event.shiftKey ? null : BY_CODE[event.code]) || null;
}
