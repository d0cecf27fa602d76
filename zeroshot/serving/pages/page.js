// Without this script the forms still work, a page at a time; with it pictures can be dropped and pasted, and are named
// one after the other while the page stays.
const form = document.getElementById("name");
const input = document.getElementById("picture");
const drop = document.querySelector(".drop");
const content = document.getElementById("content");
const status = document.getElementById("status");
const found = document.getElementById("found"); // what the last search found, beside the pictures and their answers
const pictures = new Map(); // each picture's <article> -> its File
let line = Promise.resolve(); // the pictures that wait, first come, first served
let seeking = new AbortController(); // of the search that was asked last

document.body.classList.add("withscript");
for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
document.querySelector("details").open = matchMedia("(min-width: 60rem)").matches;

function say(text) {
  status.textContent = text;
}

const counted = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}.`;

function tell() {
  const waiting = [...pictures.keys()].filter(article => article.classList.contains("waiting")).length;
  say(waiting ? `${waiting} to go …` : pictures.size ? counted(pictures.size, "picture") : "None yet.");
}

function bringIntoView(element) {
  const { top } = element.getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) element.scrollIntoView();
}

function placeholder(file) {
  const article = document.createElement("article");
  article.className = "picture waiting";
  const shown = document.createElement("div");
  shown.className = "shown";
  const image = new Image();
  image.alt = "";
  image.src = URL.createObjectURL(file);
  image.onload = () => URL.revokeObjectURL(image.src);
  image.onerror = () => image.remove();
  const name = document.createElement("h3");
  name.textContent = file.name;
  shown.append(image, name);
  const note = document.createElement("p");
  note.className = "note";
  note.textContent = "Waiting for its answers …";
  article.append(shown, note);
  return article;
}

function refused(article, text) {
  const refusal = document.createElement("p");
  refusal.className = "refusal";
  refusal.setAttribute("role", "alert");
  refusal.textContent = text;
  article.classList.replace("waiting", "refused");
  article.lastElementChild.replaceWith(refusal);
  return article;
}

async function fragment(address, options) {
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(address, {...options, headers: {"X-Fragment": "yes"}});
    if (response.status !== 503 || attempt === 5)
      return new DOMParser().parseFromString(await response.text(), "text/html").body;
    await new Promise(resume => setTimeout(resume, 1000 * 2 ** attempt)); // others stand in the queue
  }
}

function asked(file) {
  const data = new FormData(form);
  data.set("picture", file, file.name);
  return fragment("/", {method: "POST", body: data});
}

async function nameOne(article, file) {
  if (!pictures.has(article)) return; // cleared meanwhile
  let next = article;
  const most = Number(input.dataset.bytes);
  if (file.size > most) {
    const megabytes = Math.ceil(10 * file.size / 2 ** 20) / 10; // up, as the server says it
    refused(article, `${megabytes.toFixed(1)} MB; a picture may have ${most / 2 ** 20} MB.`);
  } else {
    try {
      const body = await asked(file);
      next = body.querySelector("article:has(h3)") ?? refused(article, body.textContent.trim());
    } catch {
      refused(article, "The server does not answer. Is it still running?");
    }
  }
  if (!pictures.delete(article)) return;
  pictures.set(next, file);
  if (next !== article) article.replaceWith(next);
}

function enqueue(article, file) {
  tell();
  line = line.then(() => nameOne(article, file)).finally(tell);
}

function add(files) {
  for (const file of files) {
    const article = placeholder(file);
    if (!pictures.size) content.replaceChildren();
    pictures.set(article, file);
    content.prepend(article);
    enqueue(article, file);
  }
  bringIntoView(document.getElementById("answers"));
}

input.addEventListener("change", () => {
  add(input.files);
  input.value = ""; // the same file may be chosen again
});

form.addEventListener("submit", event => {
  event.preventDefault();
  if (!pictures.size) return say("Choose a picture first.");
  for (const [article, file] of [...pictures]) { // all again, with what is chosen now
    const fresh = placeholder(file);
    pictures.delete(article);
    pictures.set(fresh, file);
    article.replaceWith(fresh);
    enqueue(fresh, file);
  }
});

form.addEventListener("reset", () => {
  pictures.clear();
  content.replaceChildren();
  tell();
});

const withFiles = event => event.dataTransfer && [...event.dataTransfer.types].includes("Files");

addEventListener("dragover", event => {
  if (!withFiles(event)) return;
  event.preventDefault();
  drop.classList.add("over");
});
addEventListener("dragleave", event => event.relatedTarget || drop.classList.remove("over"));
addEventListener("drop", event => {
  if (!withFiles(event)) return;
  event.preventDefault();
  drop.classList.remove("over");
  add(event.dataTransfer.files);
});
addEventListener("paste", event => {
  if (!event.clipboardData.files.length) return;
  event.preventDefault();
  add(event.clipboardData.files);
});

document.getElementById("search")?.addEventListener("submit", async event => {
  event.preventDefault();
  seeking.abort(); // the latest search replaces the one before, whichever is answered first
  const { signal } = seeking = new AbortController();
  const sought = document.getElementById("sought");
  sought.textContent = "Searching …";
  try {
    const words = new URLSearchParams(new FormData(event.target));
    const body = await fragment(`/search?${words}`, {signal});
    const images = body.querySelectorAll("li").length;
    sought.textContent = images ? counted(images, "photograph") : "";
    found.querySelector("div").replaceChildren(...body.childNodes);
    found.hidden = false;
    bringIntoView(found);
  } catch {
    if (!signal.aborted) sought.textContent = "The server does not answer. Is it still running?";
  }
});
