/* messages.c - gettext: libc opens catalogues of messages by itself, when a message is asked for first.
 *
 * In    the directory that a domain was bound to, and the languages that count now
 * Out   each catalogue that libc may open there, told to inside.c. Directories of the system are left alone. */
#include <langinfo.h>
#include <libintl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernel/text.h"
#include "preload/path/claim.h"
#include "preload/replay/unit.h"
#include "inside.h"
#include "walk.h"

#undef gettext /* to which libintl.h may give bodies */
#undef dgettext
#undef ngettext
#undef dngettext

#define PROBED_MAX 16u
#define NAME_BYTES 64u

static _Atomic bool bound; /* some domain, to a directory that is not the system's */
static _Atomic uint64_t probed[PROBED_MAX]; /* libc, too, looks once */

/* The parts of "language_TERRITORY.codeset@modifier", each with the sign before it, or empty. */
struct language {
    char name[NAME_BYTES], territory[NAME_BYTES], codeset[NAME_BYTES], modifier[NAME_BYTES];
    char normal[NAME_BYTES]; /* the codeset as "utf8" */
};

static const char *take_part(const char *text, const char *end, const char *stop, char *out)
{
    size_t length = strcspn(text, stop);
    if (length > (size_t)(end - text))
        length = (size_t)(end - text);
    memcpy(out, text, length < NAME_BYTES ? length : 0);
    return text + length;
}

static void normalize(const char *codeset, char *out)
{
    *out++ = '.';
    for (codeset++; *codeset != 0; codeset++)
        if (*codeset >= 'A' && *codeset <= 'Z')
            *out++ = (char)(*codeset | 32);
        else if ((*codeset >= 'a' && *codeset <= 'z') || (*codeset >= '0' && *codeset <= '9'))
            *out++ = *codeset;
}

static void parse(const char *text, size_t length, struct language *out)
{
    const char *end = text + length;
    *out = (struct language){.name = ""};
    text = take_part(text, end, "_.@", out->name);
    if (*text == '_')
        text = take_part(text, end, ".@", out->territory);
    if (*text == '.')
        text = take_part(text, end, "@", out->codeset);
    if (*text == '@')
        take_part(text, end, "", out->modifier);
    if (out->codeset[0] != 0)
        normalize(out->codeset, out->normal);
}

/* All spellings of one language, of which libc opens what is there. */
static void probe_language(const char *directory, const struct language *language,
                           const char *domain)
{
    char path[PATH_MAX];
    for (unsigned with = 0; with < 16; with++) {
        const char *territory = (with & 1) != 0 ? language->territory : "";
        const char *codeset = (with & 2) != 0 ? language->codeset : "";
        const char *normal = (with & 4) != 0 ? language->normal : "";
        const char *modifier = (with & 8) != 0 ? language->modifier : "";
        const bool wanted = ((with & 1) == 0 || *territory != 0) &&
                            ((with & 2) == 0 || *codeset != 0) &&
                            ((with & 4) == 0 || (*normal != 0 && *codeset == 0)) &&
                            ((with & 8) == 0 || *modifier != 0);
        if (wanted && snprintf(path, sizeof path, "%s/%s%s%s%s%s/LC_MESSAGES/%s.mo", directory,
                               language->name, territory, codeset, normal, modifier,
                               domain) < (int)sizeof path)
            velo_libc_reads(path);
    }
}

static uint64_t mixed(uint64_t hash, const char *text)
{
    return velo_text_hash(hash, text, strlen(text));
}

static bool is_known(const char *directory, const char *languages, const char *domain)
{
    const uint64_t hash = mixed(mixed(mixed(0, directory), languages), domain);
    return atomic_exchange(&probed[hash % PROBED_MAX], hash) == hash;
}

static bool is_plain(const char *locale, size_t length)
{
    return (length == 1 && *locale == 'C') || (length == 5 && memcmp(locale, "POSIX", 5) == 0);
}

static void before_message(const char *domain)
{
    if (!atomic_load_explicit(&bound, memory_order_relaxed) || velo_here() == NULL)
        return;
    const char *locale = nl_langinfo(NL_LOCALE_NAME(LC_MESSAGES));
    const char *languages = velo_variable("LANGUAGE");
    if (is_plain(locale, strlen(locale)))
        return;
    if (languages == NULL || *languages == 0)
        languages = locale;
    domain = domain != NULL ? domain : textdomain(NULL);
    const char *directory = NEXT(bindtextdomain)(domain, NULL);
    if (directory == NULL || is_known(directory, languages, domain))
        return;
    for (size_t length; *languages != 0; languages += length + (languages[length] != 0)) {
        struct language language;
        length = strcspn(languages, ":");
        if (is_plain(languages, length))
            return;
        parse(languages, length, &language);
        probe_language(directory, &language, domain);
    }
}

/* Of another category than messages, whose catalogues have other places. */
static void before_other(const char *domain, int category)
{
    struct velo_region *region = velo_here();
    if (category == LC_MESSAGES) {
        before_message(domain);
    } else if (region != NULL && atomic_load_explicit(&bound, memory_order_relaxed)) {
        velo_taint(VELO_TAINT_INSIDE);
        velo_flush_tree(region);
    }
}

EXPORT char *bindtextdomain(const char *domain, const char *directory)
{
    if (directory != NULL && !velo_is_of_the_system(directory))
        atomic_store(&bound, true);
    return NEXT(bindtextdomain)(domain, directory);
}

EXPORT char *gettext(const char *text)
{
    before_message(NULL);
    return NEXT(gettext)(text);
}

EXPORT char *dgettext(const char *domain, const char *text)
{
    before_message(domain);
    return NEXT(dgettext)(domain, text);
}
ALIAS(__dgettext, dgettext);

EXPORT char *dcgettext(const char *domain, const char *text, int category)
{
    before_other(domain, category);
    return NEXT(dcgettext)(domain, text, category);
}
ALIAS(__dcgettext, dcgettext);

EXPORT char *ngettext(const char *one, const char *many, unsigned long count)
{
    before_message(NULL);
    return NEXT(ngettext)(one, many, count);
}

EXPORT char *dngettext(const char *domain, const char *one, const char *many, unsigned long count)
{
    before_message(domain);
    return NEXT(dngettext)(domain, one, many, count);
}

EXPORT char *dcngettext(const char *domain, const char *one, const char *many, unsigned long count,
                        int category)
{
    before_other(domain, category);
    return NEXT(dcngettext)(domain, one, many, count, category);
}
