// Without this script the forms still work, a page at a time; with it pictures can be dropped and pasted, and are named
// one after the other while the page stays.
const form = document.getElementById("name");
const input = document.getElementById("picture");
const drop = document.querySelector(".drop");
const content = document.getElementById("content");
const status = document.getElementById("status");
const pictures = new Map(); // each picture's <article> -> its File
let line = Promise.resolve(); // the pictures that wait, first come, first served
let waiting = 0;

document.body.classList.add("withscript");
for (const element of document.querySelectorAll(".scripted")) element.hidden = false;
document.querySelector("details").open = matchMedia("(min-width: 60rem)").matches;

function say(text) {
  status.textContent = text;
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
  const response = await fetch(address, {...options, headers: {"X-Fragment": "yes"}});
  return {text: await response.text(), again: response.status === 503};
}

async function asked(file) {
  const data = new FormData(form);
  data.set("picture", file, file.name);
  for (let attempt = 0; ; attempt++) {
    const answer = await fragment("/", {method: "POST", body: data});
    if (!answer.again || attempt === 5) return answer.text;
    await new Promise(resume => setTimeout(resume, 1000 * 2 ** attempt)); // others stand in the queue
  }
}

async function nameOne(article, file) {
  if (!pictures.has(article)) return; // cleared meanwhile
  let next = article;
  const most = Number(input.dataset.bytes);
  if (file.size > most) {
    refused(article, `${(file.size / 2 ** 20).toFixed(1)} MB; a picture may have ${most / 2 ** 20} MB.`);
  } else {
    try {
      const { body } = new DOMParser().parseFromString(await asked(file), "text/html");
      next = body.querySelector("article") ?? refused(article, body.textContent.trim());
    } catch {
      refused(article, "The server does not answer. Is it still running?");
    }
  }
  if (!pictures.delete(article)) return;
  pictures.set(next, file);
  if (next !== article) article.replaceWith(next);
}

function enqueue(article, file) {
  waiting++;
  say(`${waiting} to go …`);
  line = line.then(() => nameOne(article, file)).finally(() => {
    waiting--;
    const n = pictures.size;
    say(waiting ? `${waiting} to go …` : n ? `${n} ${n === 1 ? "picture" : "pictures"}.` : "None yet.");
  });
}

function add(files) {
  for (const file of files) {
    const article = placeholder(file);
    if (!pictures.size) content.replaceChildren();
    pictures.set(article, file);
    content.prepend(article);
    enqueue(article, file);
  }
  const heading = document.getElementById("answers");
  if (heading.getBoundingClientRect().top > innerHeight / 2) heading.scrollIntoView();
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
  say("None yet.");
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
  say("Searching …");
  try {
    const words = new URLSearchParams(new FormData(event.target));
    const parsed = new DOMParser().parseFromString((await fragment(`/search?${words}`, {})).text, "text/html");
    pictures.clear();
    content.replaceChildren(...parsed.body.children);
    say("");
  } catch {
    say("The server does not answer. Is it still running?");
  }
});
