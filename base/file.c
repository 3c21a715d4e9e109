/* Files: mapping, writing through a temporary file, and paths that come from models.
 *
 * Only regular files are mapped: a FIFO or device named by a model must not block or misbehave.
 * No descriptor is open while the arena allocates, since an allocation may jump. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct mapping {
	void *p;
	size_t n;
};

static void unmap(void *p)
{
	struct mapping *m = p;

	if (m->p)
		munmap(m->p, m->n);
}

ftl_status ftl_file_map(ftl_arena *arena, const char *path, ftl_diag *d, ftl_file *out)
{
	struct mapping *m = FTL_NEW(arena, struct mapping);
	struct stat st;
	void *p;
	int fd;

	*out = (ftl_file){(const uint8_t *)"", 0};
	ftl_arena_defer(arena, unmap, m);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return ftl_fail(d, FTL_ERR_IO, "%s: cannot open: %m", path);
	if (fstat(fd, &st) != 0) {
		ftl_fail(d, FTL_ERR_IO, "%s: cannot stat: %m", path);
		close(fd);
		return FTL_ERR_IO;
	}
	if (!S_ISREG(st.st_mode)) {
		close(fd);
		return ftl_fail(d, FTL_ERR_IO, "%s: %s", path,
				S_ISDIR(st.st_mode) ? "is a folder" : "is not a regular file");
	}
	if (st.st_size == 0) {
		close(fd);
		return FTL_OK;
	}
	if ((uintmax_t)st.st_size > SIZE_MAX / 2) {
		close(fd);
		return ftl_fail(d, FTL_ERR_LIMIT, "%s: too large to map", path);
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED) {
		ftl_status_code code = errno == ENOMEM ? FTL_ERR_MEMORY : FTL_ERR_IO;

		ftl_fail(d, code, "%s: cannot map: %m", path);
		close(fd);
		return code;
	}
	close(fd);
	m->p = p;
	m->n = (size_t)st.st_size;
	*out = (ftl_file){p, m->n};
	return FTL_OK;
}

void ftl_file_forget(const void *p, size_t n)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t from = (uintptr_t)p & ~(page - 1);
	uintptr_t to = ((uintptr_t)p + n + page - 1) & ~(page - 1);

	/* Pages shared with a neighbour of the same mapping may go too: they come back when touched. */
	if (n)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

static bool write_all(int fd, const ftl_span *spans, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *p = spans[i].data;
		size_t left = spans[i].size;

		while (left) {
			size_t part = left < ((size_t)1 << 30) ? left : (size_t)1 << 30;
			ssize_t k = write(fd, p, part);

			if (k < 0 && errno == EINTR)
				continue;
			if (k <= 0)
				return false;
			p += k;
			left -= (size_t)k;
		}
	}
	return true;
}

/* Create a file nobody has beside path; its name goes to tmp. */
static int open_temp(const char *path, char tmp[PATH_MAX])
{
	for (unsigned k = 0; k < 1000; k++) {
		int n = snprintf(tmp, PATH_MAX, "%s.tmp%ld.%u", path, (long)getpid(), k);
		int fd;

		if (n < 0 || n >= PATH_MAX) {
			errno = ENAMETOOLONG;
			return -1;
		}
		fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	return -1;
}

static ftl_status write_in_place(const char *path, const ftl_span *spans, size_t n, ftl_diag *d)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok;

	if (fd < 0)
		return ftl_fail(d, FTL_ERR_IO, "%s: cannot open for writing: %m", path);
	ok = write_all(fd, spans, n);
	if (!ok)
		ftl_fail(d, FTL_ERR_IO, "%s: cannot write: %m", path);
	close(fd);
	return ok ? FTL_OK : FTL_ERR_IO;
}

ftl_status ftl_file_write_spans(const char *path, const ftl_span *spans, size_t n, ftl_diag *d)
{
	char real[PATH_MAX], tmp[PATH_MAX];
	struct stat st;
	bool there = stat(path, &st) == 0;
	int fd;

	if (there && S_ISDIR(st.st_mode))
		return ftl_fail(d, FTL_ERR_IO, "%s: is a folder", path);
	/* a rename would replace /dev/null or a pipe by a file */
	if (there && !S_ISREG(st.st_mode))
		return write_in_place(path, spans, n, d);
	/* write where a symbolic link points, and leave the link alone */
	if (there && realpath(path, real))
		path = real;

	fd = open_temp(path, tmp);
	if (fd < 0)
		return ftl_fail(d, FTL_ERR_IO, "%s: cannot create: %m", path);
	if (there && fchmod(fd, st.st_mode & 0777) != 0) {
		/* not ours to set; the default mode does */
	}
	if (!write_all(fd, spans, n)) {
		ftl_fail(d, FTL_ERR_IO, "%s: cannot write: %m", path);
		close(fd);
		unlink(tmp);
		return FTL_ERR_IO;
	}
	if (close(fd) != 0 || rename(tmp, path) != 0) {
		ftl_fail(d, FTL_ERR_IO, "%s: cannot write: %m", path);
		unlink(tmp);
		return FTL_ERR_IO;
	}
	return FTL_OK;
}

ftl_status ftl_file_write(const char *path, const void *data, size_t n, ftl_diag *d)
{
	return ftl_file_write_spans(path, &(ftl_span){data, n}, 1, d);
}

const char *ftl_path_dir(ftl_arena *arena, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return ".";
	if (slash == path)
		return "/";
	return ftl_arena_strn(arena, path, (size_t)(slash - path));
}

const char *ftl_path_join(ftl_arena *arena, const char *dir, const char *name)
{
	size_t n = strlen(dir);

	if (name[0] == '/' || n == 0)
		return ftl_arena_str(arena, name);
	return ftl_arena_printf(arena, dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

static bool has_dotdot(const char *name)
{
	while (*name) {
		size_t n = strcspn(name, "/");

		if (n == 2 && name[0] == '.' && name[1] == '.')
			return true;
		name += n;
		name += strspn(name, "/");
	}
	return false;
}

ftl_status ftl_path_inside(ftl_arena *arena, const char *dir, const char *name, ftl_diag *d, const char **out)
{
	char real_dir[PATH_MAX], real[PATH_MAX];
	const char *path;
	size_t n;

	*out = NULL;
	if (!name[0])
		return ftl_fail(d, FTL_ERR_MODEL, "external data: empty file name");
	if (name[0] == '/')
		return ftl_fail(d, FTL_ERR_MODEL, "external data \"%.200s\": an absolute path is not allowed", name);
	if (has_dotdot(name))
		return ftl_fail(d, FTL_ERR_MODEL, "external data \"%.200s\": \"..\" is not allowed", name);
	if (strlen(name) >= PATH_MAX)
		return ftl_fail(d, FTL_ERR_MODEL, "external data \"%.200s\": the name is too long", name);
	if (!dir[0])
		dir = ".";
	path = ftl_path_join(arena, dir, name);
	if (!realpath(dir, real_dir))
		return ftl_fail(d, FTL_ERR_IO, "%s: cannot resolve: %m", dir);
	if (!realpath(path, real))
		return ftl_fail(d, FTL_ERR_IO, "%s: cannot open: %m", path);
	n = strlen(real_dir);
	if (real_dir[n - 1] == '/')
		n--; /* the root folder */
	if (strncmp(real, real_dir, n) != 0 || real[n] != '/')
		return ftl_fail(d, FTL_ERR_MODEL, "external data \"%.200s\": leads out of the model's folder", name);
	/* the resolved name: a link changed after the check is not followed again */
	*out = ftl_arena_str(arena, real);
	return FTL_OK;
}
