// The pages in a real browser, against the real program. `tests/browser/run` starts it.
//
// Needs Chromium (CHROMIUM names it, /usr/bin/chromium by default) and what `tests/setup browser` puts into the cache. Pictures of every
// page go to target/browser/; with --pictures, that of a publication goes to docs/pictures/ as well.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { deflateSync } from "node:zlib";

import { check, openBrowser, picture, PICTURES, require, tabThrough, tabTo } from "./browser.mjs";
import { startServer } from "./server.mjs";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const TEST_MS = 300_000;
const PASSWORD = "a calm and long password";
const scratch = await mkdtemp(join(tmpdir(), "sower-browser-"));
const tests = [];
const test = (name, run) => tests.push({ name, run });

const report = await files();
let server, browser, people, session, report_page, folder_page, media_page;

test("the set-up link makes the administrator and leads to the publish page", async () => {
  const page = await people.newPage();
  await page.goto(server.setupLink);
  await check(page, "setup");
  await page.getByLabel("Name").fill("ada");
  await page.getByLabel("Password", { exact: true }).fill("short");
  assert.ok(!(await page.evaluate(() => document.querySelector("form").checkValidity())), "a short password passes the form");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Show the password" }).click();
  assert.equal(await page.locator("#password").getAttribute("type"), "text");
  await page.getByRole("button", { name: "Create the administrator" }).click();
  await page.waitForURL("**/publish");
  session = await people.storageState();
  const cookie = session.cookies[0];
  assert.ok(cookie.httpOnly && cookie.sameSite === "Lax", "the session cookie is open to scripts or other sites");

  await page.goto(server.setupLink);
  assert.match(await page.locator("main").innerText(), /has its administrator already/);
  await check(page, "error-403");
  await page.close();
});

test("an empty catalogue says so and offers to publish", async () => {
  const page = await people.newPage();
  await page.goto(server.url);
  await page.getByText("Nothing published yet.").waitFor();
  await check(page, "catalogue-empty");
  await page.getByRole("link", { name: "Publish files" }).click();
  await page.waitForURL("**/publish");
  await page.close();
});

test("a file from the file chooser becomes a publication", async () => {
  const page = await people.newPage();
  await page.goto(`${server.url}/publish`);
  await check(page, "publish");

  await page.getByRole("button", { name: "Publish" }).click();
  await page.getByRole("alert").getByText("Choose at least one file first.").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), "problem", "focus does not go to the error");
  await check(page, "publish-problem");

  await page.getByLabel("Choose files").setInputFiles(report.files);
  const unwanted = page.getByRole("button", { name: "Remove notes.html" });
  await unwanted.click();
  assert.equal(await page.locator("#chosen tbody tr").count(), 2);
  await page.getByLabel("Title").fill("Soil survey of the Elbe marshes, 2026");
  await page.getByLabel("Description").fill(DESCRIPTION);
  await check(page, "publish-chosen");
  await page.getByRole("button", { name: "Publish" }).click();
  await page.waitForURL("**/p/*");
  report_page = address(page);

  assert.equal(await page.locator("h1").innerText(), "Soil survey of the Elbe marshes, 2026");
  await page.locator(".checksum summary").first().click();
  await page.getByText("Technical details").click();
  await check(page, "publication-open");
  await page.close();
});

test("a dropped file becomes a publication, and other words do not", async () => {
  const page = await people.newPage();
  await page.goto(`${server.url}/publish`);
  const dropped = await page.evaluateHandle(() => {
    const transfer = new DataTransfer();
    const bytes = new Uint8Array(3_000_000).map((_, n) => n * 7);
    transfer.items.add(new File([bytes], "marsh audio.flac", { type: "audio/flac" }));
    return transfer;
  });
  await page.dispatchEvent("body", "dragenter", { dataTransfer: dropped });
  assert.ok(await page.evaluate(() => document.documentElement.classList.contains("dragging")));
  await picture(page, "publish-dragging");
  await page.dispatchEvent("body", "dragover", { dataTransfer: dropped });
  await page.dispatchEvent("body", "drop", { dataTransfer: dropped });
  await page.getByRole("button", { name: "Remove marsh audio.flac" }).waitFor();
  assert.equal(await page.getByLabel("Title").getAttribute("placeholder"), "marsh audio.flac");
  await page.getByText("Torrent options").click();
  await page.getByLabel("Hybrid").check();
  await check(page, "publish-options");

  // The upload is held back for a moment, to look at its progress.
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  await page.route("**/api/v1/publications", async (route) => { await held; await route.continue(); });
  await page.getByRole("button", { name: "Publish" }).click();
  await page.locator("#sending").waitFor();
  await check(page, "publish-sending");
  release();
  await page.waitForURL("**/p/*");
  assert.equal(await page.locator("h1").innerText(), "marsh audio.flac");
  assert.match(await page.locator("aside").innerText(), /hybrid/);
  const magnet = await page.getByRole("link", { name: "Magnet link" }).getAttribute("href");
  assert.match(magnet, /^magnet:\?xt=urn:btih:[0-9a-f]{40}&xt=urn:btmh:1220[0-9a-f]{64}&dn=marsh%20audio\.flac&tr=/);
  await page.close();
});

test("a cancelled upload publishes nothing and keeps the choice", async () => {
  const page = await people.newPage();
  await page.goto(`${server.url}/publish`);
  await page.getByLabel("Choose files").setInputFiles({ name: "never.bin", mimeType: "", buffer: Buffer.alloc(1000, 9) });
  await page.route("**/api/v1/publications", () => {});
  await page.getByRole("button", { name: "Publish" }).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("alert").getByText("Nothing was published").waitFor();
  assert.equal(await page.locator("#chosen tbody tr").count(), 1);
  await page.goto(`${server.url}/?q=never.bin`);
  await page.getByText("Nothing here matches").waitFor();
  await check(page, "catalogue-no-match");
  await page.close();
});

test("what the server refuses is said in the form, in its words", async () => {
  const page = await people.newPage();
  await page.goto(`${server.url}/publish`);
  await page.getByLabel("Choose files").setInputFiles({ name: "NUL", mimeType: "", buffer: Buffer.from("x") });
  await page.getByRole("button", { name: "Publish" }).click();
  const problem = page.getByRole("alert");
  await problem.getByText("rename it and try again").waitFor();
  assert.ok(await page.getByRole("button", { name: "Publish" }).isEnabled());
  await page.close();
});

