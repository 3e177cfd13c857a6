// Revoking needs a script, since a form's request could be begun by another page; the rest works without one.
import { ask, Refused } from "/static/outbox.js";

const say = JSON.parse(document.body.dataset.words);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const alert = document.getElementById("alert");

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element && event.target.closest("[data-revoke]");
  if (!button || !confirm(fill(say.sure, { name: button.dataset.name }))) return;
  button.disabled = true;
  try {
    await ask("/api/revoke", { id: button.dataset.revoke });
    location.reload();
  } catch (error) {
    button.disabled = false;
    alert.hidden = false;
    alert.textContent = error instanceof Refused ? fill(say.failed, { error: error.message }) : say.offline;
  }
});
