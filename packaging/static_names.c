/* Linked into the static binary only (scripts/package). A static glibc still loads the plug-ins that
 * /etc/nsswitch.conf names, and a plug-in brings the machine's own libc into the process, which may be of
 * another version. Names are therefore looked up in /etc/hosts and by DNS, users in /etc/passwd, and no
 * plug-in is loaded. */
#include <nss.h>

__attribute__((constructor)) static void look_up_without_plug_ins(void) {
    __nss_configure_lookup("hosts", "files dns");
    __nss_configure_lookup("passwd", "files");
}