test("a chosen folder keeps its paths", async () => {
  const page = await people.newPage();
  await page.goto(`${server.url}/publish`);
  await page.getByLabel("Choose a folder").setInputFiles(join(scratch, "field notes"));
  await page.getByRole("button", { name: "Remove field notes/day 1/übersicht.txt" }).waitFor();
  await page.getByRole("button", { name: "Publish" }).click();
  await page.waitForURL("**/p/*");
  folder_page = address(page);
  assert.equal(await page.locator("h1").innerText(), "field notes");
  assert.match(await page.locator("table.files").innerText(), /day 1\/übersicht\.txt/);
  await page.close();
});

test("a folder of 200 files is sent although the server is killed in the middle", async () => {
  const page = await people.newPage();
  await page.goto(`${server.url}/publish`);
  await page.getByLabel("Choose a folder").setInputFiles(join(scratch, "two hundred"));
  await page.getByText("200 files added").waitFor({ state: "attached" });
  let sent = 0, killed;
  await page.route("**/api/v1/uploads/*", async (route) => {
    if (route.request().method() === "PATCH" && ++sent === 80) killed = server.killAndStartAgain();
    await route.continue();
  });
  await page.getByRole("button", { name: "Publish" }).click();
  await page.waitForURL("**/p/*", { timeout: 90_000 });
  assert.ok(killed, "the server was not killed");
  await killed;
  assert.equal(await page.locator("h1").innerText(), "two hundred");
  const id = new URL(page.url()).pathname.split("/").pop();
  const publication = await (await page.request.get(`${server.url}/api/v1/publications/${id}`)).json();
  assert.equal(publication.files.length, 200);
  for (const file of publication.files) {
    assert.equal(file.sha256, await sha256(join(scratch, "two hundred", file.path)), file.path);
  }
  await page.close();
});

test("files that have a torrent already keep its info-hash", async () => {
  const folder = join(scratch, "old album");
  await mkdir(join(folder, "side b"), { recursive: true });
  const songs = [["one.flac", 300_000], ["side b/two.flac", 100_001]].map(([name, length]) => {
    const path = join(folder, name);
    return writeFile(path, Buffer.alloc(length, name)).then(() => path);
  });
  const [one] = await Promise.all(songs);
  const torrent = join(scratch, "old album.torrent");
  const run = (...words) => promisify(execFile)(process.env.SOWER, words);
  await run("create", folder, "-o", torrent, "--piece-length", "32KiB", "--source", "another place", "--announce", "http://127.0.0.1:9/announce");
  const { info_hash_v1: infoHash } = JSON.parse((await run("show", torrent, "--json")).stdout);
  await writeFile(join(folder, "notes.txt"), "written since then");

  const page = await people.newPage();
  await page.goto(`${server.url}/publish`);
  await page.getByText("Torrent options").click();
  await page.getByLabel("A .torrent that the files have already").setInputFiles(torrent);
  assert.ok(await page.getByLabel("Hybrid").isDisabled(), "another format can be chosen than the torrent's");
  await page.getByLabel("Choose files").setInputFiles(one);
  await page.getByRole("button", { name: "Publish" }).click();
  await page.getByRole("alert").getByText("old album/side b/two.flac is not among those that you have chosen").waitFor();
  await check(page, "publish-torrent-incomplete");
  await page.getByRole("button", { name: "Remove one.flac" }).click();
  await page.getByLabel("Choose a folder").setInputFiles(folder);
  await page.getByRole("button", { name: "Publish" }).click();
  await page.waitForURL("**/p/*");
  assert.equal(await page.locator("h1").innerText(), "old album");
  await page.getByText("Technical details").click();
  await page.getByText(infoHash, { exact: true }).waitFor();
  assert.equal(await page.getByText("notes.txt").count(), 0, "a file is published that the torrent does not have");
  await page.close();
});

test("an upload is paused, left, and gone on with when the same files are chosen again", async () => {
  const folder = join(scratch, "two hundred and one");
  let page = await people.newPage();
  await page.goto(`${server.url}/publish`);
  await page.getByLabel("Choose a folder").setInputFiles(folder);
  await page.getByLabel("Title").fill("Left and found again");
  // Every other file stays on its way.
  let sent = 0;
  await page.route("**/api/v1/uploads/*", (route) => {
    if (route.request().method() === "PATCH" && ++sent > 60) return;
    return route.continue();
  });
  await page.getByRole("button", { name: "Publish" }).click();
  await page.getByText(/^60 of 201 files/).waitFor();
  await check(page, "publish-sending-files");
  const [own] = await Promise.all([people.waitForEvent("page"), page.getByRole("link", { name: "Its own page" }).click()]);
  await own.getByText("60 of 201 files").waitFor();
  await own.close();
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText(/· paused$/).waitFor();
  await page.getByLabel("Description").fill("Typed while the files were sent.");
  await check(page, "publish-paused");
  page.on("dialog", (dialog) => dialog.accept());
  await page.close({ runBeforeUnload: true });

  page = await people.newPage();
  await page.goto(`${server.url}/publish`);
  await page.getByLabel("Choose a folder").setInputFiles(folder);
  await page.locator("#found").getByText("were sent before").waitFor();
  assert.equal(await page.getByLabel("Title").inputValue(), "Left and found again");
  assert.equal(await page.getByLabel("Description").inputValue(), "Typed while the files were sent.");
  await check(page, "publish-found");
  sent = 0;
  await page.route("**/api/v1/uploads/*", async (route) => {
    if (route.request().method() === "PATCH") sent += 1;
    await route.continue();
  });
  await page.getByRole("button", { name: "Publish" }).click();
  await page.waitForURL("**/p/*");
  assert.equal(sent, 141, "files were sent again");
  assert.equal(await page.locator("h1").innerText(), "Left and found again");
  await page.getByText("Typed while the files were sent.").first().waitFor();
  await page.close();
});

