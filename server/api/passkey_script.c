#include "server/api/passkeys.h"

/* The only script outside the console: browsers show passkeys to scripts alone. It fills a form that the page has, and sends it. */
static const char script[] =
	"'use strict';\n"
	"(() => {\n"
	"  if (!window.PublicKeyCredential || !navigator.credentials) return;\n"
	"  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));\n"
	"  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\\+/g, '-').replace(/\\//g, '_').replace(/=+$/, '');\n"
	"  const ask = (d) => d.passkey === 'get'\n"
	"    ? navigator.credentials.get({ publicKey: { challenge: bytes(d.challenge), rpId: d.rp, userVerification: 'required', timeout: 300000 } })\n"
	"    : navigator.credentials.create({ publicKey: {\n"
	"        challenge: bytes(d.challenge), rp: { id: d.rp, name: 'Fairlead' }, attestation: 'none', timeout: 300000,\n"
	"        user: { id: bytes(d.user), name: d.name, displayName: d.display },\n"
	"        pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: 'public-key', alg })),\n"
	"        authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },\n"
	"        excludeCredentials: d.known.split(' ').filter(Boolean).map((id) => ({ type: 'public-key', id: bytes(id) })) } });\n"
	"  for (const form of document.querySelectorAll('form[data-passkey]')) {\n"
	"    const failed = form.querySelector('[role=alert]');\n"
	"    const put = (name, value) => { form.elements[name].value = text(value); };\n"
	"    form.hidden = false;\n"
	"    form.addEventListener('submit', async (event) => {\n"
	"      event.preventDefault();\n"
	"      failed.hidden = true;\n"
	"      try {\n"
	"        const made = await ask(form.dataset);\n"
	"        put('credential', made.rawId);\n"
	"        put('client_data', made.response.clientDataJSON);\n"
	"        if (form.dataset.passkey === 'get') {\n"
	"          put('auth_data', made.response.authenticatorData);\n"
	"          put('signature', made.response.signature);\n"
	"        } else {\n"
	"          put('attestation', made.response.attestationObject);\n"
	"        }\n"
	"        form.submit();\n"
	"      } catch {\n"
	"        failed.hidden = false;\n"
	"      }\n"
	"    });\n"
	"  }\n"
	"  for (const e of document.querySelectorAll('[data-without-passkey]')) e.hidden = true;\n"
	"})();\n";

enum MHD_Result api_passkey_script(struct request *r)
{
	return answer_text(r, 200, "text/javascript; charset=utf-8", script);
}
