// Local times, and fresh content. Every page works without this script.
"use strict";

const REFRESH_MS = 5000;
const PAUSED = "hoth-refresh-paused";

// Puts the local time before the time in UTC.
function showLocalTimes(root) {
  const format = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "2-digit", day: "2-digit",
    hour: "2-digit", minute: "2-digit", second: "2-digit",
  });
  for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.valueOf())) continue;
    const utc = document.createElement("span");
    utc.className = "utc";
    utc.textContent = time.textContent;
    time.replaceChildren(`${format.format(at)} `, utc);
    time.dataset.local = "";
  }
}

// True while a person fills in a form or decides about an act.
function isBusy(main) {
  const active = document.activeElement;
  const types = active && main.contains(active) && active.matches("input, select, textarea");
  return types || main.querySelector("details.act[open]") !== null;
}

async function refresh(main) {
  let response;
  try {
    response = await fetch(location.href, { headers: { "Hoth-Refresh": "1" }, redirect: "manual" });
  } catch {
    main.classList.add("stale");
    return;
  }
  if (response.status === 401) {
    location.reload();
    return;
  }
  const text = await response.text();
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(text, "text/html");
  const fresh = page.getElementById("content");
  if (!fresh || isBusy(main)) return;
  const open = new Set([...main.querySelectorAll("details[id][open]")].map((one) => one.id));
  const focused = document.activeElement?.id;
  showLocalTimes(fresh);
  main.replaceChildren(...fresh.childNodes);
  main.classList.remove("stale");
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focused && document.activeElement === document.body) document.getElementById(focused)?.focus();
}

function keepFresh(main, button) {
  let paused = sessionStorage.getItem(PAUSED) === "1";
  const show = () => {
    button.textContent = paused ? "Resume refresh" : "Pause refresh";
    button.setAttribute("aria-pressed", String(paused));
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    sessionStorage.setItem(PAUSED, paused ? "1" : "0");
    show();
  });
  show();
  let running = false;
  setInterval(async () => {
    if (paused || document.hidden || running) return;
    running = true;
    await refresh(main);
    running = false;
  }, REFRESH_MS);
}

showLocalTimes(document);
const main = document.getElementById("content");
const button = document.getElementById("refresh");
if (main && button) keepFresh(main, button);
