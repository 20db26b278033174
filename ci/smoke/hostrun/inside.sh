# Runs one of an image's containers on this machine: in a mount namespace of its own, with the image's files at their
# places over the machine's own programs, a read-only root, and the documented volumes.
#
#   TREE   the image's files          STASH   an empty directory for what this lays aside
#   WRITE  "SOURCE TARGET" lines: volumes          UID_GID  "33:33"          RW  1: the root may be written to
#   BINARIES  files of the image that go to their places one by one
set -eu

# graft DIRECTORY: makes one that the machine does not have, in this namespace alone.
graft() {
	[ ! -d "$1" ] || return 0
	graft "$(dirname "$1")"
	remake "$(dirname "$1")"
	mkdir "$1"
}

# remake DIRECTORY: the same content, in a file system of memory, so that a name can be added.
remake() {
	case " ${made-} " in *" $1 "*) return 0 ;; esac
	made="${made-} $1"
	aside=$(mktemp -d "$STASH/XXXXXX")
	mount --rbind "$1" "$aside"
	mount -t tmpfs -o mode=0755 tmpfs "$1"
	for entry in "$aside"/* "$aside"/.[!.]*; do
		name=$1/${entry##*/}
		if [ -L "$entry" ]; then
			cp -P "$entry" "$name"
		elif [ -d "$entry" ]; then
			mkdir "$name"
			mount --rbind "$entry" "$name"
		elif [ -e "$entry" ]; then
			: >"$name"
			mount --bind "$entry" "$name"
		fi
	done
}

for place in /var/www/html /usr/local/etc/magento /usr/local/share/magento /etc/nginx/templates /etc/nginx/magento; do
	if [ -d "$TREE$place" ]; then
		graft "$place"
		mount --bind "$TREE$place" "$place"
	fi
done
for file in $BINARIES; do
	if [ ! -e "$file" ]; then
		graft "$(dirname "$file")"
		remake "$(dirname "$file")"
		: >"$file"
	fi
	mount --bind "$TREE$file" "$file"
done
writable="/tmp"
while read -r source target; do
	[ -n "$source" ] || continue
	mount --bind "$source" "$target"
	writable="$writable $target"
done <<EOF
$WRITE
EOF
if [ -z "${RW-}" ]; then
	while read -r _ _ _ _ target _; do
		case "$target" in /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) continue ;; esac
		case " $writable " in *" $target "*) continue ;; esac
		mount -o remount,bind,ro "$target" 2>/dev/null || : # one that another hides
	done </proc/self/mountinfo
	if (: >/var/www/html/.writable) 2>/dev/null; then
		echo "the root cannot be made read-only here" >&2
		exit 70
	fi
fi
mount -t tmpfs -o mode=1777 tmpfs /tmp
cd /var/www/html
exec setpriv --reuid "${UID_GID%:*}" --regid "${UID_GID#*:}" --clear-groups "$@"
