/* exempt.c - is a peer one of the kinds that do not look into trees? exempt.def says which, and why. */
#include <errno.h>
#include <unistd.h>

#include "environment.h"
#include "peers.h"
#include "exempt.h"

enum kind { AGENT, BUS, DISPLAY, NAMES, SYSTEM };

static const struct {
    enum kind kind;
    const char *pattern;
} names[] = {
#define EXEMPT(kind, pattern) {kind, pattern},
#define EXEMPT_NAMED(kind, variable)
#define EXEMPT_PORT(kind, first, last)
#include "exempt.def"
#undef EXEMPT
#undef EXEMPT_NAMED
};

static const struct {
    enum kind kind;
    const char *variable;
} variables[] = {
#define EXEMPT(kind, pattern)
#define EXEMPT_NAMED(kind, variable) {kind, variable},
#include "exempt.def"
#undef EXEMPT
#undef EXEMPT_NAMED
#undef EXEMPT_PORT
};

static const struct {
    unsigned first, last;
} ports[] = {
#define EXEMPT(kind, pattern)
#define EXEMPT_NAMED(kind, variable)
#define EXEMPT_PORT(kind, first, last) {first, last},
#include "exempt.def"
};

#define COUNT(table) (sizeof table / sizeof table[0])

/* Is this a program that asks a bus to start programs? */
static bool starts_programs(void)
{
    static const char *const starters[] = {"systemd-run", "systemctl", "busctl", "gdbus",
                                           "dbus-send",   "flatpak",   "snap",   "machinectl"};
    for (size_t i = 0; i < COUNT(starters); i++)
        if (strcmp(program_invocation_short_name, starters[i]) == 0)
            return true;
    return false;
}

/* `*` is any text; the last one that was passed takes more when the rest does not fit. */
static bool fits(const char *pattern, const char *text)
{
    const char *star = NULL, *from = NULL;
    while (*text != 0) {
        if (*pattern == '*') {
            star = ++pattern;
            from = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star != NULL) {
            pattern = star;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == 0;
}

/* A path, or an address of D-Bus: "unix:path=/run/user/0/bus,guid=..." or "unix:abstract=...". */
static bool is_named_by(const char *variable, const char *name)
{
    const char *value = velo_environment_get(environ, variable);
    if (value == NULL)
        return false;
    if (strcmp(value, name) == 0)
        return true;
    const bool abstract = name[0] == '@';
    const char *at = strstr(value, abstract ? "unix:abstract=" : "unix:path=");
    const size_t length = strlen(name + abstract);
    at = at == NULL ? NULL : strchr(at, '=') + 1;
    return at != NULL && length > 0 && strncmp(at, name + abstract, length) == 0 &&
           strchr(",;", at[length]) != NULL; /* or its end */
}

bool velo_is_exempt_name(const char *name)
{
    for (size_t i = 0; i < COUNT(names); i++)
        if (fits(names[i].pattern, name))
            return names[i].kind != BUS || !starts_programs();
    for (size_t i = 0; i < COUNT(variables); i++)
        if (is_named_by(variables[i].variable, name))
            return variables[i].kind != BUS || !starts_programs();
    return false;
}

bool velo_is_exempt_port(unsigned port)
{
    for (size_t i = 0; i < COUNT(ports); i++)
        if (port >= ports[i].first && port <= ports[i].last)
            return true;
    return false;
}