test("a request whose answer is lost makes no second draft, and what delays a publication is said", async () => {
  const page = await people.newPage();
  await page.goto(`${server.url}/publish`);
  await page.getByLabel("Choose files").setInputFiles({ name: "answered late.bin", mimeType: "", buffer: Buffer.alloc(2000, 7) });
  const made = [];
  await page.route("**/api/v1/publications", async (route) => {
    const response = await route.fetch();
    made.push((await response.json()).id);
    if (made.length === 1) await route.abort();
    else await route.fulfill({ response });
  });
  const full = "Everything is here, but the disk is full.";
  let listened = 0;
  await page.route("**/events", async (route) => {
    if (++listened > 1) return route.continue();
    const body = `retry: 1500\nevent: progress\ndata: ${JSON.stringify({ delayed_by: full })}\n\n`;
    await route.fulfill({ contentType: "text/event-stream", body });
  });
  const publish = page.getByRole("button", { name: "Publish" });
  await publish.click();
  await page.getByRole("alert").getByText("does not answer").waitFor();
  await publish.click();
  await page.locator("#status").getByText(full).waitFor();
  await page.waitForURL("**/p/*");
  assert.equal(made.length, 2);
  assert.equal(made[0], made[1], "there are two drafts");
  await page.close();
});

test("the page of a draft follows it until it is the publication's", async () => {
  const page = await people.newPage();
  const headers = { "Content-Type": "application/json" };
  const files = ["one.bin", "two.bin"].map((path) => ({ path, length: 4000 }));
  const answer = await page.request.post(`${server.url}/api/v1/publications`, { headers, data: JSON.stringify({ title: "Still coming", files }) });
  const draft = await answer.json();
  const send = (number) => page.request.patch(draft.files[number].upload_url, {
    headers: { "Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0" },
    data: Buffer.alloc(4000, number + 1),
  });
  await page.goto(`${server.url}/p/${draft.id}`);
  await page.getByText("Being sent: 0% of 8 kB").waitFor();
  assert.equal((await send(0)).status(), 204);
  await page.getByText("Being sent: 50% of 8 kB").waitFor();
  await check(page, "draft");
  assert.equal((await send(1)).status(), 204);
  await page.getByRole("link", { name: "Download torrent" }).waitFor();
  await page.close();
});

test("torrent, magnet and direct download are on the page and hold what was published", async () => {
  const page = await people.newPage();
  await page.goto(report_page);
  await check(page, "publication");
  if (process.argv.includes("--pictures")) await publicationPicture();

  const [torrent] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("link", { name: "Download torrent" }).click(),
  ]);
  assert.match(torrent.suggestedFilename(), /\.torrent$/);
  const bencoded = await readFile(await torrent.path(), "latin1");
  assert.ok(bencoded.startsWith("d8:announce"), "the torrent does not begin with its tracker");
  assert.ok(bencoded.includes("8:url-list"), "the torrent has no web seed");

  assert.match(await page.getByRole("link", { name: "Magnet link" }).getAttribute("href"), /^magnet:\?xt=urn:btih:/);

  for (const path of [report.files[0], report.files[2]]) {
    const name = path.split("/").pop();
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name }).first().click(),
    ]);
    assert.equal(await sha256(await file.path()), await sha256(path), name);
    assert.equal(file.suggestedFilename(), name);
  }
  const shown = await page.locator("[data-copy]", { hasText: await sha256(report.files[0]) }).count();
  assert.equal(shown, 1, "the page does not show the SHA-256 of the file");
  await page.close();
});

test("a publication is edited on its page, and somebody else's change is not overwritten unseen", async () => {
  const [page, other] = [await people.newPage(), await people.newPage()];
  for (const tab of [page, other]) {
    await tab.goto(folder_page);
    await tab.getByRole("link", { name: "Edit" }).click();
    await tab.waitForURL("**/edit");
  }
  await check(page, "edit");
  await page.getByLabel("Description").fill(NOTES);
  await page.getByRole("button", { name: "Save" }).click();
  await page.waitForURL(folder_page);
  await page.getByRole("heading", { name: "Where" }).waitFor();
  await check(page, "publication-described");

  await other.getByLabel("Title").fill("Field notes");
  await other.getByLabel("Description").fill(NOTES);
  await other.getByRole("button", { name: "Save" }).click();
  await other.getByRole("alert").getByText("Somebody else has changed").waitFor();
  assert.equal(await other.getByLabel("Title").inputValue(), "Field notes");
  await check(other, "edit-changed-meanwhile");
  await other.getByRole("button", { name: "Save" }).click();
  await other.waitForURL(folder_page);
  assert.equal(await other.locator("h1").innerText(), "Field notes");
  await page.close();
  await other.close();

  const strangers = await browser.context();
  const stranger = await strangers.newPage();
  await stranger.goto(folder_page);
  assert.equal(await stranger.getByRole("link", { name: "Edit" }).count(), 0);
  await strangers.close();
});

test("a publication is withdrawn after a question, and its page says so", async () => {
  const page = await people.newPage();
  await page.goto(`${server.url}/publish`);
  await page.getByLabel("Choose files").setInputFiles({ name: "mistake.bin", mimeType: "", buffer: Buffer.alloc(1000, 4) });
  await page.getByRole("button", { name: "Publish" }).click();
  await page.waitForURL("**/p/*");
  const own = address(page);
  await check(page, "publication-own");
  await page.getByRole("link", { name: "Withdraw" }).click();
  await check(page, "withdraw");
  await page.getByRole("link", { name: "Keep it" }).click();
  await page.waitForURL(own);
  await page.getByRole("link", { name: "Withdraw" }).click();
  await page.getByRole("button", { name: "Withdraw and delete" }).click();
  await page.waitForURL(own);
  await page.getByText("was withdrawn on").waitFor();
  await check(page, "withdrawn");
  assert.equal((await page.reload()).status(), 410);
  await page.goto(`${server.url}/?q=mistake`);
  await page.getByText("Nothing here matches").waitFor();
  await page.close();
});

