/* notify: tells a service manager how we are (systemd's sd_notify protocol): one datagram to $NOTIFY_SOCKET. */
#pragma once

/* "READY=1", "STOPPING=1", "RELOADING=1\nMONOTONIC_USEC=…", "STATUS=…". Does nothing when nobody listens. */
void notify_manager(const char *state);
