// Enhancements of the webmail, if scripts are allowed; every form and link works without them.
"use strict";
{
  const $ = (q, e = document) => e.querySelector(q),
    all = (q, e = document) => [...e.querySelectorAll(q)]
  const boxes = () => all('.row input[type=checkbox]')
  let last = null

  // --- Fetch pages and replace only their main part -------------------------------------------------
  async function load(address, init) {
    document.body.classList.add('busy')
    try {
      const answer = await fetch(address, {
        credentials: 'same-origin',
        ...init
      })
      const url = new URL(answer.url),
        html = answer.headers.get('Content-Type') || ''
      if (!html.startsWith('text/html') || url.pathname !== location.pathname) {
        location.href = url;
        return
      }
      place(await answer.text())
      if (init && init.method) history.replaceState(null, '', url.pathname + url.search)
    } catch {
      location.reload()
    } finally {
      document.body.classList.remove('busy')
    }
  }

  function place(text) {
    const page = new DOMParser().parseFromString(text, 'text/html'),
      fresh = $('#main', page)
    if (!fresh) {
      location.reload();
      return
    }
    const at = $('.row.at input')?.value,
      top = scrollY
    const focus = document.activeElement?.closest('#main') && document.activeElement.getAttribute('name')
    for (const part of ['#main', '.pane .folders', '.pane .quota'])
      if ($(part) && $(part, page)) $(part).replaceWith($(part, page))
    document.title = page.title
    document.body.className = page.body.className
    if (at) move(all('.row').findIndex(r => $('input', r).value === at), false)
    if (focus) all('#main [name]').find(e => e.getAttribute('name') === focus && e.checkVisibility())?.focus()
    scrollTo(0, top)
    prepare()
  }

  // --- Selecting rows ------------------------------------------------------------------------------
  function chosen() {
    return boxes().filter(b => b.checked)
  }

  function count() {
    const tick = $('.list-top .tick'),
      n = chosen().length
    if (tick) tick.classList.toggle('on', n > 0)
  }
  document.addEventListener('click', event => {
    const box = event.target.closest?.('.row input[type=checkbox]')
    if (box) {
      const list = boxes()
      if (event.shiftKey && last && list.includes(last)) {
        const [a, b] = [list.indexOf(last), list.indexOf(box)].sort((x, y) => x - y)
        list.slice(a, b + 1).forEach(each => {
          each.checked = box.checked
        })
      }
      last = box
      count()
    }
    const pick = event.target.closest?.('a.pick')
    if (pick && boxes().length) {
      event.preventDefault()
      const on = !chosen().length
      boxes().forEach(each => {
        each.checked = on
      })
      count()
    }
    all('details.drop[open]').forEach(d => {
      if (!d.contains(event.target)) d.open = false
    })
  })

  // --- List actions without loading a page ---------------------------------------------------------
  document.addEventListener('submit', event => {
    const form = event.target,
      button = event.submitter
    if (!form.matches('form.list, .talk form.message, .reader form.message') || !button || ['export', 'forward']
      .includes(button.value)) return
    event.preventDefault()
    load(form.action, {
      method: 'POST',
      body: new FormData(form, button)
    })
  })

  function press(query, root = document) {
    const button = $(query, root)
    if (button) button.click()
    return Boolean(button)
  }

  // --- Drag and drop of messages to folders ----------------------------------------------------------
  document.addEventListener('dragstart', event => {
    const row = event.target.closest?.('.row')
    if (!row) return
    const box = $('input', row)
    if (!box.checked) {
      boxes().forEach(b => {
        b.checked = false
      });
      box.checked = true;
      count()
    }
    event.dataTransfer.setData('text/x-messages', '1')
    event.dataTransfer.effectAllowed = 'move'
  })
  const target = event => event.dataTransfer.types.includes('text/x-messages') && event.target.closest?.(
    '.pane .folders:not(.tags) a')
  document.addEventListener('dragover', event => {
    const link = target(event)
    all('.drop-here').forEach(a => {
      if (a !== link) a.classList.remove('drop-here')
    })
    if (link) {
      event.preventDefault();
      link.classList.add('drop-here')
    }
  })
  document.addEventListener('dragend', () => all('.drop-here').forEach(a => a.classList.remove('drop-here')))
  document.addEventListener('drop', event => {
    const link = target(event),
      form = $('form.list')
    if (!link || !form) return
    event.preventDefault()
    const body = new FormData(form)
    body.set('do', 'move')
    body.set('target', new URL(link.href).searchParams.get('in') || 'INBOX')
    load(form.action, {
      method: 'POST',
      body
    })
  })

  // --- Keyboard shortcuts --------------------------------------------------------------------------
  function move(to, scroll = true) {
    const rows = all('.row')
    if (!rows.length) return
    const row = rows[Math.max(0, Math.min(rows.length - 1, to))]
    all('.row.at').forEach(r => r.classList.remove('at'))
    row.classList.add('at')
    if (scroll) {
      row.scrollIntoView({
        block: 'nearest'
      });
      $(':scope > a', row).focus({
        preventScroll: true
      })
    }
  }
  const here = () => all('.row').findIndex(r => r.classList.contains('at'))
  async function keys() {
    let dialog = $('#keys')
    if (!dialog) {
      const page = new DOMParser().parseFromString(await (await fetch('/help/')).text(), 'text/html')
      dialog = document.createElement('dialog')
      dialog.id = 'keys'
      dialog.append($('#keys h2', page), $('table.keys', page))
      document.body.append(dialog)
      dialog.addEventListener('click', () => dialog.close())
    }
    dialog.showModal()
  }
  const act = value => {
    if ($('.row') && !chosen().length && here() >= 0) {
      $('input', all('.row')[here()]).checked = true;
      count()
    }
    return press(`#main .bar [name=do][value=${value}]`) || press(`#main [name=do][value=${value}]`)
  }
  const KEYS = {
    j: () => $('.row') ? move(here() + 1) : press('[data-key=j]'),
    k: () => $('.row') ? move(Math.max(0, here() - 1)) : press('[data-key=k]'),
    o: () => here() >= 0 && press(':scope > a', all('.row')[here()]),
    x: () => here() >= 0 && press('input', all('.row')[here()]),
    s: () => here() >= 0 ? press('.star', all('.row')[here()]) : press('h1 .star'),
    u: () => press('#main [data-key=u]'),
    r: () => press('[data-key=r]'),
    a: () => press('[data-key=a]'),
    f: () => press('[data-key=f]'),
    e: () => act('archive'),
    '#': () => act('delete'),
    '!': () => act('junk') || act('notjunk'),
    I: () => act('read'),
    U: () => act('unread'),
    c: () => press('.pane .main-button'),
    '/': () => $('#q')?.focus(),
    '?': keys,
    Escape: () => all('details.drop[open]').forEach(d => {
      d.open = false;
      $('summary', d).focus()
    }),
  }
  document.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return
    if ($('#main')?.dataset.noKeys !== undefined && event.key !== 'Escape') return
    const typing = event.target.closest(
      'input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable], dialog')
    if (typing && event.key !== 'Escape') return
    const action = KEYS[event.key]
    if (action && action() !== false && event.key !== 'Escape') event.preventDefault()
  })

  // --- Push events ---------------------------------------------------------------------------------
  function sound() {
    try {
      const context = new AudioContext(),
        tone = context.createOscillator(),
        loud = context.createGain()
      tone.frequency.value = 880
      loud.gain.setValueAtTime(.08, context.currentTime)
      loud.gain.exponentialRampToValueAtTime(.0001, context.currentTime + .5)
      tone.connect(loud).connect(context.destination)
      tone.start()
      tone.stop(context.currentTime + .5)
    } catch {
      /* the browser permits no sound */
    }
  }
  let waiting = 0

  function onPushEvent(event) {
    if (event.type === 'mail' && $('#list')?.dataset.sound) sound()
    clearTimeout(waiting)
    waiting = setTimeout(() => {
      // Do not reload while the user selects rows or has a menu open; the next action updates the list.
      if (!$('#list')?.dataset.events || chosen().length || $('details.drop[open]') || $('dialog[open]')) return
      load(location.href)
    }, 300)
  }
  // The event stream is opened after the page has loaded.
  if (window.EventSource && $('#pane')) addEventListener('load', () => setTimeout(() => {
    const stream = new EventSource('/events')
    stream.addEventListener('mail', onPushEvent)
    stream.addEventListener('change', onPushEvent)
    stream.addEventListener('end', () => stream.close())
    addEventListener('pagehide', () => stream.close())
  }, 1000))

  // Collapsed folders are stored in the browser, not on the server.
  const collapsedFolders = () => JSON.parse(localStorage.getItem('folded') || '[]')
  document.addEventListener('toggle', event => {
    const name = event.target.dataset?.fold
    if (!name) return
    const others = collapsedFolders().filter(n => n !== name)
    localStorage.setItem('folded', JSON.stringify(event.target.open ? others : [...others, name]))
  }, true)

  function prepare() {
    const tab = $('.tabs [aria-current]')
    if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - tab.parentElement.offsetLeft - 40
    const names = collapsedFolders()
    all('[data-fold]').forEach(d => {
      if (names.includes(d.dataset.fold)) d.open = false
    })
    all('.row').forEach(row => {
      row.draggable = true;
      $('a', row).draggable = false
    });
    count()
  }
  prepare()
}