test("pictures, sounds, films, documents and texts are shown, and nothing in them runs", async () => {
  let page = await people.newPage();
  await page.goto(`${server.url}/publish`);
  await writeFile(join(scratch, "marsh media", "film.webm"), await film(page));
  await page.getByLabel("Choose a folder").setInputFiles(join(scratch, "marsh media"));
  await page.getByRole("button", { name: "Publish" }).click();
  await page.waitForURL("**/p/*");
  media_page = address(page);
  await page.getByRole("heading", { name: "The marsh in pictures" }).waitFor();
  await check(page, "publication-media");
  const open = async (name) => {
    await page.goto(media_page);
    await page.getByRole("link", { name: `Preview of ${name}` }).click();
    await page.waitForURL("**/preview/**");
  };

  await open("evening.png");
  assert.equal(await page.locator(".view img").evaluate(async (img) => { await img.decode(); return img.naturalWidth; }), 640);
  await check(page, "preview-image");

  await open("birds.wav");
  const ranges = [];
  page.on("request", (request) => request.headers().range && ranges.push(request.headers().range));
  const seek = (player) => new Promise((resolve, reject) => {
    player.addEventListener("error", () => reject(new Error(player.error.message)));
    player.addEventListener("loadedmetadata", () => { player.currentTime = player.duration * 0.9; });
    player.addEventListener("seeked", () => resolve(player.currentTime / player.duration));
    player.load();
  });
  await page.locator("audio").evaluate((player) => { player.preload = "metadata"; });
  assert.ok(await page.locator("audio").evaluate(seek) > 0.8, "the sound cannot be wound on");
  assert.ok(ranges.some((range) => !range.startsWith("bytes=0-")), `nothing but the start was asked for: ${ranges}`);
  await check(page, "preview-audio");

  await open("film.webm");
  ranges.length = 0;
  await page.locator("video").evaluate((player) => { player.preload = "metadata"; });
  assert.ok(await page.locator("video").evaluate(seek) > 0.8, "the film cannot be wound on");
  assert.ok(ranges.some((range) => Number(range.match(/^bytes=(\d+)-/)?.[1]) > 1_000_000), `nothing but the start was asked for: ${ranges}`);
  assert.equal(await page.locator("video").evaluate((player) => player.videoWidth), 320, "the film has no pictures");
  await check(page, "preview-video");

  await open("notes.txt");
  await page.getByText("Mud up to the knees.").waitFor();
  await check(page, "preview-text");

  await open("page.html");
  await page.getByText("<script>document.title").waitFor();
  assert.match(await page.title(), /^page\.html/);
  await check(page, "preview-html");
  const html = await page.request.get(await page.getByRole("link", { name: "Download" }).evaluate((link) => link.href));
  assert.match(html.headers()["content-security-policy"], /^sandbox/);
  assert.match(html.headers()["content-disposition"], /^attachment/);

  await open("paper.pdf");
  await page.locator("iframe").waitFor();
  await check(page, "preview-pdf");

  await open("README.md");
  await check(page, "preview-markdown");
  await page.close();
});

test("a description is looked at before it is published", async () => {
  const page = await people.newPage();
  await page.goto(`${server.url}/publish`);
  await page.getByLabel("Description", { exact: true }).fill(NOTES);
  await page.getByRole("button", { name: "Preview the description" }).click();
  await page.getByRole("heading", { name: "Where" }).waitFor();
  await check(page, "publish-description");
  await page.close();
});

test("a copy button copies", async () => {
  await people.grantPermissions(["clipboard-read", "clipboard-write"], { origin: server.url });
  const page = await people.newPage();
  await page.goto(report_page);
  await page.getByText("Technical details").click();
  await page.getByRole("button", { name: "Copy Info-hash v1" }).click();
  await page.getByRole("button", { name: "Copy Info-hash v1" }).getByText("Copied").waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^[0-9a-f]{40}$/);
  await page.close();
});

test("the catalogue lists, finds and says what it cannot find", async () => {
  const page = await people.newPage();
  await page.goto(server.url);
  await check(page, "catalogue");
  await page.getByLabel("Search the catalogue").fill("soil elbe");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "1 publication matching" }).waitFor();
  await check(page, "catalogue-found");
  await page.getByText("Filter and sort").click();
  await page.getByLabel("Order").selectOption("Largest first");
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByRole("heading", { name: "Largest first" }).waitFor();
  await check(page, "catalogue-filtered");
  await page.getByRole("link", { name: "Soil survey" }).click();
  await page.waitForURL(report_page);

  const answer = await page.goto(`${server.url}/p/aaaaaaaaaa`);
  assert.equal(answer.status(), 404);
  await check(page, "error-404");
  await page.getByLabel("Search the catalogue").fill("marsh");
  await page.getByRole("button", { name: "Search" }).click();
  await page.getByRole("heading", { name: "matching" }).waitFor();
  await page.close();
});

test("a wrong password is refused in words, a right one leads on, and one can log out", async () => {
  const strangers = await browser.context();
  const page = await strangers.newPage();
  await page.goto(`${server.url}/publish`);
  await page.waitForURL("**/login?next=/publish");
  await check(page, "login");
  await page.getByLabel("Name").fill("ada");
  await page.getByLabel("Password", { exact: true }).fill("not her password");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("alert").getByText("The name or the password is wrong.").waitFor();
  await check(page, "login-wrong");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.waitForURL("**/publish");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("link", { name: "Log in" }).waitFor();
  await strangers.close();
});

