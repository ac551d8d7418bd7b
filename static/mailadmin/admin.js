// Enhancements of the administration's pages; every page works without them.
(() => {
  // Copy buttons, shown if the browser permits writing to the clipboard.
  if (navigator.clipboard)
    for (const button of document.querySelectorAll('[data-copy]')) {
      button.hidden = false
      button.addEventListener('click', async () => {
        await navigator.clipboard.writeText(button.dataset.copy)
        const words = button.textContent
        button.textContent = '✓'
        setTimeout(() => {
          button.textContent = words
        }, 1200)
      })
    }
  // The checkbox that selects all rows of a list.
  for (const box of document.querySelectorAll('[data-all]')) {
    const rows = () => document.querySelectorAll(`input[type=checkbox][name="${box.dataset.all}"]`)
    box.hidden = false
    box.addEventListener('change', () => rows().forEach(row => {
      row.checked = box.checked
    }))
  }
  // Validate a text while it is typed.
  for (const form of document.querySelectorAll('form[data-check]')) {
    const part = document.getElementById(form.dataset.check)
    let timer
    form.addEventListener('input', () => {
      clearTimeout(timer)
      timer = setTimeout(async () => {
        try {
          const answer = await fetch(form.action, {
            method: 'POST',
            body: new FormData(form)
          })
          const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById(
            part.id)
          if (fresh) part.innerHTML = fresh.innerHTML
        } catch {
          /* offline: the form's button validates too */
        }
      }, 500)
    })
  }
  // Live pages: refetch a part of a visible page, unless the user is selecting or typing in it.
  for (const part of document.querySelectorAll('[data-live]')) {
    const toggle = document.getElementById('live')
    if (toggle) toggle.closest('label').hidden = false
    const busy = () => document.hidden || (toggle && !toggle.checked) || part.contains(document.activeElement) ||
      part.querySelector('input[type=checkbox]:checked') || String(getSelection())
    const again = async () => {
      if (!busy()) try {
        const answer = await fetch(location.href, {
          headers: {
            'X-Live': '1'
          }
        })
        const fresh = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById(part.id)
        if (answer.ok && !answer.redirected && fresh && !busy() && fresh.innerHTML !== part.innerHTML) part
          .innerHTML = fresh.innerHTML
      } catch {
        /* the next request may succeed */
      }
      setTimeout(again, Number(part.dataset.live) * 1000)
    }
    setTimeout(again, Number(part.dataset.live) * 1000)
  }
})()
