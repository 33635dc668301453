// The keyboard, and small things that a page can do without: everything here also works without it. It is there before
// htmx, which begins to listen as soon as it has come: what that meets with, a page must hear.
(() => {
  const places = { i: "/inbox", s: "/sessions", o: "/outputs", a: "/agents", t: "/triggers", p: "/policies", d: "/directory", r: "/audit" };
  const live = document.getElementById("live");
  let leading = false;

  const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]");

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      document.querySelectorAll("details.menu[open]").forEach((menu) => menu.removeAttribute("open"));
      if (typing(event.target)) event.target.blur();
      return;
    }
    if (typing(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (leading) {
      leading = false;
      if (places[event.key]) location.assign(places[event.key]);
      return;
    }
    if (event.key === "/") {
      event.preventDefault();
      document.getElementById("q")?.focus();
    } else if (event.key === "g") {
      leading = true;
      setTimeout(() => (leading = false), 1500);
    } else if (event.key === "?") {
      location.assign("/help");
    } else if (event.key === "j" || event.key === "k") {
      const rows = [...document.querySelectorAll("[data-row] a.row-link")];
      const next = rows.indexOf(document.activeElement) + (event.key === "j" ? 1 : -1);
      rows[Math.max(0, Math.min(rows.length - 1, next))]?.focus();
    }
  });

  // On a phone the sections are folded up until somebody asks for them.
  if (matchMedia("(max-width: 60rem)").matches) document.querySelector("details.sections")?.removeAttribute("open");

  document.addEventListener("click", (event) => {
    document.querySelectorAll("details.menu[open]").forEach((menu) => {
      if (!menu.contains(event.target)) menu.removeAttribute("open");
    });
  });

  // What somebody looked at before they decided is part of how good the decision was. Only their own hand counts: a
  // click on the summary, which the keyboard's Enter and Space are too. `toggle` would also tell of what a script,
  // a search in the page or the page itself has opened.
  document.addEventListener("click", (event) => {
    const details = event.target.closest?.("summary")?.parentElement;
    const told = details?.dataset.opened;
    if (!told || !event.isTrusted || details.open || details.dataset.told) return;
    details.dataset.told = "yes";
    fetch(told, { method: "POST", credentials: "same-origin" });
  });

  // New numbers are drawn into a page that nobody is in the middle of; otherwise it only says that there are some.
  live?.addEventListener("counted", () => {
    const page = document.querySelector("[data-calm]");
    if (!page) return;
    const reading = scrollY > 0 || page.contains(document.activeElement) || page.querySelector("details[open]");
    if (!reading && getSelection().isCollapsed) {
      htmx.trigger(page, "calm");
      return;
    }
    const note = page.querySelector(".new");
    if (!note.hasChildNodes()) note.append(document.getElementById("new-numbers").content.cloneNode(true));
  });

  // A page that hears nothing any more says so, and why. One missed try is a server that is being replaced.
  const silence = (id) => {
    const said = document.getElementById("silent");
    if (said?.dataset.why === id) return;
    said?.remove();
    if (!id) return;
    const box = document.getElementById(id).content.cloneNode(true).firstElementChild;
    box.id = "silent";
    box.dataset.why = id;
    document.getElementById("content").prepend(box);
  };
  live?.addEventListener("htmx:sse:error", ({ detail }) => {
    if (detail.status === 401) silence("logged-out");
    else if (detail.connection?.attempt > 1) silence("unreachable");
  });
  // A page that could not even begin to listen tries again, later each time. An answer that is a stream never comes to
  // `after:request`: what does is somebody's login page or a balancer's apology, and has no place in this one.
  let later = 1000;
  const beginAgain = (id) => {
    silence(id);
    later = Math.min(later * 2, 60_000);
    setTimeout(() => htmx.trigger(live, "again"), later);
  };
  live?.addEventListener("htmx:error", () => beginAgain("unreachable"));
  live?.addEventListener("htmx:after:request", (event) => {
    event.preventDefault();
    beginAgain(event.detail.ctx.response.status === 401 ? "logged-out" : "unreachable");
  });
  live?.addEventListener("htmx:sse:after:connection", () => {
    later = 1000;
    silence(null);
  });

  // What somebody is writing outlives the form that it stood in: where a fresh page has no such form, it is shown.
  let writing = [];
  document.addEventListener("htmx:before:swap", () => {
    const fields = document.querySelectorAll("#content form[method=post] :is(textarea, input:not([type]), [type=number])");
    writing = [...fields].filter((field) => field.value.trim() && field.value !== field.defaultValue);
  });
  document.addEventListener("htmx:after:swap", () => {
    const lost = writing.filter((field) => !field.isConnected);
    writing = [];
    if (lost.length) {
      const box = document.getElementById("had-written").content.cloneNode(true).firstElementChild;
      for (const field of lost) {
        const words = document.createElement("div");
        words.className = "words said-by";
        words.textContent = field.value;
        box.append(words);
      }
      document.getElementById("content").prepend(box);
    }
    const news = document.getElementById("overtaken");
    if (!news || news.dataset.told) return;
    news.dataset.told = "yes";
    if (lost.length || !typing(document.activeElement)) scrollTo(0, 0);
  });

  // A form is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    setTimeout(() => delete form.dataset.sent, 4000);
  });
})();
