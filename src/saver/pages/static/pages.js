"use strict";

// Search while one types: the same address, of which the list is put in place. Without scripts, the form does it.
for (const form of document.querySelectorAll("form[data-live]")) {
  const target = form.dataset.live;
  let waiting = 0, asking = null;
  const look = async () => {
    asking?.abort();
    asking = new AbortController();
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    const address = `${form.getAttribute("action")}?${query}`;
    try {
      const answer = await fetch(address, { headers: { accept: "text/html" }, signal: asking.signal });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.querySelector(target).replaceWith(page.querySelector(target));
      history.replaceState(null, "", address);
    } catch (error) {
      if (error.name !== "AbortError") form.submit();
    }
  };
  form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(look, 120); });
}

for (const button of document.querySelectorAll("button[data-copy]")) {
  button.addEventListener("click", async () => {
    const source = document.querySelector(button.dataset.copy);
    const says = button.parentElement.querySelector("[data-copied]");
    try {
      await navigator.clipboard.writeText(source.textContent.trimEnd() + "\n");
      says.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      says.textContent = "Selected: copy it with the keyboard";
    }
  });
}

// A row for a model that is served here; the answer is shown as text.
for (const form of document.querySelectorAll("form[data-try]")) {
  const shows = form.parentElement.querySelector(".answer");
  const value = (field) => {
    if (field.dataset.kind === "json") return JSON.parse(field.value);
    if (field.dataset.kind !== "number") return field.value;
    if (field.value.trim() === "") return null;
    const number = Number(field.value);
    return Number.isNaN(number) ? field.value : number;
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const fields = [...form.querySelectorAll("[data-kind]")];
    shows.hidden = false;
    shows.textContent = "…";
    try {
      const shape = form.dataset.shape;
      const row = shape === "object" ? Object.fromEntries(fields.map((each) => [JSON.parse(each.dataset.name), value(each)]))
        : shape === "list" ? fields.map(value) : value(fields[0]);
      const answer = await fetch(form.dataset.try, {
        method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ rows: [row] }),
      });
      shows.textContent = JSON.stringify(await answer.json(), null, 1);
    } catch (error) {
      shows.textContent = String(error.message);
    }
  });
}

// While the server works on something, look again.
if (document.querySelector("[data-working]")) {
  const again = async () => {
    const answer = await fetch("/health?format=json").catch(() => null);
    const works = answer?.ok ? (await answer.json()).works : [];
    for (const each of works.filter((one) => one.running && one.total)) {
      const bar = document.querySelector(`progress[aria-labelledby="${CSS.escape(each.kind)}-title"]`);
      if (bar) { bar.max = each.total; bar.value = each.done; }
    }
    if (answer?.ok && !works.some((one) => one.running)) location.reload();
    else setTimeout(again, 1000);
  };
  setTimeout(again, 1000);
}

// While the server reads a long log back, look again; what it found by then is put in place.
const lookAgain = () => {
  const region = document.querySelector("#records[data-again]");
  if (!region) return;
  setTimeout(async () => {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } }).catch(() => null);
    if (!answer) return;
    if (!answer.ok) location.reload();
    else if (!region.contains(document.activeElement)) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      region.replaceWith(page.querySelector("#records"));
    }
    lookAgain();
  }, 500);
};
lookAgain();
