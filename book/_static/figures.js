// Figures: copy buttons, panels that close, animations that play, commands that follow a form.

function copy(button) {
  const text = button.parentElement.querySelector("pre").textContent;
  const say = (word) => {
    button.textContent = word;
    setTimeout(() => (button.textContent = "Copy"), 1500);
  };
  navigator.clipboard.writeText(text).then(() => say("Copied"), () => say("Press Ctrl+C"));
  getSelection().selectAllChildren(button.parentElement.querySelector("pre"));
}

function closePanels(except) {
  for (const panel of document.querySelectorAll(".kf-panel[open]")) {
    if (panel !== except) panel.open = false;
  }
}

function escape(event) {
  if (event.key !== "Escape") return;
  const open = document.querySelector(".kf-panel[open]");
  closePanels(null);
  if (open) open.querySelector("summary").focus();
}

// The images of a figure show one frame: SLUG-007.png, and SLUG-dark-007.png in the dark.
function player(box) {
  const [button, slider] = [box.querySelector("button"), box.querySelector("input")];
  const images = box.parentElement.querySelectorAll("img");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const last = Number(box.dataset.n) - 1;
  let timer = null;
  const address = (image, i) => {
    const mark = image.classList.contains("only-dark") ? "-dark" : "";
    return `${box.dataset.frames}${mark}-${String(i).padStart(3, "0")}.png`;
  };
  const show = (i) => {
    slider.value = i;
    slider.setAttribute("aria-valuetext", `frame ${i + 1} of ${last + 1}`);
    for (const image of images) image.src = address(image, i);
  };
  const pause = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
  };
  const step = () => (Number(slider.value) >= last ? pause() : show(Number(slider.value) + 1));
  const load = () => {
    for (let i = 0; i <= last; i++) {
      for (const image of images) {
        if (getComputedStyle(image).display !== "none") new Image().src = address(image, i);
      }
    }
  };
  button.addEventListener("click", () => {
    if (timer) return pause();
    load();
    if (Number(slider.value) >= last) show(0);
    button.textContent = "Pause";
    timer = setInterval(step, 120);
  });
  slider.addEventListener("input", () => {
    pause();
    show(Number(slider.value));
  });
  const settle = () => {
    button.hidden = still.matches;
    if (still.matches) pause();
  };
  still.addEventListener("change", settle);
  settle();
  box.hidden = false;
}

function runBox(box) {
  const form = box.querySelector("form");
  const commands = [...box.querySelectorAll("pre")];
  const plain = commands.map((pre) => pre.textContent);
  const update = () => {
    const fields = [...form.elements].filter((field) => field.name);
    const given = fields.filter((field) => field.value !== field.dataset.default && field.value);
    const options = given.map((field) => ` -p ${field.name} ${field.value}`).join("");
    commands.forEach((pre, i) => (pre.textContent = plain[i] + options));
  };
  form.addEventListener("input", update);
  form.addEventListener("submit", (event) => event.preventDefault());
}

document.addEventListener("click", (event) => {
  if (event.target.matches(".kf-copy")) copy(event.target);
  closePanels(event.target.closest(".kf-panel"));
});
document.addEventListener("keydown", escape);
document.querySelectorAll(".kf-player").forEach(player);
document.querySelectorAll(".kf-run").forEach(runBox);
