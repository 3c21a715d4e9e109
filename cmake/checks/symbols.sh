#!/bin/sh
# symbols.sh LIBRARY: libraries keep no globals, do not print and do not end the process.
# Constant tables with relocations (.data.rel.ro) are fine; they are read-only once loaded.
lib=$1
[ -f "$lib" ] || { echo "no library: $lib"; exit 77; }
bad=0

globals=$(objdump -t "$lib" | awk '
	/file format/ { member = $1 }
	# value flags section size name; a local or global object (O) or thread-local in a writable section
	{
		for (i = 2; i < NF; i++) {
			s = $i
			if (s ~ /^\.(data|bss|tdata|tbss|sdata|sbss)(\.|$)/ || s == "*COM*") {
				if (s ~ /^\.data\.rel\.ro/) break
				if ($NF != s) print member " " s " " $NF
				break
			}
		}
	}')
if [ -n "$globals" ]; then
	echo "$globals"
	echo "  ^ mutable globals in the library"
	bad=1
fi

calls=$(nm -A -u "$lib" 2>/dev/null | grep -wE 'U (printf|fprintf|vprintf|vfprintf|dprintf|vdprintf|__printf_chk|__fprintf_chk|__vfprintf_chk|puts|fputs|putchar|putc|fputc|perror|psignal|stdout|stderr|exit|_exit|_Exit|quick_exit|abort|raise|err|errx|warn|warnx|syslog|setlocale|strtok|rand|srand|getenv|setenv)$')
if [ -n "$calls" ]; then
	echo "$calls"
	echo "  ^ a library must not print, exit or use hidden state"
	bad=1
fi
exit $bad
