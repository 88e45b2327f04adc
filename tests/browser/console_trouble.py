#!/usr/bin/env python3
"""console_trouble.py [PART]: the web console when things go wrong, come late or are hostile, and for those who use it on a phone, zoomed or by a
screen reader. As console.py; pictures are left in build/console-trouble."""
import sqlite3, sys
from console import fresh, full, walk

HOSTILE = '"><img src=x onerror="ran(1)"><script>ran(2)</script>'


def hostile(h):
    """Text that others choose, wherever the console shows it."""
    h.fill()
    h.s.must("users", "create", "mallory", "--display-name", HOSTILE, "--email", "m@evil.example")
    h.s.must("preauthkeys", "create", "--user", "mallory", "--expiration", "24h", "--description", HOSTILE)
    h.join("evil-host", "omar", {"OS": HOSTILE, "OSVersion": HOSTILE, "Distro": HOSTILE, "DistroVersion": HOSTILE, "DeviceModel": HOSTILE, "IPNVersion": HOSTILE, "GoArch": HOSTILE,
                                    "Services": [{"Proto": "tcp", "Port": 80, "Description": HOSTILE}]})
    status, answer = h.s.ask("GET", "/api/fairlead/v1/policy")
    h.policy(answer["policy"].replace("// People who do the same work.", "// " + HOSTILE), HOSTILE)
    h.s.ask("PUT", "/api/fairlead/v1/settings/contacts.support", {"value": HOSTILE})
    h.s.ask("POST", "/api/fairlead/v1/keys/api", {"description": HOSTILE, "scopes": ["dns:read"], "expires": "30d"})


def trouble(h):
    """With a person whom a provider brought and who waits: that is written into the database, for there is no provider here."""
    h.fill()
    h.s.must("users", "create", "noor", "--display-name", "Noor Aziz", "--email", "noor@harbour.example")
    h.s.ask("PUT", "/api/fairlead/v1/settings/users_approval", {"value": True})
    h.s.end()
    with sqlite3.connect(h.s.database) as db:
        db.execute("UPDATE user SET waits_ms = 1700000000000 WHERE name = 'noor'")
    db.close()
    h.s.start()


if __name__ == "__main__":
    sys.exit(walk("console_trouble.mjs", {"fresh": fresh, "full": trouble, "hostile": hostile}, "build/console-trouble"))
