/* streams.c - operations of stdio, whose opens and sizes are libc's own business. */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static FILE *file_of(struct context *c, const char *word)
{
    FILE *file = c->files[slot_of(word, OTHERS)];
    if (file == NULL)
        say(c, " none");
    return file;
}

static void keep_file(struct context *c, const char *word, FILE *file)
{
    const int slot = slot_of(word, OTHERS);
    if (file == NULL) {
        say_result(c, -1);
        return;
    }
    if (c->files[slot] != NULL && c->files[slot] != file)
        fclose(c->files[slot]);
    c->files[slot] = file;
    if (c->lane == NULL)
        say(c, " fd%d", fileno(file));
}

static void op_fopen(struct context *c, char **a)
{
    keep_file(c, a[0], fopen(path_of(c, a[1]), a[2]));
}

static void op_freopen(struct context *c, char **a)
{
    FILE *old = file_of(c, a[0]);
    if (old == NULL)
        return;
    FILE *file = freopen(path_of(c, a[1]), a[2], old);
    if (file == NULL)
        c->files[slot_of(a[0], OTHERS)] = NULL; /* it is closed all the same */
    keep_file(c, a[0], file);
}

static void op_fdopen(struct context *c, char **a)
{
    FILE *file = fdopen(fd_of(c, a[1]), a[2]);
    if (file != NULL)
        c->fds[slot_of(a[1], SLOTS)] = -1;
    keep_file(c, a[0], file);
}

static void op_fclose(struct context *c, char **a)
{
    FILE *file = file_of(c, a[0]);
    if (file == NULL)
        return;
    c->files[slot_of(a[0], OTHERS)] = NULL;
    say_result(c, fclose(file));
}

static void op_fread(struct context *c, char **a)
{
    static _Thread_local char data[65536];
    FILE *file = file_of(c, a[0]);
    if (file == NULL)
        return;
    const size_t size = (size_t)number(a[1]);
    say_data(c, data, (long)fread(data, 1, size < sizeof data ? size : sizeof data, file));
    say(c, " %d%d", feof(file) != 0, ferror(file) != 0);
}

static void op_fwrite(struct context *c, char **a)
{
    static _Thread_local unsigned char data[65536];
    FILE *file = file_of(c, a[0]);
    if (file == NULL)
        return;
    size_t size = (size_t)number(a[1]);
    size = size < sizeof data ? size : sizeof data;
    fill(data, size, (unsigned)number(a[2]));
    say_result(c, (long)fwrite(data, 1, size, file));
}

static void op_fgets(struct context *c, char **a)
{
    char text[256];
    FILE *file = file_of(c, a[0]);
    if (file == NULL)
        return;
    const int size = (int)number(a[1]);
    const char *got = fgets(text, size < (int)sizeof text ? size : (int)sizeof text, file);
    say_data(c, text, got == NULL ? 0 : (long)strlen(text));
}

static void op_fprintf(struct context *c, char **a)
{
    FILE *file = file_of(c, a[0]);
    if (file != NULL)
        say_result(c, fprintf(file, "%s %d\n", a[1], c->line));
}

static void op_getline(struct context *c, char **a)
{
    FILE *file = file_of(c, a[0]);
    if (file == NULL)
        return;
    char *text = NULL;
    size_t size = 0;
    const long length = getline(&text, &size, file);
    say_data(c, text, length < 0 ? 0 : length);
    free(text);
}

static void op_fseek(struct context *c, char **a)
{
    FILE *file = file_of(c, a[0]);
    if (file != NULL)
        say_result(c, fseek(file, number(a[1]), (int)number(a[2])));
}

static void op_ftell(struct context *c, char **a)
{
    FILE *file = file_of(c, a[0]);
    if (file != NULL)
        say_result(c, ftello(file));
}

static void op_fflush(struct context *c, char **a)
{
    FILE *file = file_of(c, a[0]);
    if (file != NULL)
        say_result(c, fflush(file));
}

static void op_ungetc(struct context *c, char **a)
{
    FILE *file = file_of(c, a[0]);
    if (file == NULL)
        return;
    fseek(file, 0, SEEK_CUR); /* between a write and a read, or anything may happen */
    say_result(c, ungetc('u', file));
}

static void op_fileno(struct context *c, char **a)
{
    FILE *file = file_of(c, a[0]);
    if (file != NULL)
        say_fd(c, a[1], dup(fileno(file)));
}

/* popen WORD: what a shell says of a file. */
static void op_popen(struct context *c, char **a)
{
    static _Thread_local char text[DATA_MAX];
    char command[PATH_BYTES];
    snprintf(command, sizeof command, "exec 2>/dev/null; cat < '%s'", path_of(c, a[0]));
    FILE *pipe = popen(command, "r");
    if (pipe == NULL) {
        say_result(c, -1);
        return;
    }
    const size_t got = fread(text, 1, sizeof text, pipe);
    say_data(c, text, (long)got);
    say(c, " %d", pclose(pipe));
}

const struct operation_name stdio_operations[] = {
    {"fopen", 3, op_fopen},   {"freopen", 3, op_freopen}, {"fdopen", 3, op_fdopen},
    {"fclose", 1, op_fclose}, {"fread", 2, op_fread},     {"fwrite", 3, op_fwrite},
    {"fgets", 2, op_fgets},   {"fprintf", 2, op_fprintf}, {"getline", 1, op_getline},
    {"fseek", 3, op_fseek},   {"ftell", 1, op_ftell},     {"fflush", 1, op_fflush},
    {"ungetc", 1, op_ungetc}, {"fileno", 2, op_fileno},   {"popen", 1, op_popen},
    {NULL, 0, NULL},
};
