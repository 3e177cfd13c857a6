// Copying needs a script; everything else on this page works without one.
const button = document.getElementById("copy");
if (button && navigator.clipboard) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById("best").textContent);
    document.getElementById("copied").textContent = document.body.dataset.copied;
  });
}
