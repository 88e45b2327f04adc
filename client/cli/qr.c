#include <qrencode.h>
#include <stdio.h>

#include "client/cli/cli.h"

enum { QUIET = 2 /* modules around it */ };

static bool is_dark(const QRcode *q, int x, int y)
{
	if (x < 0 || y < 0 || x >= q->width || y >= q->width)
		return false;
	return q->data[y * q->width + x] & 1;
}

/* Two rows a line. Light is what is drawn, so that it reads on a dark terminal; scanners take both. */
void cli_print_qr(const char *text)
{
	QRcode *q = QRcode_encodeString(text, 0, QR_ECLEVEL_L, QR_MODE_8, 1);

	if (!q)
		return;
	for (int y = -QUIET; y < q->width + QUIET; y += 2) {
		for (int x = -QUIET; x < q->width + QUIET; x++) {
			bool top = !is_dark(q, x, y), bottom = !is_dark(q, x, y + 1);

			fputs(top && bottom ? "█" : top ? "▀" : bottom ? "▄" : " ", stdout);
		}
		putchar('\n');
	}
	QRcode_free(q);
}
