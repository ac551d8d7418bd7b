// Passkeys (WebAuthn): the authenticator's response is put into hidden fields, and the form is posted as usual.
(() => {
  const toBytes = text => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), character => character
    .charCodeAt(0))
  const text = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll('+', '-').replaceAll('/',
    '_').replaceAll('=', '')
  for (const form of document.querySelectorAll('form[data-passkey]')) {
    if (!window.PublicKeyCredential) continue
    form.hidden = false
    const of = form.dataset, known = (of.known || '').split(' ').filter(Boolean).map(id => ({
      type: 'public-key',
      id: toBytes(id)
    }))
    const fill = fields => {
      for (const name in fields) form.elements[name].value = fields[name]
    }
    form.addEventListener('submit', async event => {
      if (form.elements.passkey.value) return
      event.preventDefault()
      const button = form.querySelector('button'),
        sorry = form.querySelector('[data-sorry]')
      button.disabled = true
      sorry.hidden = true
      try {
        const challenge = toBytes(of.challenge)
        if (of.passkey === 'make') {
          const made = await navigator.credentials.create({
            publicKey: {
              challenge,
              rp: {
                id: of.host,
                name: of.site
              },
              user: {
                id: toBytes(of.user),
                name: of.address,
                displayName: of.address
              },
              pubKeyCredParams: [-8, -7, -257].map(alg => ({
                type: 'public-key',
                alg
              })),
              excludeCredentials: known,
              authenticatorSelection: {
                userVerification: 'preferred'
              },
              attestation: 'none'
            }
          })
          fill({
            passkey: text(made.rawId),
            client: text(made.response.clientDataJSON),
            authenticator: text(made.response.getAuthenticatorData()),
            public: text(made.response.getPublicKey())
          })
        } else {
          const shown = await navigator.credentials.get({
            publicKey: {
              challenge,
              rpId: of.host,
              allowCredentials: known,
              userVerification: 'preferred'
            }
          })
          fill({
            passkey: text(shown.rawId),
            client: text(shown.response.clientDataJSON),
            authenticator: text(shown.response.authenticatorData),
            signature: text(shown.response.signature)
          })
        }
        form.submit()
      } catch {
        button.disabled = false
        sorry.hidden = false
      }
    })
  }
})()
