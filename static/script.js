// What makes the pages handier. Every page works without it.
"use strict";

// Copy buttons beside hashes and addresses, where the browser lets us.
if (navigator.clipboard) {
  for (const code of document.querySelectorAll("[data-copy]")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    const what = code.closest("dd")?.previousElementSibling?.textContent
      ?? `SHA-256 of ${code.closest("td")?.querySelector("a")?.textContent ?? "the file"}`;
    button.setAttribute("aria-label", `Copy ${what}`);
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not copied";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    code.after(button);
  }
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

const form = document.getElementById("publish");
if (form) preparePublishing(form);

function preparePublishing(form) {
  const byId = (id) => document.getElementById(id);
  const rows = document.querySelector("#chosen tbody");
  const LISTED = 200;
  let chosen = []; // { path, file }
  let request = null;

  document.documentElement.classList.add("scripted");
  document.querySelector(".dropwords").hidden = false;

  // Choosing

  for (const input of form.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => {
      add(Array.from(input.files, (file) => ({ path: file.webkitRelativePath || file.name, file })));
      input.value = ""; // so that the same file can be chosen again after it was removed
    });
  }

  let depth = 0;
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    document.documentElement.classList.add("dragging");
  });
  addEventListener("dragleave", (event) => {
    if (hasFiles(event) && --depth <= 0) endDrag();
  });
  addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    endDrag();
    if (request) return;
    const entries = Array.from(event.dataTransfer.items, (item) => item.webkitGetAsEntry?.());
    const files = Array.from(event.dataTransfer.files);
    try {
      if (entries.some((entry) => entry?.isDirectory)) {
        const found = await Promise.all(entries.filter(Boolean).map((entry) => walk(entry, "")));
        add(found.flat());
      } else {
        add(files.map((file) => ({ path: file.name, file })));
      }
    } catch {
      complain("A dropped folder could not be read. Choose it with the button instead.");
    }
  });

  function endDrag() {
    depth = 0;
    document.documentElement.classList.remove("dragging");
  }

  async function walk(entry, parent) {
    const path = parent + entry.name;
    if (entry.isFile) {
      const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
      return [{ path, file }];
    }
    const reader = entry.createReader();
    const found = [];
    for (;;) {
      // A reader gives some entries at a time, and none at the end.
      const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (entries.length === 0) return found;
      for (const child of entries) found.push(...await walk(child, path + "/"));
    }
  }

  function add(files) {
    hideProblem();
    const byPath = new Map(chosen.map((item) => [item.path, item]));
    for (const item of files) byPath.set(item.path, item);
    chosen = Array.from(byPath.values());
    show();
    if (files.length > 0) {
      announce(`${counted(files.length)} added. ${counted(chosen.length)} chosen, ${size(total())} in all.`);
    }
  }

  function show() {
    byId("chosen").hidden = chosen.length === 0;
    rows.replaceChildren(...chosen.slice(0, LISTED).map((item) => {
      const row = document.createElement("tr");
      const name = row.insertCell();
      const bdi = document.createElement("bdi");
      bdi.textContent = item.path;
      name.append(bdi);
      const length = row.insertCell();
      length.className = "number";
      length.textContent = size(item.file.size);
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Remove";
      button.setAttribute("aria-label", `Remove ${item.path}`);
      button.addEventListener("click", () => {
        const place = chosen.indexOf(item);
        chosen = chosen.filter((other) => other !== item);
        show();
        announce(`${item.path} removed.`);
        const left = rows.querySelectorAll("button");
        (left[Math.min(place, left.length - 1)] ?? byId("choose-files")).focus();
      });
      row.insertCell().append(button);
      return row;
    }));
    const more = chosen.length - LISTED;
    byId("chosen-more").hidden = more <= 0;
    byId("chosen-more").textContent = `And ${more} more.`;
    const first = chosen[0]?.path ?? "";
    byId("title").placeholder = chosen.length === 1 ? first.split("/").pop() : first.includes("/") ? first.split("/")[0] : "";
  }

  // Sending

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    hideProblem();
    if (chosen.length === 0) return complain("Choose at least one file first.");
    const maxFiles = Number(form.dataset.maxFiles);
    if (chosen.length > maxFiles) {
      return complain(`These are ${counted(chosen.length)}, and this server takes ${maxFiles.toLocaleString()} at once. Publish fewer, or pack them into an archive.`);
    }
    const room = Number(form.dataset.room);
    if (total() > room) {
      return complain(`These files need ${size(total())}, and there is room for ${size(room)}. Choose fewer files, or ask the administrator for space.`);
    }
    send();
  });

  byId("cancel").addEventListener("click", () => request?.abort());

  addEventListener("beforeunload", (event) => {
    if (request) event.preventDefault();
  });

  function send() {
    // What is said of the files goes first, so that the server can hash them as they come.
    const body = new FormData();
    for (const name of ["title", "description", "creator", "licence", "tags", "format"]) body.append(name, form.elements[name].value);
    if (form.elements.private.checked) body.append("private", "true");
    for (const { path, file } of chosen) body.append("files", file, path);

    const began = performance.now();
    let told = 0;
    request = new XMLHttpRequest();
    request.open("POST", "/api/v1/publications");
    request.responseType = "json";
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      const done = total > 0 ? loaded / total : 1;
      byId("progress").value = done;
      if (loaded >= total) {
        byId("status").textContent = "Everything is sent. Checking and publishing …";
      } else {
        const speed = loaded / Math.max(0.001, (performance.now() - began) / 1000);
        byId("status").textContent = `Sent ${size(loaded)} of ${size(total)} · ${size(speed)}/s · ${duration((total - loaded) / speed)} left`;
      }
      if (Math.floor(done * 4) > told) {
        told = Math.floor(done * 4);
        announce(told === 4 ? "Everything is sent. The server checks and publishes." : `${told * 25} percent sent.`);
      }
    });
    request.addEventListener("load", () => {
      const { status, response } = request;
      if (status === 201 && response?.id) {
        end();
        announce("Published.");
        location.assign(`/p/${response.id}`);
      } else {
        fail(response?.detail ?? explain(status));
      }
    });
    request.addEventListener("error", () => fail("The connection was lost before everything was sent, so nothing was published. Your choice is still here: try again."));
    request.addEventListener("abort", () => fail("Cancelled. Nothing was published, and your choice is still here."));
    working(true);
    announce(`Sending ${counted(chosen.length)}, ${size(total())}.`);
    request.send(body);
  }

  function explain(status) {
    if (status === 413) return "A proxy before this server refused an upload of this size. Ask the administrator to raise its limit.";
    return `The server answered ${status}. Try again, or ask the administrator.`;
  }

  function fail(words) {
    end();
    complain(words);
  }

  function end() {
    request = null;
    working(false);
  }

  function working(is) {
    byId("sending").hidden = !is;
    byId("cancel").hidden = !is;
    byId("send").disabled = is;
    byId("progress").value = 0;
    byId("status").textContent = "Sending …";
    for (const control of form.querySelectorAll("input, select, textarea, #chosen button")) control.disabled = is;
  }

  // Words

  function complain(words) {
    const problem = byId("problem");
    problem.textContent = words;
    problem.hidden = false;
    problem.focus();
    problem.scrollIntoView({ block: "nearest" });
  }

  function hideProblem() {
    byId("problem").hidden = true;
  }

  function announce(words) {
    byId("announce").textContent = words;
  }

  function total() {
    return chosen.reduce((sum, { file }) => sum + file.size, 0);
  }

  function counted(number) {
    return number === 1 ? "1 file" : `${number.toLocaleString()} files`;
  }

  function size(bytes) {
    const units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let unit = 0;
    while (bytes >= 1000 && unit < units.length - 1) {
      bytes /= 1000;
      unit += 1;
    }
    return `${unit === 0 ? Math.round(bytes) : Number(bytes.toFixed(1))} ${units[unit]}`;
  }

  function duration(seconds) {
    if (!Number.isFinite(seconds)) return "some time";
    if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
    if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
    return `${Number((seconds / 3600).toFixed(1))} h`;
  }
}