test("the keyboard alone leads from the catalogue to a finished publication", async () => {
  const persons = await browser.context({ permissions: ["clipboard-read", "clipboard-write"] });
  const page = await persons.newPage();
  // From now on the browser hands choosers over; where it begins only with the key that opens one, that one may be lost.
  page.on("filechooser", () => {});
  const type = (words) => page.keyboard.type(words);
  const go = async (target) => { await tabTo(page, target); await page.keyboard.press("Enter"); };

  await page.goto(server.url);
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.ok(await page.evaluate(() => document.querySelector("main").contains(document.activeElement)), "the skip link does not skip");
  await page.goto(server.url);
  await go(page.getByRole("link", { name: "Log in" }));
  await page.waitForURL("**/login*");
  await tabTo(page, page.getByLabel("Name"));
  await type("ada");
  await tabTo(page, page.getByLabel("Password", { exact: true }));
  await type(PASSWORD);
  await go(page.getByRole("button", { name: "Show the password" }));
  await go(page.getByRole("button", { name: "Log in" }));
  await go(page.getByRole("link", { name: "Publish", exact: true }));
  await page.waitForURL("**/publish");

  for (const [label, path] of [["Choose files", report.files[0]], ["Choose a folder", join(scratch, "field notes")]]) {
    await tabTo(page, page.getByLabel(label, { exact: true }));
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.keyboard.press("Enter")]);
    await chooser.setFiles(path);
    await page.getByRole("button", { name: `Remove ${path.split("/").pop()}` }).first().waitFor();
  }
  await go(page.getByRole("button", { name: "Remove field notes/photo.png" }));
  assert.match(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), /^Remove /, "the focus is lost with the file");
  await tabTo(page, page.getByLabel("Title"));
  await type("Typed and never clicked");
  await tabTo(page, page.getByLabel("Description", { exact: true }));
  await type("By the *keyboard*.");
  await go(page.getByRole("button", { name: "Preview the description" }));
  await tabTo(page, page.getByLabel("Which licence?"));
  await type("CC0");
  assert.equal(await page.getByLabel("Which licence?").inputValue(), "CC0-1.0");
  await go(page.getByText("Version, DOI, links"));
  await tabTo(page, page.getByLabel("DOI"));
  await type("10.5281/zenodo.99");
  await go(page.getByText("Torrent options"));
  await tabTo(page, page.getByLabel("v1", { exact: true }));
  await page.keyboard.press("ArrowDown");
  assert.ok(await page.getByLabel("Hybrid").isChecked());
  await go(page.getByRole("button", { name: "Publish" }));
  await page.waitForURL("**/p/*#published");
  assert.equal(await page.evaluate(() => document.activeElement.id), "published", "the focus is not on what is done");
  await page.getByText("This server seeds it from now on.").waitFor();
  await check(page, "publication-done");
  await go(page.getByRole("button", { name: "Copy the address of this page" }));
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), address(page));
  await go(page.getByRole("button", { name: "Copy the magnet link" }));
  await page.getByText("Copied").first().waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^magnet:\?xt=urn:btih:[0-9a-f]{40}&xt=urn:btmh:/);
  await persons.close();
});

test("on every page the keyboard comes to everything once, and can see where it is", async () => {
  const page = await people.newPage();
  const id = new URL(folder_page).pathname;
  for (const path of ["/", "/?sort=largest", "/publish", id, `${id}/edit`, `${id}/withdraw`, `${id}/takedown`, `${id}/preview/field%20notes/photo.png`, "/takedowns", "/stats", "/api", "/nothing-here"]) {
    await page.goto(server.url + path);
    await tabThrough(page, path);
  }
  await page.close();
});

test("nothing moves by itself, however late a script comes and whatever is sent", async () => {
  const page = await people.newPage();
  const late = async (route) => { await new Promise((resolve) => setTimeout(resolve, 300)); await route.continue(); };
  await page.route("**/static/*.js", late);
  const media = new URL(media_page).pathname;
  for (const path of ["/", new URL(report_page).pathname, `${media}/preview/marsh%20media/evening.png`, `${media}/preview/marsh%20media/film.webm`, "/api", "/publish"]) {
    await page.goto(server.url + path, { waitUntil: "networkidle" });
    assert.deepEqual(await page.evaluate(() => globalThis.shifts), [], `${path} moves by itself`);
  }
  await page.getByLabel("Choose a folder").setInputFiles(join(scratch, "two hundred and two"));
  await page.getByLabel("Title").fill("Sent in peace");
  let half;
  const sentHalf = new Promise((resolve) => { half = resolve; });
  let sent = 0;
  await page.route("**/api/v1/uploads/*", async (route) => {
    if (route.request().method() === "PATCH" && ++sent === 100) half();
    await route.continue();
  });
  await page.getByRole("button", { name: "Publish" }).click();
  await sentHalf;
  await page.getByLabel("Description", { exact: true }).fill("Typed while the files were on their way.");
  await check(page, "publish-sending-and-typing");
  await page.waitForURL("**/p/*");
  assert.equal(await page.evaluate(() => sessionStorage.shifts), "[]", "the page moves while files are sent");
  await page.getByText("Typed while the files were on their way.").waitFor();
  await page.close();
});

test("an upload whose network goes away goes on when it is back", async () => {
  const offline = await browser.context({ storageState: session });
  const page = await offline.newPage();
  await page.goto(`${server.url}/publish`);
  await page.getByLabel("Choose a folder").setInputFiles(join(scratch, "two hundred and three"));
  await page.getByLabel("Title").fill("Over a thin wire");
  let cut, sent = 0;
  await page.route("**/api/v1/uploads/*", async (route) => {
    if (route.request().method() === "PATCH" && ++sent === 50) cut = offline.setOffline(true);
    await route.continue();
  });
  await page.getByRole("button", { name: "Publish" }).click();
  await page.getByText("connection lost, trying again; nothing is lost").waitFor();
  assert.ok(cut, "the network was not cut");
  await check(page, "publish-offline");
  await offline.setOffline(false);
  await page.waitForURL("**/p/*", { timeout: 60_000 });
  assert.equal(await page.locator("h1").innerText(), "Over a thin wire");
  const id = new URL(page.url()).pathname.split("/").pop();
  const publication = await (await page.request.get(`${server.url}/api/v1/publications/${id}`)).json();
  for (const file of publication.files) assert.equal(file.sha256, await sha256(join(scratch, "two hundred and three", file.path)), file.path);
  await offline.close();
});

test("a new version is tried out of sight, and then found from the old one", async () => {
  const page = await people.newPage();
  const publish = async (name, fill) => {
    await page.goto(`${server.url}/publish`);
    await page.getByLabel("Choose files").setInputFiles({ name, mimeType: "text/plain", buffer: Buffer.from(`This is ${name}.`) });
    await fill();
    await page.getByRole("button", { name: "Publish" }).click();
    await page.waitForURL("**/p/*");
    return address(page);
  };
  const older = await publish("tides 1.txt", async () => {});
  const newer = await publish("tides 2.txt", async () => {
    await page.getByLabel("Unlisted").check();
    await page.getByText("Version, DOI, links").click();
    await page.getByLabel("Newer version of").fill(older);
    await page.getByLabel("DOI").fill("https://doi.org/10.5281/zenodo.1234");
    await page.getByLabel("Links").fill("The tide tables https://example.org/tides\nhttps://example.org/moon");
    await page.getByLabel("Other web seeds").fill("https://mirror.example.org/tides%202.txt");
    await check(page, "publish-particulars");
  });
  assert.equal(await page.getByRole("link", { name: "tides 1.txt" }).getAttribute("href"), new URL(older).pathname);
  assert.equal(await page.getByRole("link", { name: "The tide tables" }).getAttribute("href"), "https://example.org/tides");
  assert.ok(await page.getByRole("link", { name: "https://example.org/moon" }).isVisible());
  assert.equal(await page.getByRole("link", { name: "10.5281/zenodo.1234" }).getAttribute("href"), "https://doi.org/10.5281/zenodo.1234");
  await page.getByText("Cite", { exact: true }).click();
  await page.getByText("doi = {10.5281/zenodo.1234}").waitFor();
  await page.getByRole("button", { name: "Copy BibTeX" }).waitFor();
  await check(page, "publication-unlisted");
  await page.goto(older);
  assert.equal(await page.getByText("A newer version exists").count(), 0);

  await page.goto(`${newer}/edit`);
  assert.ok(await page.getByLabel("Unlisted").isChecked());
  await page.getByLabel("Public", { exact: true }).check();
  await page.getByRole("button", { name: "Save" }).click();
  await page.waitForURL(newer);
  await page.goto(older);
  await page.getByText("A newer version exists").waitFor();
  await check(page, "publication-older");
  await page.goto(`${older}/latest`);
  assert.equal(page.url(), newer);
  await page.close();
});

