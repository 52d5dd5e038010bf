// What makes the pages handier. Every page works without it.
"use strict";

// Copy buttons beside hashes, addresses and links, where the browser lets us.
if (navigator.clipboard) {
  for (const code of document.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    const what = code.dataset.copy || (code.closest("dd")?.previousElementSibling?.textContent
      ?? `SHA-256 of ${code.closest("td")?.querySelector("a")?.textContent ?? "the file"}`);
    button.setAttribute("aria-label", `Copy ${what}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.href ?? code.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not copied";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    code.after(button);
  }
}

// What a description will look like, beneath the field.
for (const button of document.querySelectorAll("[data-markdown]")) {
  button.hidden = false;
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    const place = document.getElementById("description-preview");
    try {
      const description = button.form.elements.description.value;
      const answer = await fetch("/markdown", { method: "POST", body: new URLSearchParams({ description }) });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      place.replaceChildren(...page.querySelector(answer.ok ? ".prose" : "main").childNodes);
    } catch {
      place.textContent = "There is no preview: the server cannot be reached. Try again in a moment.";
    }
    place.hidden = false;
  });
}

// A button that shows what is typed into a password field.
for (const input of document.querySelectorAll("[data-reveal]")) {
  const wrap = document.createElement("div");
  wrap.className = "reveal";
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Show";
  button.setAttribute("aria-label", "Show the password");
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    const shows = input.type === "password";
    input.type = shows ? "text" : "password";
    button.textContent = shows ? "Hide" : "Show";
    button.setAttribute("aria-pressed", String(shows));
  });
  input.before(wrap);
  wrap.append(input, button);
}

// How far a draft is, until its page is another one.
for (const place of document.querySelectorAll("[data-draft]")) {
  const events = new EventSource(`/api/v1/publications/${place.dataset.draft}/events`);
  const { state } = place.dataset;
  const delayed = place.querySelector(".notice") !== null;
  events.addEventListener("progress", ({ data }) => {
    const now = JSON.parse(data);
    if (now.state !== state || ("delayed_by" in now) !== delayed) return location.reload();
    if (state !== "draft") return;
    const percent = Math.floor((now.received_bytes / now.total_length) * 100);
    place.querySelector("progress").value = percent;
    const [far, finished] = [place.querySelector("#far"), place.querySelector("#finished")];
    far.textContent = `Being sent: ${percent}% of ${far.dataset.size}`;
    finished.textContent = `${now.finished_files.toLocaleString("en")} of ${finished.dataset.files}`;
  });
  for (const end of ["published", "failed"]) events.addEventListener(end, () => location.reload());
}
