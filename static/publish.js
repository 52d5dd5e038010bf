// The publish page: files are chosen or dropped, sent by tus (resumable uploads), and published with their last byte.
"use strict";

const form = document.getElementById("publish");
if (form) preparePublishing(form);

function preparePublishing(form) {
  const byId = (id) => document.getElementById(id);
  const rows = document.querySelector("#chosen tbody");
  const LISTED = 200;
  const SENDERS = 4;
  const PART_BYTES = 50 * 1024 * 1024; // what proxies let through
  const RETRY_MS = [500, 1000, 2000, 4000, 8000, ...Array(60).fill(15_000)];
  const REMEMBERED = "sower-drafts";
  const LEFT_OUT = "Not in the torrent";
  const isKnown = "mayEdit" in form.dataset; // to the server, by an account
  const torrent = byId("torrent");
  let chosen = []; // { path, file, sent, state, url, upload, cell }
  let found = null; // the draft of an earlier visit that has the chosen files
  let job = null; // what is being sent
  let asked = null; // the last request for a draft, and its key

  document.documentElement.classList.add("scripted");
  document.querySelector(".dropwords").hidden = false;
  byId("torrent-options").after(byId("known"));

  // Choosing

  for (const input of form.querySelectorAll("[name=files]")) {
    input.addEventListener("change", () => {
      add(Array.from(input.files, (file) => entry(file.webkitRelativePath || file.name, file)));
      input.value = ""; // so that the same file can be chosen again after it was removed
    });
  }

  torrent.addEventListener("change", changeTorrent);
  byId("no-torrent").addEventListener("click", () => {
    torrent.value = "";
    changeTorrent();
    torrent.focus();
  });

  function changeTorrent() {
    hideProblem();
    settleOptions();
    lookForDraft();
  }

  // A torrent that is there already says for itself what can be chosen for a new one.
  function settleOptions() {
    const isSaid = torrent.files.length > 0;
    byId("no-torrent").hidden = !isSaid || Boolean(job);
    for (const control of form.querySelectorAll("[name=format], [name=private]")) control.disabled = isSaid || Boolean(job);
  }

  settleOptions(); // browsers keep what was chosen before a reload

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
    if (job) return;
    const entries = Array.from(event.dataTransfer.items, (item) => item.webkitGetAsEntry?.());
    const files = Array.from(event.dataTransfer.files);
    try {
      if (entries.some((entry) => entry?.isDirectory)) {
        const found = await Promise.all(entries.filter(Boolean).map((node) => walk(node, "")));
        add(found.flat());
      } else {
        add(files.map((file) => entry(file.name, file)));
      }
    } catch {
      complain("A dropped folder could not be read. Choose it with the button instead.");
    }
  });

  function endDrag() {
    depth = 0;
    document.documentElement.classList.remove("dragging");
  }

  async function walk(node, parent) {
    const path = parent + node.name;
    if (node.isFile) {
      const file = await new Promise((resolve, reject) => node.file(resolve, reject));
      return [entry(path, file)];
    }
    const reader = node.createReader();
    const found = [];
    for (;;) {
      // A reader gives some entries at a time, and none at the end.
      const entries = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
      if (entries.length === 0) return found;
      for (const child of entries) found.push(...await walk(child, path + "/"));
    }
  }

  function entry(path, file) {
    return { path, file, sent: 0, state: "Waiting" };
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
    lookForDraft();
  }

  function remove(item) {
    const place = chosen.indexOf(item);
    chosen = chosen.filter((other) => other !== item);
    show();
    announce(`${item.path} removed.`);
    const left = rows.querySelectorAll("button");
    (left[Math.min(place, left.length - 1)] ?? byId("choose-files")).focus();
    lookForDraft();
  }

  function show() {
    byId("chosen").hidden = chosen.length === 0;
    for (const item of chosen) item.cell = null;
    rows.replaceChildren(...chosen.slice(0, LISTED).map((item) => {
      const row = document.createElement("tr");
      const bdi = document.createElement("bdi");
      bdi.textContent = item.path;
      row.insertCell().append(bdi);
      const length = row.insertCell();
      length.className = "number";
      length.textContent = size(item.file.size);
      item.cell = row.insertCell();
      item.cell.className = "state";
      item.cell.textContent = item.state;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Remove";
      button.setAttribute("aria-label", `Remove ${item.path}`);
      button.addEventListener("click", () => remove(item));
      row.insertCell().append(button);
      return row;
    }));
    const more = chosen.length - LISTED;
    byId("chosen-more").hidden = more <= 0;
    byId("chosen-more").textContent = `And ${more} more.`;
    const first = chosen[0]?.path ?? "";
    byId("title").placeholder = chosen.length === 1 ? first.split("/").pop() : first.includes("/") ? first.split("/")[0] : "";
  }

  function mark(item, state) {
    if (item.state === state) return;
    item.state = state;
    if (item.cell) item.cell.textContent = state;
  }

  // Going on where an earlier visit ended

  function remembered() {
    try {
      return JSON.parse(localStorage.getItem(REMEMBERED)) ?? {};
    } catch {
      return {};
    }
  }

  // The draft of the chosen files, and what was typed since it was made; null once it has come to its end.
  function remember(draft) {
    const drafts = remembered();
    if (draft) drafts[fingerprint()] = draft;
    else delete drafts[fingerprint()];
    try {
      localStorage.setItem(REMEMBERED, JSON.stringify(drafts));
    } catch {
      // Without storage the page has to stay open.
    }
  }

  // What tells these files from others: names, lengths, and when each was changed last; and their torrent.
  function fingerprint() {
    const line = (path, file) => `${path}\n${file.size}\n${file.lastModified}\n`;
    const lines = chosen.map(({ path, file }) => line(path, file)).sort();
    for (const file of torrent.files) lines.push(line(file.name, file));
    let [a, b] = [0xdeadbeef, 0x41c6ce57];
    for (const line of lines) {
      for (let at = 0; at < line.length; at += 1) {
        a = Math.imul(a ^ line.charCodeAt(at), 2654435761);
        b = Math.imul(b ^ line.charCodeAt(at), 1597334677);
      }
    }
    return `${lines.length}-${a >>> 0}-${b >>> 0}`;
  }

  async function lookForDraft() {
    found = null;
    const key = fingerprint();
    const { id, typed } = remembered()[key] ?? {};
    if (!id) return;
    const answer = await fetch(`/api/v1/publications/${id}`).catch(() => null);
    if (!answer || job || fingerprint() !== key) return;
    const draft = answer.ok ? await answer.json() : null;
    if (!["draft", "hashing"].includes(draft?.state)) return remember(null);
    if (unfit(draft, assign(draft))) return;
    found = draft;
    fill({ ...draft, title: draft.title === draft.name ? "" : draft.title });
    form.elements.format.value = draft.format;
    form.elements.private.checked = draft.private;
    found.said = JSON.stringify(words());
    if (typed) fill(typed);
    byId("found").textContent = `${size(draft.received_bytes)} of these files were sent before. Publish goes on from there.`;
    announce(byId("found").textContent);
  }

  // The file of a draft that each chosen one is. Those of a torrent may lie in another folder than it says, or in none.
  function assign(draft) {
    const wanted = new Map(draft.files.map((file) => [file.path, file]));
    const places = new Map();
    for (const item of chosen) {
      const rest = item.path.slice(item.path.indexOf("/") + 1);
      const ways = torrent.files.length > 0 ? [item.path, `${draft.name}/${item.path}`, `${draft.name}/${rest}`, rest] : [item.path];
      const path = ways.find((way) => wanted.has(way));
      if (!path) continue;
      places.set(item, wanted.get(path));
      wanted.delete(path);
    }
    return places;
  }

  // Why the chosen files are not those of a draft, if so.
  function unfit(draft, places) {
    for (const [{ path, file }, { length }] of places) {
      if (file.size !== length) return `The file ${path} has ${file.size.toLocaleString()} bytes, and in the torrent ${length.toLocaleString()}. It is not the file that the torrent was made of.`;
    }
    const there = new Set(places.values());
    const missing = draft.files.filter((file) => file.length > 0 && !there.has(file));
    if (missing.length === 0) return null;
    const more = missing.length > 1 ? ` and ${counted(missing.length - 1)} more` : "";
    return `Of the torrent’s files, ${missing[0].path}${more} is not among those that you have chosen. Add what is missing.`;
  }

  // Sending

  // What is typed meanwhile is not lost with the page.
  form.addEventListener("input", () => {
    if (job?.id) remember({ id: job.id, typed: words() });
  });

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    hideProblem();
    if (chosen.length === 0) return complain("Choose at least one file first.");
    for (const { name, size: bytes } of torrent.files) {
      const most = Number(form.dataset.maxTorrent);
      if (bytes === 0 || bytes > most) return complain(`${name} has ${size(bytes)}, and a .torrent that this server takes has up to ${size(most)}. Choose another, or none.`);
    }
    if (!globalThis.tus) return complain("A part of this page did not come. Load the page again, then choose the same files.");
    const maxFiles = Number(form.dataset.maxFiles);
    if (chosen.length > maxFiles) {
      return complain(`These are ${counted(chosen.length)}, and this server takes ${maxFiles.toLocaleString()} at once. Publish fewer, or pack them into an archive.`);
    }
    const room = Number(form.dataset.room);
    if (!found && total() > room) {
      return complain(`These files need ${size(total())}, and there is room for ${size(room)}. Choose fewer files, or ask the administrator for space.`);
    }
    begin();
  });

  byId("cancel").addEventListener("click", cancel);
  byId("pause").addEventListener("click", () => (job.isPaused ? resume() : pause()));

  addEventListener("beforeunload", (event) => {
    if (job && !job.isOver) event.preventDefault();
  });

  async function begin() {
    const mine = { isPaused: false, isOver: false, told: 0, speed: 0, asking: new AbortController() };
    job = mine;
    working(true);
    announce(`Sending ${counted(chosen.length)}, ${size(total())}.`);
    let draft = found;
    try {
      draft ??= await makeDraft(mine.asking.signal);
    } catch (error) {
      if (job === mine) fail(error.message);
      return;
    }
    if (job !== mine) return; // cancelled meanwhile
    mine.id = draft.id;
    mine.said = draft.said;
    byId("draft").href = `/p/${draft.id}`;
    const places = assign(draft);
    const problem = unfit(draft, places);
    if (problem) {
      forget(draft.id);
      return fail(problem);
    }
    remember({ id: draft.id, typed: words() });
    for (const item of chosen) {
      const file = places.get(item);
      if (!file) {
        item.sent = 0;
        mark(item, LEFT_OUT);
        continue;
      }
      // The path, on whatever name of this server the page was opened.
      item.url = new URL(file.upload_url).pathname;
      item.sent = file.offset;
      mark(item, item.sent === item.file.size ? "Sent" : "Waiting");
    }
    mine.before = sum();
    mine.began = performance.now();
    mine.timer = setInterval(tell, 250);
    fillSenders();
  }

  async function makeDraft(signal) {
    const about = words();
    const [known] = torrent.files;
    const manifest = known ? { ...about, torrent: await base64(known) } : {
      ...about,
      format: form.elements.format.value,
      private: form.elements.private.checked,
      files: chosen.map(({ path, file }) => ({ path, length: file.size })),
    };
    const body = JSON.stringify(manifest);
    // Asked again, because no answer came, it makes no second draft.
    if (asked?.body !== body) asked = { body, key: newKey() };
    const headers = { "Content-Type": "application/json" };
    if (isKnown) headers["Idempotency-Key"] = asked.key;
    let answer;
    try {
      answer = await fetch("/api/v1/publications", { method: "POST", headers, body, signal });
    } catch {
      throw new Error("The server does not answer. Your choice is still here: try again.");
    }
    const said = await answer.json().catch(() => null);
    if (answer.status !== 201) throw new Error(said?.detail ?? explain(answer.status));
    asked = null;
    return { ...said, said: JSON.stringify(about) };
  }

  function newKey() {
    return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  function base64(file) {
    return new Promise((resolve, reject) => {
      const reader = new FileReader();
      reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
      reader.addEventListener("error", () => reject(new Error(`${file.name} cannot be read. Choose it again.`)));
      reader.readAsDataURL(file);
    });
  }

  // What is said of the files. It may still be changed while they are sent.
  function words() {
    const fields = form.elements;
    return {
      title: fields.title.value,
      description: fields.description.value,
      creator: fields.creator.value,
      licence: fields.licence.value,
      tags: [fields.tags.value],
      unlisted: fields.unlisted.value === "true",
      replaces: fields.replaces.value,
      doi: fields.doi.value,
      links: lines("links").map(link),
      trackers: lines("trackers"),
      web_seeds: lines("web_seeds"),
    };
  }

  // Puts such words, or those of a draft, into the form.
  function fill(words) {
    const fields = form.elements;
    for (const name of ["title", "description", "creator", "licence", "doi", "replaces"]) fields[name].value = words[name] ?? "";
    fields.tags.value = words.tags.join(", ");
    fields.unlisted.value = String(words.unlisted);
    for (const name of ["trackers", "web_seeds"]) fields[name].value = words[name].join("\n");
    fields.links.value = words.links.map(({ title, url }) => (!title || title === url ? url : `${title} ${url}`)).join("\n");
    document.querySelector(".more").open = ["doi", "replaces", "trackers", "web_seeds", "links"].some((name) => words[name]?.length > 0);
  }

  function lines(name) {
    return form.elements[name].value.split("\n").map((line) => line.trim()).filter(Boolean);
  }

  // A line is a title and an address, or an address alone.
  function link(line) {
    const [, title = "", url] = line.match(/^(?:(.*)\s)?(\S*:\/\/\S*)$/) ?? [null, "", line];
    return { title, url };
  }

  function fillSenders() {
    const busy = chosen.filter((item) => item.upload).length;
    const waiting = chosen.filter((item) => item.state === "Waiting" || item.state === "Paused");
    for (const item of waiting.slice(0, SENDERS - busy)) start(item);
    if (busy + waiting.length > 0) return;
    const failed = chosen.filter((item) => item.state.startsWith("Failed"));
    if (failed.length > 0) giveUp(failed);
    else check();
  }

  function start(item) {
    const mine = job;
    const isMine = () => job === mine && item.upload;
    mark(item, "Sending");
    item.upload = new tus.Upload(item.file, {
      uploadUrl: item.url,
      chunkSize: PART_BYTES,
      retryDelays: RETRY_MS,
      storeFingerprintForResuming: false,
      onProgress(sent) {
        if (!isMine()) return;
        mine.isLost = false;
        item.sent = sent;
        const part = item.file.size > 0 ? Math.floor((sent / item.file.size) * 100) : 100;
        mark(item, part < 100 ? `Sending ${part}%` : "Checking");
      },
      onShouldRetry(error) {
        const status = error.originalResponse?.getStatus() ?? 0;
        const isWorthIt = status === 0 || status >= 500 || [409, 423, 429].includes(status);
        if (isMine() && status === 0) mine.isLost = true;
        return isWorthIt;
      },
      onError(error) {
        if (!isMine()) return;
        item.upload = null;
        mark(item, `Failed: ${reason(error)}`);
        announce(`${item.path} failed: ${reason(error)}`);
        fillSenders();
      },
      onSuccess() {
        if (!isMine()) return;
        item.upload = null;
        item.sent = item.file.size;
        mark(item, "Sent");
        fillSenders();
      },
    });
    item.upload.start();
  }

  function reason(error) {
    const response = error.originalResponse;
    if (!response) return "the connection was lost, and nothing of what was sent is lost";
    try {
      return JSON.parse(response.getBody()).detail;
    } catch {
      return explain(response.getStatus());
    }
  }

  function stopSenders(state) {
    for (const item of chosen) {
      const { upload } = item;
      if (!upload) continue;
      item.upload = null;
      upload.abort();
      mark(item, state);
    }
  }

  function pause() {
    job.isPaused = true;
    stopSenders("Paused");
    byId("pause").textContent = "Resume";
    announce("Paused.");
    tell();
  }

  function resume() {
    job.isPaused = false;
    [job.before, job.began] = [sum(), performance.now()];
    byId("pause").textContent = "Pause";
    announce("Going on.");
    fillSenders();
  }

  function cancel() {
    const { id, asking } = job;
    asking.abort();
    stopSenders("Waiting");
    for (const item of chosen) {
      item.sent = 0;
      mark(item, "Waiting");
    }
    if (id) forget(id);
    found = null;
    fail("Cancelled. Nothing was published, and your choice is still here.");
  }

  function forget(id) {
    remember(null);
    fetch(`/api/v1/publications/${id}`, { method: "DELETE" }).catch(() => {}); // else it expires
  }

  function giveUp(failed) {
    const words = failed.length === 1 ? `${failed[0].path} was not sent` : `${counted(failed.length)} were not sent`;
    for (const item of failed) item.state = "Waiting";
    fail(`${words}: ${failed[0].cell?.textContent.replace("Failed: ", "") ?? "the connection was lost"}. What was sent is kept: Publish goes on from there.`);
    lookForDraft();
  }

  function check() {
    clearInterval(job.timer);
    byId("progress").value = 1;
    byId("pause").hidden = true;
    byId("cancel").hidden = true;
    wait({});
    listen(job.id);
  }

  // Everything is sent; the server says what delays it, if something does.
  function wait({ delayed_by: delay = "Everything is sent. Checking and publishing …" }) {
    if (byId("status").textContent === delay) return;
    byId("status").textContent = delay;
    announce(delay);
  }

  function listen(id) {
    const events = new EventSource(`/api/v1/publications/${id}/events`);
    const close = (then) => (event) => {
      events.close();
      then(event);
    };
    events.addEventListener("progress", ({ data }) => wait(JSON.parse(data)));
    events.addEventListener("published", close(() => published(id)));
    events.addEventListener("failed", close(({ data }) => refused(JSON.parse(data))));
    events.addEventListener("error", () => {
      // A lost connection is taken up again by the browser, a refusal is not.
      if (events.readyState === EventSource.CLOSED) setTimeout(() => ask(id), 2000);
    });
  }

  async function ask(id) {
    const answer = await fetch(`/api/v1/publications/${id}`).catch(() => null);
    const said = answer?.ok ? await answer.json() : null;
    if (said?.state === "published") published(id);
    else if (said?.state === "failed") refused(said);
    else {
      wait(said ?? {});
      listen(id);
    }
  }

  async function published(id) {
    const before = job.said;
    remember(null);
    end();
    announce("Published.");
    const problem = await reword(id, before);
    if (!problem) return location.assign(`/p/${id}#published`);
    byId("send").disabled = true;
    complain(`The files are published at ${location.origin}/p/${id}, but what you changed while they were sent is not saved: ${problem}`);
  }

  // Saves what was typed since the files began to be sent. Gives the reason why it cannot, if so.
  async function reword(id, before) {
    const now = words();
    if (JSON.stringify(now) === before) return null;
    const answer = await fetch(`/api/v1/publications/${id}`, {
      method: "PATCH",
      headers: { "Content-Type": "application/merge-patch+json", "If-Match": "*" },
      body: JSON.stringify(now),
    }).catch(() => null);
    if (answer?.ok) return null;
    const said = await answer?.json().catch(() => null);
    return said?.detail ?? "the server does not answer. Edit the publication there.";
  }

  function refused({ failure }) {
    remember(null);
    found = null;
    for (const item of chosen) mark(item, "Waiting");
    fail(failure);
  }

  function tell() {
    const sending = chosen.filter(({ state }) => state !== LEFT_OUT);
    const [sent, all] = [sum(), sending.reduce((sum, { file }) => sum + file.size, 0)];
    byId("progress").value = all > 0 ? sent / all : 1;
    const done = chosen.filter((item) => item.state === "Sent").length;
    const speed = (sent - job.before) / Math.max(0.001, (performance.now() - job.began) / 1000);
    const parts = [`${done.toLocaleString()} of ${counted(sending.length)}`, `${size(sent)} of ${size(all)}`];
    if (job.isPaused) parts.push("paused");
    else if (job.isLost) parts.push("connection lost, trying again; nothing is lost");
    else if (speed > 0) parts.push(`${size(speed)}/s`, `${duration((all - sent) / speed)} left`);
    byId("status").textContent = parts.join(" · ");
    const quarter = Math.floor((sent / all) * 4);
    if (quarter > job.told && quarter < 4) {
      job.told = quarter;
      announce(`${quarter * 25} percent sent.`);
    }
  }

  function explain(status) {
    if (status === 413) return "A proxy before this server refused a request of 50 MiB. Ask the administrator to raise its limit, such as client_max_body_size.";
    return `The server answered ${status}. Try again, or ask the administrator.`;
  }

  function fail(words) {
    end();
    complain(words);
  }

  function end() {
    clearInterval(job?.timer);
    if (job) job.isOver = true;
    job = null;
    working(false);
  }

  function working(is) {
    for (const id of ["sending", "cancel", "pause"]) byId(id).hidden = !is;
    byId("send").disabled = is;
    byId("pause").textContent = "Pause";
    byId("progress").value = 0;
    byId("status").textContent = "Sending …";
    byId("draft").removeAttribute("href");
    byId("found").textContent = "";
    const fixed = isKnown ? "[type=file], [name=format], [name=private], #chosen button" : "input, select, textarea, #chosen button";
    for (const control of form.querySelectorAll(fixed)) control.disabled = is;
    settleOptions();
  }

  function sum() {
    return chosen.reduce((before_it, { sent }) => before_it + sent, 0);
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
