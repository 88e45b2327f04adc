#include <qrencode.h>

#include "server/api/page.h"

/* Dark modules as one path; four light ones around it. */
void put_qr(struct buf *b, const char *text, enum word label)
{
	enum { QUIET = 4 };
	QRcode *q = QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1);

	if (!q)
		return;
	buf_printf(b, "<svg class=\"qr\" viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\" role=\"img\" aria-label=\"%s\"><path d=\"", q->width + 2 * QUIET,
			q->width + 2 * QUIET, word(label));
	for (int y = 0; y < q->width; y++)
		for (int x = 0, run; x < q->width; x += run) {
			bool dark = q->data[y * q->width + x] & 1;
			for (run = 1; x + run < q->width && (q->data[y * q->width + x + run] & 1) == dark; run++)
				;
			if (dark)
				buf_printf(b, "M%d %dh%dv1h-%dz", x + QUIET, y + QUIET, run, run);
		}
	buf_append_str(b, "\"/></svg>");
	QRcode_free(q);
}