test("an administrator takes down and puts back", async () => {
  const page = await people.newPage();
  await page.goto(`${server.url}/?q=tides`);
  await page.getByRole("link", { name: "tides 2.txt" }).click();
  await page.waitForURL("**/p/*");
  const taken = page.url();
  await page.getByRole("link", { name: "Take down" }).click();
  await page.getByLabel("Reason, for everybody to read").fill("The moon has complained.");
  await check(page, "takedown");
  await page.getByRole("button", { name: "Take down" }).click();
  await page.waitForURL("**/takedowns");
  await check(page, "takedowns");
  const answer = await page.goto(taken);
  assert.equal(answer.status(), 451);
  await page.getByText("The moon has complained.").waitFor();
  await check(page, "error-451");
  await page.goto(`${server.url}/takedowns`);
  await page.getByRole("button", { name: "Put back tides 2.txt" }).click();
  await page.waitForURL(taken);
  assert.equal(await page.locator("h1").innerText(), "tides 2.txt");
  await page.close();
});

test("all of it works without a script", async () => {
  const plain = await browser.context({ javaScriptEnabled: false });
  const page = await plain.newPage();
  await page.goto(`${server.url}/login?next=/publish`);
  await page.getByLabel("Name").fill("ada");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.waitForURL("**/publish");
  await check(page, "publish-without-script");
  await page.getByLabel("Choose files").setInputFiles({ name: "without script.txt", mimeType: "text/plain", buffer: Buffer.from("no script was run\n") });
  await page.getByLabel("Description").fill("Sent by a plain form.");
  await page.getByRole("button", { name: "Publish" }).click();
  await page.waitForURL("**/p/*");
  assert.equal(await page.locator("h1").innerText(), "without script.txt");
  for (const name of ["Download torrent", "Magnet link", "Download directly", "SHA256SUMS", "Preview of without script.txt"]) {
    assert.ok(await page.getByRole("link", { name }).isVisible(), `${name} is missing`);
  }
  await check(page, "publication-without-script");
  const href = await page.getByRole("link", { name: "Download directly" }).getAttribute("href");
  const answer = await page.request.get(server.url + href);
  assert.equal(await answer.text(), "no script was run\n");
  assert.match(answer.headers()["content-security-policy"], /^sandbox/);
  await page.getByRole("link", { name: "Sower, to the catalogue" }).click();
  await check(page, "catalogue-without-script");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("link", { name: "Log in" }).waitFor();
  await plain.close();
});

for (const colorScheme of ["light", "dark"]) {
  test(`nothing is cut off at 320 pixels, and nothing is hard to read, in ${colorScheme}`, async () => {
    const narrow = await browser.context({ colorScheme, storageState: session, viewport: { width: 320, height: 640 } });
    const wide = await browser.context({ colorScheme, storageState: session });
    for (const [name, path] of [
      ["catalogue", "/"],
      ["publish", "/publish"],
      ["publication", new URL(report_page).pathname],
      ["publication-folder", new URL(folder_page).pathname],
      ["publication-media", new URL(media_page).pathname],
      ...["evening.png", "birds.wav", "README.md"].map((name) => [`preview-${name}`, `${new URL(media_page).pathname}/preview/marsh%20media/${name}`]),
      ["edit", `${new URL(folder_page).pathname}/edit`],
      ["withdraw", `${new URL(folder_page).pathname}/withdraw`],
      ["takedown", `${new URL(folder_page).pathname}/takedown`],
      ["takedowns", "/takedowns"],
      ["statistics", "/stats"],
      ["api", "/api"],
      ["error-404", "/nothing-here"],
      ["catalogue-no-match", "/?q=averylongwordthatnothingherehasinitstitleordescription"],
    ]) {
      for (const [width, context] of [["320", narrow], ["wide", wide]]) {
        const page = await context.newPage();
        await page.goto(server.url + path);
        for (const summary of await page.locator("summary").all()) await summary.click();
        await check(page, `${name}-${width}-${colorScheme}`);
        await page.close();
      }
    }
    await narrow.close();
    await wide.close();

    // As it is where scripts are off; axe itself needs them on.
    const unscripted = await browser.context({ colorScheme, storageState: session });
    await unscripted.route("**/static/*.js", (route) => route.abort());
    for (const path of ["/publish", new URL(report_page).pathname]) {
      const page = await unscripted.newPage();
      await page.goto(server.url + path);
      await check(page, `unscripted-${path.split("/")[1]}-${colorScheme}`);
      await page.close();
    }
    await unscripted.close();

    const strangers = await browser.context({ colorScheme, viewport: { width: 320, height: 640 } });
    const page = await strangers.newPage();
    await page.goto(`${server.url}/login`);
    await check(page, `login-320-${colorScheme}`);
    await strangers.close();
  });
}

