// Which key does what. Keys rest while somebody types, while a dialogue is open and while one is held down.

const BY_KEY = {
  1: "left", ArrowLeft: "left", a: "left",
  2: "right", ArrowRight: "right", b: "right",
  3: "tie", e: "tie",
  4: "both_bad",
  s: "skip", " ": "skip",
  u: "undo", Backspace: "undo",
  r: "raw", d: "diff", c: "comment", g: "guidelines", "?": "help",
};
// Keyboards on which the upper row gives signs unless shifted still vote with it.
const BY_CODE = { Digit1: "left", Digit2: "right", Digit3: "tie", Digit4: "both_bad" };

const typing = (element) => element instanceof HTMLElement
  && (element.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(element.tagName));
const pressable = (element) => element instanceof HTMLElement && ["BUTTON", "A", "SUMMARY"].includes(element.tagName);

export function actionOf(event) {
  if (event.isComposing || event.repeat || typing(event.target) || document.querySelector("dialog[open]")) return null;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if ((event.ctrlKey || event.metaKey) && key === "z" && !event.shiftKey && !event.altKey) return "undo";
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  if (key === " " && pressable(event.target)) return null;
  if (key === "s" && event.shiftKey) return "reasons";
  return BY_KEY[key] || (event.shiftKey ? null : BY_CODE[event.code]) || null;
}
