#include "server/store/place.h"
#include "tests/lib/test.h"

static void network_file_systems_are_known(void **state)
{
	(void)state;
	assert_string_equal(place_network_fs(0x6969, "nfs4"), "NFS");
	assert_string_equal(place_network_fs((int32_t)0xff534d42, "cifs"), "CIFS"); /* sign-extended */
	assert_string_equal(place_network_fs(0xfe534d42, "cifs"), "SMB");
	assert_string_equal(place_network_fs(0x65735546, "fuse.sshfs"), "fuse.sshfs");
	assert_null(place_network_fs(0x65735546, "fuse.ntfs-3g"));
	assert_null(place_network_fs(0xef53, "ext4"));
	assert_null(place_network_fs(0x01021994, "tmpfs"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(network_file_systems_are_known) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
