#include "server/api/handlers.h"
#include "server/api/page.h"

/* The style sheet of the pages outside the console: its tokens and its nouns, as far as these pages use them. A file of its own, so
 * that no page needs an inline style. Every pair of colours passes 4.5:1, edges of fields 3:1. No light-dark() and no nesting: old
 * browsers come here, too. */
static const char style[] =
	/* tokens */
	":root{color-scheme:light dark;--canvas:#f6f7f8;--surface:#fff;--sunken:#f1f3f5;--hover:#f6f7f9;--line:#e4e7ea;--strong:#cfd5da;"
	"--control:#838c96;--text:#12171c;--muted:#4f5964;--faint:#626c77;--accent:#1a5fb4;--fill:#1a5fb4;--press:#144c91;--ok:#17713f;"
	"--ok-mark:#23945a;--ok-soft:#e5f5eb;--warn:#845000;--warn-soft:#fdf2dc;--danger:#b42525;--danger-fill:#c02b2b;--danger-soft:#fdecea;"
	"--control-size:2.25rem}"
	"@media(prefers-color-scheme:dark){:root{--canvas:#0c0f13;--surface:#12161b;--sunken:#1b2129;--hover:#181d23;--line:#242a32;"
	"--strong:#38414b;--control:#6a7480;--text:#e9ecef;--muted:#a7b0ba;--faint:#8a949f;--accent:#83b7f7;--fill:#2f6fce;--press:#285fb2;"
	"--ok:#62cd92;--ok-mark:#3fb877;--ok-soft:#11291d;--warn:#e6b450;--warn-soft:#2d2311;--danger:#f5918a;--danger-fill:#c93c3c;"
	"--danger-soft:#331918}}"
	"@media(pointer:coarse){:root{--control-size:2.75rem}}"
	"@media(prefers-contrast:more){:root{--line:var(--control);--faint:var(--muted)}}"
	/* elements */
	"*,::before,::after{box-sizing:border-box}"
	"body{margin:0;min-height:100vh;display:grid;grid-template-columns:minmax(0,1fr);grid-template-rows:auto 1fr auto;background:var(--canvas);color:var(--text);"
	"font:.875rem/1.45 \"Inter Variable\",Inter,ui-sans-serif,system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",sans-serif;"
	"-webkit-font-smoothing:antialiased;-webkit-text-size-adjust:100%;text-size-adjust:100%}"
	"h1,h2,h3,p,ul,ol,dl,dd,pre,figure{margin:0}ul,ol{padding:0;list-style:none}"
	"h1{font-size:1.25rem;font-weight:600;line-height:1.3;letter-spacing:-.012em;overflow-wrap:anywhere}"
	"h2{font-size:.875rem;font-weight:600;line-height:1.4}b{font-weight:600}small{font-size:.75rem}"
	"a{color:var(--accent);text-underline-offset:.2em}.muted,.muted a{color:var(--muted)}.faint{color:var(--faint)}"
	"code,pre{font-family:ui-monospace,\"SF Mono\",\"Cascadia Code\",Menlo,Consolas,\"DejaVu Sans Mono\",monospace;font-size:.93em;overflow-wrap:anywhere}"
	"pre{padding:.625rem .75rem;border-radius:6px;background:var(--sunken);white-space:pre-wrap}"
	"button,input{font:inherit;color:inherit}button{cursor:pointer}form{margin:0}svg{display:block;flex:none}[hidden]{display:none!important}"
	":focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:4px}"
	/* the frame */
	".bar{display:flex;align-items:center;gap:.75rem;min-height:3.5rem;padding:0 1.5rem;font-weight:600}"
	".bar .push{margin-left:auto;display:flex;align-items:center;gap:.5rem;font-weight:400;color:var(--muted);min-width:0}"
	".bar form{flex:none}.bar .button{white-space:nowrap}.bar .push span{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}"
	".mark{width:1.25rem;height:1.25rem;fill:none}.mark circle{stroke:var(--accent);stroke-width:2.5}"
	".mark path{stroke:var(--text);stroke-width:2;stroke-linecap:round}"
	".foot{padding:1.25rem;color:var(--faint);font-size:.75rem;text-align:center;overflow-wrap:anywhere}"
	".centre{display:grid;grid-template-columns:minmax(0,1fr);justify-items:center;align-items:center;padding:1rem}"
	".sheet{width:100%;max-width:30rem;display:grid;grid-template-columns:minmax(0,1fr);gap:1.25rem;padding:2rem;border:1px solid var(--line);border-radius:10px;background:var(--surface)}"
	".guide{width:100%;max-width:62rem;margin:0 auto;padding:1rem 1.5rem 3rem;display:grid;grid-template-columns:minmax(0,1fr);gap:1.5rem;align-content:start}"
	".columns{display:grid;grid-template-columns:minmax(0,1fr) 21rem;gap:1.25rem;align-items:start}"
	".columns>*{display:grid;grid-template-columns:minmax(0,1fr);gap:1.25rem}"
	/* nouns */
	".stack{display:grid;grid-template-columns:minmax(0,1fr);gap:.75rem}"
	".row{display:flex;flex-wrap:wrap;align-items:center;gap:.5rem;min-width:0}"
	".button{display:inline-flex;align-items:center;justify-content:center;gap:.375rem;min-height:var(--control-size);padding:.25rem .875rem;"
	"border:1px solid var(--strong);border-radius:6px;background:var(--surface);color:var(--text);font-weight:500;text-decoration:none}"
	".button:hover{background:var(--hover);border-color:var(--control)}.button:focus-visible{border-radius:6px}"
	".button[data-kind=primary]{background:var(--fill);border-color:transparent;color:#fff}.button[data-kind=primary]:hover{background:var(--press)}"
	".button[data-kind=danger]{background:var(--danger-fill);border-color:transparent;color:#fff}"
	".button[data-kind=quiet]{background:transparent;border-color:transparent;color:var(--muted)}.button[data-kind=quiet]:hover{background:var(--sunken);color:var(--text)}"
	".button[data-size=small]{min-height:calc(var(--control-size) - .5rem);padding:.125rem .625rem;font-size:.8125rem}"
	".stack>.button,.stack>form>.button{width:100%}"
	".field{display:grid;gap:.25rem}.field label{font-weight:500;font-size:.8125rem}"
	".input{width:100%;min-height:var(--control-size);padding:.25rem .75rem;border:1px solid var(--control);border-radius:6px;background:var(--surface)}"
	".input:focus-visible{outline-offset:-1px;border-radius:6px}"
	".or{display:flex;align-items:center;gap:.75rem;color:var(--faint);font-size:.75rem}.or::before,.or::after{content:\"\";flex:1;border-top:1px solid var(--line)}"
	"dl{display:grid;grid-template-columns:minmax(5.5rem,auto) minmax(0,1fr);gap:.5rem 1rem;font-size:.8125rem}dt{color:var(--muted)}dd{overflow-wrap:anywhere}"
	".proof{display:flex;flex-wrap:wrap;align-items:center;justify-content:space-between;gap:.25rem 1rem;padding:.75rem 1rem;border-radius:6px;"
	"background:var(--sunken);color:var(--muted);font-size:.8125rem}"
	".proof code{color:var(--text);font-size:1.125rem;font-weight:600;letter-spacing:.08em}"
	".steps{display:grid;grid-template-columns:minmax(0,1fr);gap:.75rem;counter-reset:step}"
	".step{counter-increment:step;border:1px solid var(--line);border-radius:10px;background:var(--surface)}.step[aria-current]{border-color:var(--control)}"
	".step>header{display:grid;grid-template-columns:1.5rem minmax(0,1fr) auto;align-items:center;gap:.25rem .75rem;min-height:3.25rem;padding:.5rem 1.25rem}.step>header span{font-size:.8125rem;overflow-wrap:anywhere}"
	".step>header::before{content:counter(step);display:grid;place-items:center;flex:none;width:1.5rem;height:1.5rem;border:1px solid var(--control);border-radius:50%;color:var(--muted);font-size:.75rem;font-weight:600}"
	".step[data-state=done]>header::before{content:\"\\2713\";background:var(--ok-soft);border-color:transparent;color:var(--ok)}"
	".step[aria-current]>header::before{background:var(--fill);border-color:transparent;color:#fff}"
	".step>.body{display:grid;grid-template-columns:minmax(0,1fr);gap:1rem;padding:0 1.25rem 1.25rem 3.5rem;max-width:44rem}.step>.body:empty{display:none}.step>.body>.button{justify-self:start}"
	".checks{display:grid;gap:.25rem;color:var(--muted);font-size:.8125rem}.checks li{display:grid;grid-template-columns:1rem minmax(0,1fr);gap:.375rem}"
	".checks span{text-align:center;font-weight:600}.checks small{display:block}"
	".checks [data-tone=ok] span{color:var(--ok)}.checks [data-tone=warn]{color:var(--warn)}.checks [data-tone=danger]{color:var(--danger)}"
	".segmented{display:flex;justify-self:start;flex-wrap:wrap;max-width:100%;padding:2px;gap:2px;border-radius:6px;background:var(--sunken)}"
	".segmented a{padding:.25rem .75rem;border-radius:4px;color:var(--muted);font-size:.8125rem;font-weight:500;text-decoration:none}"
	".segmented a[aria-current]{background:var(--surface);color:var(--text)}"
	".waiting{display:flex;flex-wrap:wrap;align-items:center;gap:.75rem;padding:.75rem 1rem;border:1px dashed var(--strong);border-radius:6px;color:var(--muted);font-size:.8125rem}.waiting a{margin-left:auto}"
	"form[hidden]+.or{display:none}.guide>h1+p{margin-top:-1.125rem}.step .qr{margin:0}"
	".pulse{width:.5rem;height:.5rem;border-radius:50%;background:var(--fill);flex:none}"
	".later{display:flex;flex-wrap:wrap;align-items:center;gap:.5rem 1.25rem;color:var(--muted);font-size:.8125rem}.later .push{margin-left:auto}"
	".notice{padding:.75rem 1rem;border-radius:6px;background:var(--sunken);font-size:.8125rem}"
	".notice[data-tone=warn]{background:var(--warn-soft);color:var(--warn)}.notice[data-tone=danger]{background:var(--danger-soft);color:var(--danger)}"
	".notice[data-tone=ok]{background:var(--ok-soft);color:var(--ok)}"
	".card{border:1px solid var(--line);border-radius:10px;background:var(--surface);font-size:.8125rem}"
	".card>header{display:flex;flex-wrap:wrap;align-items:center;gap:.5rem;min-height:2.75rem;padding:.25rem .5rem .25rem 1rem;border-bottom:1px solid var(--line)}"
	".card>header h2{margin-right:auto}.card>.body{padding:1rem}"
	".devices>li{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:.25rem .75rem;align-items:center;padding:.75rem 1rem;border-bottom:1px solid var(--line)}"
	".devices>li:last-child{border-bottom:0}.devices b{font-weight:500;overflow-wrap:anywhere}.devices p{color:var(--muted);overflow-wrap:anywhere}"
	".devices details{grid-column:1/-1}.devices .wide{grid-column:1/-1}"
	"summary{cursor:pointer;color:var(--accent);width:fit-content;min-height:1.5rem;padding:.25rem 0}details[open]>summary{margin-bottom:.5rem}"
	".chip{display:inline-flex;align-items:center;min-height:1.25rem;padding:0 .375rem;border:1px solid var(--line);border-radius:4px;color:var(--muted);font-size:.75rem;font-weight:500;white-space:nowrap}"
	".chip[data-tone=ok]{background:var(--ok-soft);border-color:transparent;color:var(--ok)}"
	".chip[data-tone=warn]{background:var(--warn-soft);border-color:transparent;color:var(--warn)}"
	".chip[data-tone=danger]{background:var(--danger-soft);border-color:transparent;color:var(--danger)}"
	".hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}"
	".dot{display:inline-block;width:.5rem;height:.5rem;margin-right:.5rem;border:1.5px solid var(--control);border-radius:50%}"
	".dot[data-state=online]{background:var(--ok-mark);border-color:var(--ok-mark)}"
	".qr{width:12rem;max-width:100%;height:auto;margin:0 auto;padding:.5rem;border-radius:6px;background:#fff}.qr path{fill:#12171c}"
	"@media(max-width:52rem){.columns{grid-template-columns:minmax(0,1fr)}}"
	"@media(max-width:44rem){.step>.body{padding:0 1rem 1rem}.step>header{padding:.5rem 1rem}.step>header{grid-template-columns:1.5rem minmax(0,1fr)}.step>header span{grid-column:2}.segmented a{padding:.5rem .625rem}"
	".bar{padding:0 1rem}.sheet{padding:1.25rem}.guide{padding:.5rem 1rem 2rem}.row>form{flex:1 1 auto}.row>form>.button,.sheet .row>.button{width:100%}"
	".devices>li>.row>form{flex:none}}\n";

enum MHD_Result api_page_style(struct request *r)
{
	return answer_text(r, 200, "text/css; charset=utf-8", style);
}

/* A line led through an eye: what a fairlead does. */
static const char icon[] = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 20 20\" fill=\"none\" stroke=\"#1a5fb4\" stroke-width=\"2\">"
			   "<circle cx=\"10\" cy=\"10\" r=\"6\"/><path d=\"M1 17c4 0 6-4 9-7s5-7 9-7\"/></svg>\n";

enum MHD_Result api_page_icon(struct request *r)
{
	return answer_text(r, 200, "image/svg+xml", icon);
}
