/* code_driver.c - the reader of machine code (x86_decode.c, syscall_scan.c) under the control of
 * test_code.py.
 *
 *     length          lines of bytes in hex, one instruction each; out: its length, 0 when it makes no sense
 *     text            lines "FRAMES BYTES" in hex: a text, and where its functions are (START:SIZE, with
 *                     commas between, or "-"); out: 1 when it makes system calls that name files
 *
 * What the code under test sees ends where its malloc ends, so that ASan sees one byte too many. */
#include "preload/sud/syscall_scan.h"
#include "preload/sud/x86_decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

enum { LINE_BYTES = 1 << 21, FUNCTIONS_MAX = 64, DESCRIPTION_BYTES = 16 };

#if defined(__x86_64__)
const unsigned char velo_syscall_is_routed[VELO_NUMBERS_MAX] = {
    [SYS_open] = 1,
    [SYS_openat] = 1,
    [SYS_unlink] = 1,
    [SYS_mmap] = 2,
};
#else
const unsigned char velo_syscall_is_routed[VELO_NUMBERS_MAX] = {[SYS_openat] = 1, [SYS_mmap] = 2};
#endif

/* As linkers write .eh_frame_hdr, with the descriptions that it points at behind it. */
struct frames {
    unsigned char version, pointer_encoding, count_encoding, table_encoding;
    int32_t frames;
    uint32_t count;
    struct {
        int32_t function, description;
    } entry[FUNCTIONS_MAX];
    unsigned char description[FUNCTIONS_MAX][DESCRIPTION_BYTES];
};

static size_t unhex(const char *text, unsigned char *out)
{
    size_t count = 0;
    for (unsigned byte; sscanf(text + 2 * count, "%2x", &byte) == 1; count++)
        out[count] = (unsigned char)byte;
    return count;
}

/* "START:SIZE,START:SIZE" of functions whose code begins at `code`. */
static void describe(char *text, const unsigned char *code, struct frames *table)
{
    *table = (struct frames){
        .version = 1, .pointer_encoding = 0x1b, .count_encoding = 0x03, .table_encoding = 0x3b};
    for (char *each = strtok(text, ","); each != NULL && table->count < FUNCTIONS_MAX;
         each = strtok(NULL, ",")) {
        unsigned start = 0;
        uint32_t size = 0;
        if (sscanf(each, "%u:%u", &start, &size) != 2)
            abort();
        unsigned char *description = table->description[table->count];
        table->entry[table->count].function = (int32_t)(code + start - (unsigned char *)table);
        table->entry[table->count].description = (int32_t)(description - (unsigned char *)table);
        memcpy(description + 12, &size, sizeof size);
        table->count++;
    }
}

static void tell_length(char *line)
{
    unsigned char bytes[64];
    const size_t count = unhex(line, bytes);
    unsigned char *own = malloc(count);
    memcpy(own, bytes, count);
    printf("%zu\n", velo_x86_length(own, own + count));
    free(own);
}

/* The text with its table before it, or behind it: what is read outside of the text is outside of the
 * malloc once. */
static int names_files(const char *functions, const unsigned char *bytes, size_t count,
                       bool table_last)
{
    char copy[1024];
    const bool described = functions[0] != '-';
    const size_t table_bytes = described ? sizeof(struct frames) : 0;
    const size_t rounded = (count + 15) / 16 * 16; /* the table is of numbers */
    unsigned char *all = malloc((table_last && described ? rounded : count) + table_bytes);
    unsigned char *code = table_last ? all : all + table_bytes;
    struct frames *table = (void *)(table_last ? all + rounded : all);
    memcpy(code, bytes, count);
    snprintf(copy, sizeof copy, "%s", functions);
    if (described)
        describe(copy, code, table);
    const struct velo_text text = {code, code + count, described ? (const void *)table : NULL};
    const bool names = velo_text_names_files(&text);
    free(all);
    return names;
}

static void tell_text(char *line)
{
    static unsigned char bytes[LINE_BYTES / 2];
    char *hex = strchr(line, ' ');
    if (hex == NULL)
        abort();
    *hex++ = 0;
    const size_t count = unhex(hex, bytes);
    const int first = names_files(line, bytes, count, false);
    printf("%d\n", first == names_files(line, bytes, count, true) ? first : -1);
}

int main(int argc, char **argv)
{
    char *line = malloc(LINE_BYTES);
    while (argc == 2 && fgets(line, LINE_BYTES, stdin) != NULL) {
        if (strcmp(argv[1], "length") == 0)
            tell_length(line);
        else
            tell_text(line);
        fflush(stdout);
    }
    free(line);
    return 0;
}
