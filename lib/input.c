/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What has been read so far. */
struct input {
    const struct source_loc loc; /* The file as a whole. */
    struct diags *diags;
    size_t max;
    char *text;
    size_t size;
    size_t allocated;
};

/* Says why a system call failed on the file, in the style of our messages. */
static void
report_errno(const struct input *input, const char *what, int error)
{
    const char *why = (error == ENOENT ? "no such file"
                       : error == EACCES ? "permission denied"
                       : error == EISDIR ? "it is a directory"
                       : strerror(error));

    diag_error(input->diags, &input->loc, "%s: %s", what, why);
}

static void
report_size(const struct input *input)
{
    diag_error(input->diags, &input->loc,
               "the file is larger than %zu MiB, which is the limit",
               input->max >> 20);
}

/* True if 'fd' is worth reading.  Pipes and devices have no size before they
 * end. */
static bool
check_size(const struct input *input, int fd)
{
    struct stat st;

    if (fstat(fd, &st)) {
        report_errno(input, "cannot read", errno);
        return false;
    }
    if (S_ISREG(st.st_mode) && st.st_size > (off_t) input->max) {
        report_size(input);
        return false;
    }
    return true;
}

/* Checks the 'n' bytes that are about to be added. */
static bool
check_bytes(const struct input *input, size_t n)
{
    if (memchr(input->text + input->size, '\0', n)) {
        diag_error(input->diags, &input->loc,
                   "the file is not text: it has null bytes");
        return false;
    }
    if (input->size + n > input->max) {
        report_size(input);
        return false;
    }
    return true;
}

static bool
read_all(struct input *input, int fd)
{
    for (;;) {
        ssize_t n;

        if (input->size == input->allocated) {
            size_t room = input->allocated ? 2 * input->allocated : 65536;

            /* One byte more than allowed tells that there are too many. */
            input->allocated = room < input->max ? room : input->max + 1;
            input->text = lb_xrealloc(input->text, input->allocated);
        }
        n = read(fd, input->text + input->size,
                 input->allocated - input->size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            report_errno(input, "cannot read", errno);
            return false;
        }
        if (!n) {
            return true;
        }
        if (!check_bytes(input, n)) {
            return false;
        }
        input->size += n;
    }
}

bool
input_read(const char *file_name, const char *name, size_t max,
           char **textp, size_t *sizep, struct diags *diags)
{
    struct input input = { .loc = { .file = name }, .diags = diags,
                           .max = max };
    bool is_stdin = !strcmp(file_name, "-");
    int fd = is_stdin ? STDIN_FILENO : open(file_name, O_RDONLY | O_CLOEXEC);
    bool ok;

    if (fd < 0) {
        report_errno(&input, "cannot open", errno);
        return false;
    }
    ok = check_size(&input, fd) && read_all(&input, fd);
    if (!is_stdin) {
        close(fd);
    }
    if (!ok) {
        free(input.text);
        return false;
    }
    *textp = input.text;
    *sizep = input.size;
    return true;
}
