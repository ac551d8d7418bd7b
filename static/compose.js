"use strict";
/* Enhancements of the compose page: autosave, drag and drop with upload progress, completion of recipients.
   Every button works without them. */
(() => {
  const form = document.querySelector("form.compose");
  if (!form) return;
  const status = form.querySelector(".saved");
  let changed = false,
    timer = 0,
    running = null;

  /* Autosave: some seconds after the last key, and when the page is left. */
  const data = (action) => {
    const found = new FormData(form);
    found.delete("files");
    found.set("do", action);
    return found;
  };
  const save = (leaving = false) => {
    clearTimeout(timer);
    if (!changed || running) return running;
    changed = false;
    running = fetch(form.action, {
        method: "POST",
        body: data("autosave"),
        keepalive: leaving,
        redirect: "error"
      })
      .then((answer) => answer.json())
      .then((told) => {
        if (told.version) form.elements.version.value = told.version;
        if (told.message) form.elements.message.value = told.message;
        status.textContent = told.saved ? `${form.dataset.saved} ${told.saved}` : form.dataset.unsaved;
      })
      .catch(() => {
        changed = true;
        status.textContent = form.dataset.unsaved;
      })
      .finally(() => {
        running = null;
      });
    return running;
  };
  form.addEventListener("input", (event) => {
    if (event.target.type === "file") return;
    changed = true;
    clearTimeout(timer);
    timer = setTimeout(() => save(), 5000);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) save(true);
  });
  /* A submission waits for a running autosave: otherwise its page would be outdated. */
  form.addEventListener("submit", (event) => {
    clearTimeout(timer);
    if (running) {
      event.preventDefault();
      running.finally(() => form.requestSubmit(event.submitter));
    } else if (form.dataset.going) {
      event.preventDefault();
    } else {
      form.dataset.going = "1";
      changed = false;
    }
  });
  window.addEventListener("pageshow", () => {
    delete form.dataset.going;
  });

  /* A change of identity replaces the signature. */
  form.elements.identity?.addEventListener("change", () => {
    const button = form.querySelector("button[value^='sign:']");
    if (button) form.requestSubmit(button);
  });

  /* Selected or dropped files are uploaded at once. */
  const send = (files) => {
    const limit = Number(form.dataset.limit);
    for (const file of files) {
      if (limit && file.size > limit) {
        status.textContent = `${form.dataset.large} ${file.name}`;
        return;
      }
    }
    const body = data("attach");
    for (const file of files) body.append("files", file);
    const bar = document.createElement("progress");
    form.querySelector(".attaching").append(bar);
    const request = new XMLHttpRequest();
    request.open("POST", form.action);
    request.responseType = "document";
    request.upload.onprogress = (event) => {
      bar.max = event.total;
      bar.value = event.loaded;
    };
    request.onerror = () => {
      bar.remove();
      status.textContent = form.dataset.unsaved;
    };
    running = new Promise((done) => {
      request.onloadend = done;
    }).finally(() => {
      running = null;
    });
    request.onload = () => {
      const fresh = request.response?.querySelector("form.compose");
      if (!fresh) {
        request.onerror();
        return;
      }
      form.querySelector(".attaching").replaceWith(fresh.querySelector(".attaching"));
      for (const name of ["version", "message"]) form.elements[name].value = fresh.elements[name].value;
      const notes = request.response.querySelector(".notes");
      if (notes) form.before(notes);
    };
    request.send(body);
  };
  form.addEventListener("change", (event) => {
    if (event.target.type === "file" && event.target.files.length) send(event.target.files);
  });
  form.addEventListener("dragover", (event) => {
    if (event.dataTransfer.types.includes("Files")) {
      event.preventDefault();
      form.classList.add("dropping");
    }
  });
  form.addEventListener("dragleave", () => form.classList.remove("dropping"));
  form.addEventListener("drop", (event) => {
    form.classList.remove("dropping");
    if (event.dataTransfer.files.length) {
      event.preventDefault();
      send(event.dataTransfer.files);
    }
  });

  /* Completion after a comma: each suggestion is the present text with one more address. */
  const people = document.getElementById("people");
  const known = [...people.options].map((each) => each.value);
  for (const field of form.querySelectorAll("input[list=people]")) {
    field.addEventListener("input", () => {
      const typed = field.value.match(/^(.*[,;，；、]\s*)?([^,;，；、]*)$/s);
      const before = typed[1] || "",
        word = typed[2].toLowerCase();
      const offered = word ? known.filter((each) => each.toLowerCase().includes(word)).slice(0, 8) : [];
      people.replaceChildren(...offered.map((each) => new Option("", before + each)));
    });
  }
})();