test("the official client of tus, under Node, goes on where it was stopped", async () => {
  const { Upload } = require("tus-js-client");
  const path = report.files[2], options = {
    headers: { Authorization: `Bearer ${await server.token("ada")}` },
    chunkSize: 5_000_000,
    retryDelays: [],
  };
  const url = await new Promise((resolve, reject) => {
    const upload = new Upload(createReadStream(path), {
      ...options,
      endpoint: `${server.url}/api/v1/uploads`,
      metadata: { filename: "sent by tus.tar", title: "Sent by tus", licence: "CC0-1.0" },
      onChunkComplete: (_, accepted) => accepted >= 10_000_000 && upload.abort().then(() => resolve(upload.url), reject),
      onError: reject,
      onSuccess: () => reject(new Error("it was not stopped")),
    });
    upload.start();
  });
  const accepted = [];
  await new Promise((resolve, reject) => new Upload(createReadStream(path), {
    ...options,
    uploadUrl: url,
    onChunkComplete: (_, offset) => accepted.push(offset),
    onError: reject,
    onSuccess: resolve,
  }).start());
  assert.ok(accepted[0] >= 15_000_000 && accepted.length < 7, `it began again: ${accepted}`);

  const { id } = url.match(/uploads\/(?<id>[a-z2-7]{10})/).groups;
  const events = await fetch(`${server.url}/api/v1/publications/${id}/events`, { headers: options.headers });
  let said = "";
  for await (const part of events.body.pipeThrough(new TextDecoderStream())) {
    said += part;
    if (/^event: (published|failed)$/m.test(said)) break;
  }
  const publication = await (await fetch(`${server.url}/api/v1/publications/${id}`)).json();
  assert.equal(publication.title, "Sent by tus");
  assert.equal(publication.files[0].sha256, await sha256(path));
});

test("a full page of the catalogue takes at most 60 KB, all told", async () => {
  const token = await server.token("ada");
  for (let number = 0; number < 30; number += 1) {
    const form = new FormData();
    form.append("title", `${"A title as long as titles get in catalogues of papers and recordings, with its place and year, ".repeat(2)}${number}`);
    form.append("description", "What was measured, where, by whom, with what, and what may be done with it. ".repeat(30));
    form.append("creator", "The institute of long names and short papers");
    form.append("licence", "CC-BY-4.0");
    form.append("tags", `tag ${number}, tides`);
    form.append("files", new Blob([`number ${number}`]), `${number}.txt`);
    const answer = await fetch(`${server.url}/api/v1/publications`, { method: "POST", headers: { Authorization: `Bearer ${token}` }, body: form });
    assert.equal(answer.status, 201, await answer.text());
  }
  const strangers = await browser.context();
  const page = await strangers.newPage();
  const session = await strangers.newCDPSession(page);
  await session.send("Network.enable");
  let bytes = 0, answers = 0;
  session.on("Network.loadingFinished", ({ encodedDataLength }) => { bytes += encodedDataLength; answers += 1; });
  await page.goto(server.url, { waitUntil: "networkidle" });
  assert.equal(await page.locator(".card").count(), 20);
  await page.getByRole("link", { name: "Older" }).waitFor();
  assert.ok(answers >= 3, "page, style sheet and script were not counted");
  assert.ok(bytes <= 60_000, `${bytes} bytes came over the wire`);
  console.log(`      ${bytes} bytes in ${answers} answers`);
  await strangers.close();
});

const NOTES = "# Where\n\nWritten in the **marshes**, *day by day*, with [a map](https://example.org/map).\n\n- mud\n- rain\n\n| core | depth |\n|---|---|\n| 1 | 4 m |\n\n> Bring boots.\n\n```\nls -l \"day 1\"\n```";
const DESCRIPTION = `Measurements of 412 boreholes between Hamburg and the sea, taken from March to June 2026: grain size, salinity, carbon, and photographs of every core.

The tables are plain CSV. Please cite the survey when you use them.`;

/** Files to publish, in a scratch folder. */
async function files() {
  const bytes = (length, seed) => Buffer.from(Uint32Array.from({ length: Math.ceil(length / 4) }, (_, n) => Math.imul(n + seed, 2654435761)).buffer).subarray(0, length);
  const paths = ["boreholes.csv", "notes.html", "cores and photographs.tar"].map((name) => join(scratch, name));
  await writeFile(paths[0], bytes(482_113, 1));
  await writeFile(paths[1], "<h1>not wanted</h1>");
  await writeFile(paths[2], bytes(38_412_288, 2));
  const folder = join(scratch, "field notes", "day 1");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "übersicht.txt"), "Nebel am Morgen.\n");
  await writeFile(join(folder, "a-name-that-is-very-long-and-has-no-place-to-break-".repeat(4) + ".bin"), bytes(70_000, 3));
  await writeFile(join(scratch, "field notes", "photo.png"), bytes(40_000, 4));
  await marshMedia(join(scratch, "marsh media"));
  for (const [name, count] of [["two hundred", 200], ["two hundred and one", 201], ["two hundred and two", 202], ["two hundred and three", 203]]) {
    await mkdir(join(scratch, name));
    for (let number = 0; number < count; number += 1) await writeFile(join(scratch, name, `${number}.bin`), bytes(20_000 + number * 1_000, count * 1_000 + number));
  }
  return { files: paths };
}

/** The sum that PNG has behind each part. */
function crc32(bytes) {
  let sum = -1;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit += 1) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
  }
  return ~sum >>> 0;
}

