/* Keeps the shell of the page, so that it opens without a network and then says so. Nothing that the
   server tells is kept: only the files named here, the newest that came. */
const SHELL = ["./", "main.js", "server.js", "board.js", "run.js", "spans.js", "photos.js", "sha256.js", "door.js", "dom.js", "page.css", "dashboard.js", "dashboard.css", "run_view.js", "trace.js", "trace.css", "manifest.webmanifest", "icon.svg", "icon-192.png"];
const NAME = "paseo-shell-1";
const FILES = new Set(SHELL.map((name) => new URL(name, self.location.href).href));

self.addEventListener("install", (e) => {
  e.waitUntil(caches.open(NAME).then((cache) => cache.addAll(SHELL)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (e) => {
  const old = (name) => name.startsWith("paseo-shell-") && name !== NAME;
  e.waitUntil(caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name)))).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (e) => {
  const url = e.request.url.split("#")[0];
  if (e.request.method === "GET" && FILES.has(url)) e.respondWith(shell(e.request, url));
});

async function shell(request, url) {
  const cache = await caches.open(NAME);
  try {
    const answer = await fetch(request);
    if (answer.ok && !answer.redirected) await cache.put(url, answer.clone());
    return answer;
  } catch (error) {
    const kept = await cache.match(url);
    if (kept) return kept;
    throw error;
  }
}
