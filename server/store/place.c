#include "server/store/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "common/base/cleanup.h"

const char *place_network_fs(int64_t magic, const char *mount_type)
{
	/* statfs(2); f_type is a signed long, so the high ones may arrive sign-extended. */
	static const struct {
		uint32_t magic;
		const char *name;
	} network[] = {
		{ 0x6969, "NFS" },	  { 0xff534d42, "CIFS" },    { 0xfe534d42, "SMB" },  { 0x517b, "SMB" },
		{ 0x5346414f, "AFS" },	  { 0x00c36400, "CephFS" },  { 0x01161970, "GFS2" }, { 0x7461636f, "OCFS2" },
		{ 0x0bd00bd0, "Lustre" }, { 0x73757245, "Coda" },
	};
	/* FUSE by itself is fine (it may be a local disk): these speak to another machine. */
	static const char *const fuse[] = { "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.glusterfs", "fuse.ceph",
					    "fuse.davfs", "fuse.gcsfuse" };

	for (size_t i = 0; i < ARRAY_LEN(network); i++) {
		if ((uint32_t)magic == network[i].magic)
			return network[i].name;
	}
	for (size_t i = 0; i < ARRAY_LEN(fuse); i++) {
		if (strcmp(mount_type, fuse[i]) == 0)
			return fuse[i];
	}
	return NULL;
}

/* The type of the mount that holds this device: "36 35 98:0 /root /mnt opts - ext4 ..." (proc(5)). "" when unknown. */
static void find_mount_type(dev_t dev, char *out, size_t cap)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	CLEANUP(freep) char *line = NULL;
	size_t line_cap = 0;

	out[0] = 0;
	if (!f)
		return;
	while (getline(&line, &line_cap, f) > 0) {
		unsigned major, minor;
		char *dash = strstr(line, " - ");
		if (!dash || sscanf(line, "%*u %*u %u:%u", &major, &minor) != 2 || makedev(major, minor) != dev)
			continue;
		snprintf(out, cap, "%.*s", (int)strcspn(dash + 3, " \n"), dash + 3);
		break;
	}
	fclose(f);
}

static err check_file_system(int fd, char *why, size_t why_cap)
{
	struct statfs fs;
	struct stat st;
	char mount_type[64];

	if (fstatfs(fd, &fs) != 0 || fstat(fd, &st) != 0)
		return ERR_SYS;
	find_mount_type(st.st_dev, mount_type, sizeof mount_type);
	const char *name = place_network_fs((int64_t)fs.f_type, mount_type);
	if (!name)
		return OK;
	snprintf(why, why_cap, "it lies on a network file system (%s), where a crash can lose data: use a local disk", name);
	return ERR_UNSUPPORTED;
}

/* A file of an earlier run may have been copied with other rights; the keys in it are nobody else's business. */
static void tighten(int fd, const char *path)
{
	static const char *const beside[] = { "-wal", "-shm" };

	fchmod(fd, 0600);
	for (size_t i = 0; i < ARRAY_LEN(beside); i++) {
		char *name = NULL;
		if (asprintf(&name, "%s%s", path, beside[i]) >= 0) {
			chmod(name, 0600);
			free(name);
		}
	}
}

err place_take(const char *path, struct place *out, char *why, size_t why_cap)
{
	CLEANUP(closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
	struct stat st;

	if (fd < 0) {
		snprintf(why, why_cap, "it cannot be opened for writing: %s", strerror(errno));
		return ERR_SYS;
	}
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		snprintf(why, why_cap, "it is not a file");
		return ERR_INVALID;
	}
	TRY(check_file_system(fd, why, why_cap));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		snprintf(why, why_cap, "another server has it open");
		return ERR_BUSY;
	}
	CLEANUP(freep) char *full = realpath(path, NULL);
	if (!full)
		return ERR_NOMEM;
	/* SQLite keeps -wal and -shm beside it. */
	CLEANUP(freep) char *folder = strdup(full);
	if (!folder)
		return ERR_NOMEM;
	*(strrchr(folder, '/') + 1) = 0;
	if (access(folder, W_OK | X_OK) != 0) {
		snprintf(why, why_cap, "its folder %s is not writable", folder);
		return ERR_DENIED;
	}
	tighten(fd, full);
	out->path = MOVE(full);
	out->lock_fd = fd;
	fd = -1;
	return OK;
}

void place_done(struct place *p)
{
	free(p->path);
	p->path = NULL;
	closep(&p->lock_fd);
}