/** A folder of what browsers show; a film is added in the browser, which makes one. */
async function marshMedia(folder) {
  await mkdir(folder);
  await writeFile(join(folder, "README.md"), "# The marsh in pictures\n\nTaken at *dusk*. See [the survey](https://example.org/).\n\n| file | what |\n|---|---|\n| evening.png | the sky |\n| birds.wav | one bird |\n");
  await writeFile(join(folder, "notes.txt"), "Mud up to the knees.\n".repeat(40));
  await writeFile(join(folder, "page.html"), "<script>document.title = 'it ran'</script>\n<h1>A page</h1>\n");
  const rate = 48_000, samples = Buffer.alloc(rate * 2 * 120);
  for (let n = 0; n < samples.length / 2; n += 1) samples.writeInt16LE(Math.round(9000 * Math.sin(n * n / 3e9)), n * 2);
  const head = Buffer.from("RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\0\0\0\0\0\0\0\0\x02\0\x10\0data\0\0\0\0", "latin1");
  head.writeUInt32LE(36 + samples.length, 4);
  head.writeUInt32LE(rate, 24);
  head.writeUInt32LE(rate * 2, 28);
  head.writeUInt32LE(samples.length, 40);
  await writeFile(join(folder, "birds.wav"), Buffer.concat([head, samples]));

  const [width, height] = [640, 400], rows = [];
  for (let y = 0; y < height; y += 1) {
    const row = Buffer.alloc(1 + width * 3);
    for (let x = 0; x < width; x += 1) row.set([200 - y / 3, 110 + y / 8 + x / 16, 60 + y / 3], 1 + x * 3);
    rows.push(row);
  }
  const part = (type, bytes) => {
    const typed = Buffer.concat([Buffer.from(type), bytes]), out = Buffer.alloc(8);
    out.writeUInt32BE(bytes.length);
    out.writeUInt32BE(crc32(typed), 4);
    return Buffer.concat([out.subarray(0, 4), typed, out.subarray(4)]);
  };
  const size = Buffer.from([0, 0, width >> 8, width & 255, 0, 0, height >> 8, height & 255, 8, 2, 0, 0, 0]);
  await writeFile(join(folder, "evening.png"), Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), part("IHDR", size), part("IDAT", deflateSync(Buffer.concat(rows))), part("IEND", Buffer.alloc(0))]));

  const words = "BT /F1 24 Tf 72 700 Td (Soil survey of the Elbe marshes) Tj ET";
  const objects = ["<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>", `<</Length ${words.length}>>stream\n${words}\nendstream`, "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"];
  let pdf = "%PDF-1.4\n";
  const places = objects.map((object, n) => { const at = pdf.length; pdf += `${n + 1} 0 obj${object}endobj\n`; return at; });
  pdf += `xref\n0 6\n0000000000 65535 f \n${places.map((at) => `${String(at).padStart(10, "0")} 00000 n \n`).join("")}trailer<</Size 6/Root 1 0 R>>\nstartxref\n${pdf.length}\n%%EOF\n`;
  await writeFile(join(folder, "paper.pdf"), pdf);
}

/** A film of noise, so that it is larger than what a browser reads ahead: 20 s, with an index, as WebM has it. */
async function film(page) {
  const frames = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(320, 180), pen = canvas.getContext("2d"), noise = pen.createImageData(320, 180);
    const frames = [];
    const encoder = new VideoEncoder({
      output(frame) {
        const bytes = new Uint8Array(frame.byteLength);
        frame.copyTo(bytes);
        frames.push(btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join("")));
      },
      error(error) { throw error; },
    });
    encoder.configure({ codec: "vp8", width: 320, height: 180, bitrate: 8_000_000, framerate: 10 });
    for (let n = 0, state = 1; n < 200; n += 1) {
      for (let at = 0; at < noise.data.length; at += 1) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        noise.data[at] = at % 4 === 3 ? 255 : (state >>> 26) + (at % 4 === 1 ? 90 : n / 2);
      }
      pen.putImageData(noise, 0, 0);
      const frame = new VideoFrame(canvas, { timestamp: n * 100_000, duration: 100_000 });
      encoder.encode(frame, { keyFrame: n % 10 === 0 });
      frame.close();
    }
    await encoder.flush();
    return frames;
  });

  // EBML (RFC 8794): an id, the length of what follows in eight bytes, and that.
  const element = (id, ...content) => {
    const body = Buffer.concat(content.map((part) => (Buffer.isBuffer(part) ? part : typeof part === "string" ? Buffer.from(part) : whole(part))));
    const length = whole(body.length);
    length[0] |= 1;
    return Buffer.concat([Buffer.from(id, "hex"), length, body]);
  };
  const whole = (number) => { const bytes = Buffer.alloc(8); bytes.writeBigUInt64BE(BigInt(number)); return bytes; };
  const float = Buffer.alloc(8);
  float.writeDoubleBE(20_000);
  const head = element("1a45dfa3", element("4282", "webm"), element("4287", 2), element("4285", 2));
  const about = element("1549a966", element("2ad7b1", 1_000_000), element("4489", float), element("4d80", "sower"), element("5741", "sower"));
  const track = element("1654ae6b", element("ae", element("d7", 1), element("73c5", 1), element("83", 1), element("86", "V_VP8"), element("e0", element("b0", 320), element("ba", 180))));
  const clusters = Array.from({ length: 20 }, (_, second) => {
    const blocks = frames.slice(second * 10, second * 10 + 10).map((frame, n) => {
      const place = Buffer.from([0x81, (n * 100) >> 8, (n * 100) & 255, n === 0 ? 0x80 : 0]);
      return element("a3", place, Buffer.from(frame, "base64"));
    });
    return element("1f43b675", element("e7", second * 1000), ...blocks);
  });
  const index = (start) => element("1c53bb6b", ...clusters.map((cluster, second) => {
    const place = element("bb", element("b3", second * 1000), element("b7", element("f7", 1), element("f1", start)));
    start += cluster.length;
    return place;
  }));
  const before = about.length + track.length + index(0).length;
  return Buffer.concat([head, element("18538067", about, track, index(before), ...clusters)]);
}

/** Where a page is, without the fragment that welcomes its publisher. */
function address(page) {
  return page.url().split("#")[0];
}

async function sha256(path) {
  return createHash("sha256").update(await readFile(path)).digest("hex");
}

/** The picture for the README: as a visitor sees the page, without the publisher's name in the corner. */
async function publicationPicture() {
  const visitors = await browser.context({ viewport: { width: 1180, height: 760 }, deviceScaleFactor: 1.5 });
  const page = await visitors.newPage();
  await page.goto(report_page);
  await picture(page, "publication-visitor", { fullPage: false });
  await mkdir(join(ROOT, "docs", "pictures"), { recursive: true });
  await cp(join(PICTURES, "publication-visitor.png"), join(ROOT, "docs", "pictures", "publication.png"));
  await visitors.close();
}

/** A promise, or an error if it takes too long. */
async function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`not done after ${ms / 1000} s`)), ms); });
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

let failed = 0;
try {
  await rm(PICTURES, { recursive: true, force: true });
  await mkdir(PICTURES, { recursive: true });
  server = await startServer(join(scratch, "data"));
  browser = await openBrowser();
  people = await browser.context();
  for (const { name, run } of tests) {
    try {
      await within(TEST_MS, run());
      console.log(`ok    ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL  ${name}\n${error.stack}`);
    }
  }
} finally {
  await browser?.close();
  await server?.stop();
  await rm(scratch, { recursive: true, force: true });
}
console.log(`${tests.length - failed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
